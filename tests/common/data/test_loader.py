"""The loader: the same batches in the same order whatever the workers, errors in one line, no process left."""

import multiprocessing
import os
import shutil
import time
from collections import namedtuple
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from common.data import loader
from common.data.loader import batches
from common.data.roles import open_dataset
from common.draws import generator
from common.errors import UserError
from common.schema import DatasetConfig
from tests.common.data.trees import C19, gta5

Usage = namedtuple("Usage", "total used free")


def build(step: int) -> dict[str, np.ndarray]:
    """Return a batch that only the step decides; one of its arrays is not contiguous."""
    rng = generator(3, "loader", step)
    return {"image": rng.integers(0, 256, (2, 3, 8, 8), np.uint8).transpose(0, 1, 3, 2), "step": np.array([step])}


def failing(at: int, error: Callable[[], BaseException]) -> Callable:
    """Return a builder that raises at one step."""

    def broken(step: int) -> dict[str, np.ndarray]:
        if step == at:
            raise error()
        return build(step)

    return broken


def workers_alive() -> int:
    """Count this process's children, once those that are ending have ended."""
    for _ in range(50):
        alive = len(multiprocessing.active_children())
        if not alive:
            return 0
        time.sleep(0.1)
    return alive


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_those_of_the_steps(workers: int) -> None:
    """Order and content are ``build(step)``, from any first step, with any number of workers; arrays can be kept."""
    got = list(batches(build, 5, 17, workers, prefetch=2))
    assert [int(batch["step"][0]) for batch in got] == list(range(5, 17))
    for step, batch in zip(range(5, 17), got):
        assert type(batch["image"]) is np.ndarray and np.array_equal(batch["image"], build(step)["image"])
    assert workers_alive() == 0


def test_nothing_to_do_builds_nothing() -> None:
    """An empty range yields nothing, a single step needs no worker."""
    assert list(batches(failing(4, AssertionError), 4, 4, 2)) == []
    assert len(list(batches(build, 4, 5, 2))) == 1 and not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [0, 2])
def test_user_errors_arrive_as_they_are(workers: int) -> None:
    """A UserError in a worker is the same UserError here, after the batches before it; the workers are gone."""
    steps = []
    with pytest.raises(UserError, match=r"^x\.png: truncated$"):
        for batch in batches(failing(6, lambda: UserError("x.png: truncated")), 0, 20, workers):
            steps.append(int(batch["step"][0]))
    assert steps == list(range(6)) and workers_alive() == 0


def test_other_errors_bring_their_traceback() -> None:
    """A fault of the program names the line in the worker, even if the exception could not be pickled."""

    class Odd(Exception):
        def __init__(self, a: int, b: int):
            super().__init__("odd")

    with pytest.raises(RuntimeError, match=r"(?s)loader process.*Odd: odd"):
        list(batches(failing(3, lambda: Odd(1, 2)), 0, 9, 1))


def test_a_killed_worker_is_reported() -> None:
    """A worker that the system kills ends the run in one line, and not in silence."""
    main = os.getpid()

    def deadly(step: int) -> dict[str, np.ndarray]:
        if os.getpid() != main and step == 3:
            os.kill(os.getpid(), 9)
        return build(step)

    with pytest.raises(UserError, match="a loader process died"):
        list(batches(deadly, 0, 9, 2))
    assert workers_alive() == 0


def test_closing_early_ends_the_workers() -> None:
    """The consumer may stop at any step."""
    with closing(batches(build, 0, 1_000_000, 2)) as source:
        for _ in range(3):
            next(source)
    assert workers_alive() == 0


def test_memory_ahead_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shared memory that does not hold all batches ahead means fewer of them, then fewer workers, then none."""
    batch = {"image": np.zeros(1000, np.uint8)}
    monkeypatch.setattr(loader, "SHARED_MEMORY", Path("/"))
    for free, want in ((1 << 30, (4, 4)), (2 * 24_000, (4, 2)), (2 * 8_000, (2, 1)), (2 * 3_999, (0, 1))):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: Usage(free, 0, free))
        assert loader._affordable(batch, 4, 4) == want


def test_datasets_in_workers(tmp_path: Path) -> None:
    """Files are read in the workers, and a damaged one is named by the training process."""
    data = open_dataset(DatasetConfig(layout="gta5", root=gta5(tmp_path, 3), size=(8, 8)), C19)

    def pair(step: int) -> dict[str, np.ndarray]:
        return {"image": data.image(step % 3), "label": data.label(step % 3)}

    got = list(batches(pair, 0, 6, 2))
    assert all(np.array_equal(batch["image"], data.image(i % 3)) for i, batch in enumerate(got))
    data.items[2].label.write_bytes(b"?")
    with pytest.raises(UserError, match=r"00003\.png: .*not an image"):
        list(batches(pair, 0, 6, 2))
