"""Which configuration and which weights a command line means: those of a run's stage, of a file, or of both named."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from common.backends import SUFFIXES
from common.checkpoint import verify
from common.config import Config, load_config
from common.config_files import find_config
from common.errors import UserError
from common.methods import of_stage
from common.run_folder import RunFolder

WEIGHTS = (".pth", ".pt", ".ckpt", ".safetensors")


class Subject(NamedTuple):
    """What is evaluated.

    Attributes:
        config: The configuration, of the stage where one is meant.
        weights: Files of weights; several predict as one.
        title: What a reader sees.
    """

    config: Config
    weights: list[Path]
    title: str


def find_subject(
    what: str,
    overrides: Sequence[str] = (),
    weights: Path | None = None,
    config: str | None = None,
    stages: str | None = None,
    which: str = "last",
) -> Subject:
    """Return what a command line means.

    Args:
        what: A run folder, a file of weights, or a configuration, which needs ``weights``.
        overrides: Settings, as of ``--set``.
        weights: A file that is taken instead of a run's own.
        config: Configuration of a file that lies in no run folder.
        stages: Stage of a run, or several with commas between; None takes the last that was scored.
        which: ``"last"`` or ``"best"`` weights of the stages.
    Raises:
        UserError: If something is missing or does not fit, in one line.
    """
    folder, named = RunFolder(Path(what)), Path(what)
    if named.is_file() and named.suffix in WEIGHTS:
        return Subject(_config_above(named, config, overrides), [named], named.name)
    if not folder.exists():
        settings = _configuration(what, overrides)
        if not weights:
            raise UserError(f"{what}: a configuration needs --weights FILE; a run folder would know its own")
        return Subject(settings, [weights], settings.name)
    settings = load_config(folder.path / "config.yaml", overrides)
    if weights:
        return Subject(settings, [weights], settings.name)
    return _stages_of(folder, settings, stages, which)


def only_predicting(config: Config) -> Config:
    """Return the configuration of a network that is filled from a file and does not train.

    It begins with no weights of its own, and computes in float32 whatever ``train.precision`` is: half precision is
    for training.
    """
    network = config.network.model_copy(update={"weights": None})
    train = config.train.model_copy(update={"precision": "fp32"})
    return config.model_copy(update={"network": network, "train": train})


def _configuration(what: str, overrides: Sequence[str]) -> Config:
    """Return the configuration that ``what`` names, which is no run folder."""
    try:
        file = find_config(Path(what))
    except UserError as error:
        raise UserError(f"{what}: neither a run folder (it holds config.yaml) nor a file of weights; {error}") from None
    return load_config(file, overrides)


def _stages_of(folder: RunFolder, config: Config, stages: str | None, which: str) -> Subject:
    """Return the weights of stages of a run."""
    plan = folder.plan()
    scored = [name for name in plan if (marker := folder.stage(name).done()) and marker["scores"]]
    wanted = stages.split(",") if stages else scored[-1:]
    missing = [stage for stage in wanted if stage not in scored]
    if missing or not wanted:
        finished = ", ".join(scored) or "none yet"
        raise UserError(f"{folder.path}: stage {(missing or '-')[0]} is not finished; finished: {finished}")
    files = [_weights_of(folder, stage, which) for stage in wanted]
    configs = [of_stage(config, file) for file in files]
    if any(other.network != configs[0].network for other in configs):
        raise UserError(f"--stage {stages}: an ensemble needs stages of one network")
    title = " + ".join(plan[stage] for stage in wanted) + (", best (oracle)" if which == "best" else "")
    return Subject(configs[0], files, title)


def _weights_of(folder: RunFolder, stage: str, which: str) -> Path:
    """Return the file of the weights that a finished stage is evaluated with: the average where there is one."""
    checkpoint = folder.stage(stage).handed_on(which)
    verify(checkpoint)
    files = [checkpoint / f"{part}{suffix}" for part in ("ema", "model") for suffix in SUFFIXES.values()]
    file = next((path for path in files if path.exists()), None)
    if file is None:
        raise UserError(f"{checkpoint}: holds no weights")
    return file


def _config_above(weights: Path, named: str | None, overrides: Sequence[str]) -> Config:
    """Return the configuration of a weights file: the one named, or that of the run it lies in."""
    above = (folder / "config.yaml" for folder in weights.resolve().parents)
    found = named or next((str(path) for path in above if path.is_file()), None)
    if found is None:
        raise UserError(f"{weights}: lies in no run folder; say which network it fills: --config CONFIG")
    return of_stage(load_config(found, overrides), weights)
