"""Batches of DDM's stages over the world in memory, for its tests."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from common.methods import stages
from common.pseudo.folder import write_pseudo_label
from common.stage import Batch, Stage
from tests.common.methods.worlds import context, world


def stage_of(of, name: str) -> Stage:
    """Return one stage of a configuration."""
    return {stage.name: stage for stage in stages(of)}[name]


def builder(of, name: str, folder: Path = Path("nowhere"), **options) -> Callable[[int], Batch]:
    """Return the batch function of a stage over the world in memory."""
    return stage_of(of, name).batches(context(of, name, folder, **options))


def same(a: Batch, b: Batch) -> bool:
    """Whether two batches are equal."""
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)


def pseudo_labels(folder: Path) -> Path:
    """Write a pseudo-label of class 100 + i for every target image, and return the folder."""
    for i, name in enumerate(world().target.names):
        write_pseudo_label(folder, name, np.full((8, 16), 100 + i, np.uint8))
    return folder


def drawn(build: Callable[[int], Batch], key: str, steps: int) -> list[int]:
    """Return which classes the labels of ``key`` show, one a sample, over some steps."""
    return [int(label[:, 1:].max()) for step in range(steps) for label in build(step)[key]]
