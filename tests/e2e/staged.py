"""MindSpore runs each stage behind PyTorch's earlier ones, converted: what the tests of rung P4 by stage share."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.config import Config, dump
from common.data.roles import open_roles
from common.engine import Engine
from common.log import RunLog, read_journal
from common.methods import stages
from common.pictures import read_png
from common.pseudo.folder import SUFFIX
from common.run_folder import RunFolder
from convert.folder import convert_folder


def run_staged(config: Config, backends: dict, root: Path, wanted: Sequence[str]) -> dict[str, tuple[Path, Path]]:
    """Run stages on both frameworks, from the same weights each.

    Args:
        config: Of the run.
        backends: Both, by name.
        root: Holds the run folders.
        wanted: The stages, in order.
    Returns:
        Stage -> the run folders of PyTorch and of MindSpore that hold it.
    """
    ours, places = root / "torch", {}
    for number, name in enumerate(wanted):
        theirs = root / f"mindspore{number}"
        if number:
            convert_folder(ours, theirs)
        run_stage(config, backends["mindspore"], theirs, name)
        run_stage(config, backends["torch"], ours, name)
        places[name] = (ours, theirs)
    return places


def run_stage(config: Config, backend, place: Path, wanted: str) -> None:
    """Run a stage, in a new folder or behind those that one holds."""
    folder = RunFolder(place)
    folder.open(dump(config), "test", (place / "stages").exists(), overwrite=False)
    log = RunLog(folder)
    Engine(config, backend, stages(config), open_roles(config, checked=False), folder, log).run(wanted)
    log.journal.close()
    folder.close()


def curve(place: Path, stage: str) -> np.ndarray:
    """Return the loss of every step of a stage: (steps,)."""
    return np.array([e["loss"] for e in read_journal(place / "metrics.jsonl") if e["stage"] == stage and "loss" in e])


def pseudo_labels(place: Path) -> np.ndarray:
    """Return the pseudo-labels of the first round in the order of their names: (N, H, W) uint8."""
    files = sorted((place / "stages" / "round1" / "pseudo" / "files").rglob(f"*{SUFFIX}"))
    return np.stack([read_png(file) for file in files])
