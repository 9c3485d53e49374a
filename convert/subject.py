"""A checkpoint together with the configuration that says which network it fills and what that network sees."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.checkpoint import sha256
from common.config import Config, load_config
from common.errors import UserError
from common.methods import of_stage
from common.methods.supervised import OBJECTIVES
from common.run_folder import RunFolder
from common.subject import only_predicting
from convert.inspection import canonical_weights, weights_digest
from convert.reading import read
from convert.report import Report
from convert.translation import Stated, translate


@dataclass(frozen=True)
class Subject:
    """What is exported or verified; ``weights`` have PyTorch's names."""

    path: Path
    config: Config
    weights: dict[str, np.ndarray]

    @property
    def suffix(self) -> str:
        """Of the file."""
        return self.path.suffix

    def own_names(self, framework: str) -> dict[str, np.ndarray]:
        """Return the weights under a framework's names."""
        if framework == "torch":
            return self.weights
        return translate(read(self.path), framework, Stated(), Report("", ""))[0].weights

    def facts(self) -> dict[str, str]:
        """Return file, digests and network in words."""
        network = self.config.network
        return {
            "file": str(self.path),
            "sha256": sha256(self.path),
            "weights": weights_digest(self.weights),
            "network": f"{network.name}, {network.model_dump(mode='json', exclude={'weights'})}",
        }


def open_subject(place: Path, config: str | None = None, overrides: Sequence[str] = ()) -> Subject:
    """Find a checkpoint and its configuration.

    Args:
        place: A checkpoint file; a checkpoint folder; or a run folder, which stands for its last finished stage.
        config: A configuration's name or file; None takes the nearest ``config.yaml`` above the file.
        overrides: Settings as in ``--set a.b=c``.
    Raises:
        UserError: If there is no checkpoint or no configuration.
    """
    path = find_weights(place)
    above = (str(folder / "config.yaml") for folder in path.resolve().parents if (folder / "config.yaml").is_file())
    found = config or next(above, None)
    if found is None:
        raise UserError(f"{path}: no config.yaml above it says which network it fills; name one with --config")
    settings = load_config(found, overrides)
    settings = settings if config else of_stage(settings, path)
    return Subject(path, only_predicting(settings), canonical_weights(read(path)))


def find_weights(place: Path) -> Path:
    """Return the weights file that a file, checkpoint folder or run folder stands for; averaged weights come first.

    Raises:
        UserError: If there is none.
    """
    if place.is_file():
        return place
    if (place / "config.yaml").is_file() and (place / "stages").is_dir():
        run = RunFolder(place)
        stages = [stage for name in run.plan() if (stage := run.stage(name)).done() and stage.checkpoints.is_dir()]
        if not stages:
            raise UserError(f"{place}: no stage of this run is finished; name a checkpoint below it")
        place = stages[-1].handed_on("last")
    for name in ("ema.pth", "ema.ckpt", "model.pth", "model.ckpt", "model.safetensors"):
        if (place / name).is_file():
            return place / name
    raise UserError(f"{place}: no such checkpoint file, checkpoint folder or run folder")


def fill(backend, subject: Subject):
    """Return an objective on a backend whose network holds the subject's weights.

    Raises:
        UserError: With the missing, unexpected and misshapen names.
    """
    objective = backend.build(subject.config, OBJECTIVES[subject.config.task])
    try:
        objective.load_weights(subject.own_names(backend.name))
    except UserError as error:
        raise UserError(f"{subject.path}: {error}") from error
    return objective
