"""What a stage depends on, as one JSON object: when it is unchanged, the finished stage need not run again.

Left out on purpose is what cannot change the trained weights: names and folders, workers, how often the run logs,
saves and evaluates, how predictions are made for a score. Those of the last kind decide whether a finished stage is
scored again (``score_inputs``).
"""

import json
from pathlib import Path
from typing import Any

from common.checkpoint import sha256
from common.errors import UserError
from common.run_folder import digest_of
from common.stage import Stage, reference

_TRAIN = ("precision", "ema", "sync_bn")  # keys of ``train`` that change the weights beside those of images_a_step
_DATA = ("labelled", "colour", "augment")  # keys of ``data`` beside the datasets, which count by their fingerprints
_ROLES = ("source", "target")
_FURTHER = ("labelled_target",)  # roles that not every configuration has


def stage_inputs(config: Any, stage: Stage, data: Any, outputs: dict[str, dict], world: int) -> dict:
    """Return everything that decides what a stage makes.

    Args:
        config: The resolved configuration.
        stage: The stage.
        data: The open datasets by role; each has a ``fingerprint()``.
        outputs: Name of each stage upstream -> the digests of its outputs.
        world: Number of ranks; with batch size and micro-batches it says what one step sees.
    Returns:
        A JSON object whose entries can be compared one by one.
    Raises:
        UserError: If a file that the stage reads is not there.
    """
    config = stage.configured(config)
    whole = config.model_dump(mode="json")
    which = config.train.hand_on
    inputs = {
        "seed": config.seed,
        "stage": {"objective": stage.objective, "steps": stage.steps, "seed": stage.seed, "settings": stage.settings},
        "config": {
            "network": {key: value for key, value in whole["network"].items() if key != "weights"},  # by its digest
            **{key: whole[key] for key in ("input", "optim")},
            "classes": {key: whole["classes"][key] for key in ("set", "names")},
            "train": {key: whole["train"][key] for key in _TRAIN},
            "data": {key: _not_a_dataset(whole["data"].get(key)) for key in _DATA},
            "images_a_step": config.train.batch_size * config.train.accumulate * world,
        },
        "weights": _file_digest(config.network.weights),
        "data": {
            **{role: _fingerprint(data, role) for role in _ROLES},
            **{role: digest for role in _FURTHER if (digest := _fingerprint(data, role))},
            "labelled": _positions_digest(data),
        },
        "upstream": {
            "start": stage.start and _weights(outputs, stage.start, which),
            "frozen": {role: _weights(outputs, name, which) for role, name in stage.frozen.items()},
            "reads": {name: outputs[name].get("files", outputs[name]) for name in stage.reads},
        },
    }
    if stage.files:
        inputs["files"] = [_file_digest(path) for path in stage.files]
    if not stage.objective:
        inputs["config"]["train"]["precision"] = "fp32"  # a pass predicts so, whatever its network was trained in
    if stage.snapshots:
        inputs["stage"]["snapshots"] = stage.snapshots
    if stage.carry or config.train.patience is not None:
        inputs["stage"] |= {"carry": stage.carry, "patience": config.train.patience}
    if which == "best" or _chosen(stage):  # then the validation set takes part in the choice of the weights
        when = {"every": config.train.evaluate_every, "offset": config.train.evaluate_offset}
        inputs["chosen by"] = {**score_inputs(config, data), **when}
    return json.loads(json.dumps(inputs, default=str))  # as it will be read back: tuples become lists


def score_inputs(config: Any, data: Any) -> dict:
    """Return what decides the score of given weights."""
    whole = config.model_dump(mode="json")
    scored = {"evaluate": whole["evaluate"], "classes": whole["classes"], "val": _fingerprint(data, "val")}
    return scored | {role: digest for role in ("source_val", "test") if (digest := _fingerprint(data, role))}


def _weights(outputs: dict[str, dict], text: str, which: str) -> str | list[str]:
    """Return the digest of the weights that a reference means, the last where none was chosen; with the part if any."""
    name, asked, part = reference(text)
    made, which = outputs[name], asked or which
    digest = made["snapshots"][which] if which.isdigit() else made.get(which) or made["last"]
    return [digest, part] if part else digest


def _chosen(stage: Stage) -> bool:
    """Whether a stage takes weights that were chosen by their score."""
    return any(reference(text).which == "best" for text in (stage.start or "", *stage.frozen.values()))


def _not_a_dataset(section: Any) -> Any:
    """Return a section of ``data``; None for a dataset, which counts by its fingerprint."""
    return None if isinstance(section, dict) and "layout" in section else section


def _fingerprint(data: Any, role: str) -> str | None:
    dataset = getattr(data, role, None)
    return dataset.fingerprint() if dataset is not None else None


def _file_digest(path: Path | None) -> str | None:
    if path and not Path(path).is_file():
        raise UserError(f"{path}: no such file")
    return sha256(Path(path)) if path else None


def _positions_digest(data: Any) -> str | None:
    """Digest of which target images are labelled: the list that names them may change while its path does not."""
    labelled = getattr(data, "labelled", None)
    return digest_of({"labelled": list(labelled)}) if labelled else None
