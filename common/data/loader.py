"""Batches in order of the step: deterministic by position, read ahead by worker processes, bounded in memory.

The batch of a step is ``build(step)`` and nothing else, so that order and content do not depend on the number of
workers, on history or on the framework. grain slices the range of steps among the workers and puts it together
again; a worker keeps at most ``prefetch`` batches ready.
"""

import os
import shutil
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import absl.logging
import numpy as np

from common.errors import UserError

absl.logging.set_verbosity(absl.logging.ERROR)  # else grain warns, in every process, that jax is not installed

Batch = dict[str, np.ndarray]
SHARED_MEMORY = Path("/dev/shm")  # where batches pass from the workers


@dataclass(frozen=True)
class _Failure:
    """An exception of a worker as plain text: one that cannot be pickled would leave the loader waiting for ever."""

    text: str
    user: bool


class _Guarded:
    """``build`` for grain: gives a ``_Failure`` in place of raising, and arrays that shared memory can hold."""

    def __init__(self, build: Callable[[int], Batch]):
        self.build = build

    def __call__(self, step: int) -> Batch | _Failure:
        try:
            return {key: np.asarray(array, order="C") for key, array in self.build(int(step)).items()}
        except UserError as error:
            return _Failure(str(error), user=True)
        except Exception:
            return _Failure(traceback.format_exc(), user=False)


def batches(
    build: Callable[[int], Batch], start: int, stop: int, workers: int = 0, prefetch: int = 4
) -> Iterator[Batch]:
    """Yield ``build(step)`` for ``start <= step < stop``, in this order.

    The first batch is built here, which tells how large batches are, while nothing else is waiting. Closing the
    generator (``contextlib.closing``) ends the workers.

    Args:
        build: Pure function of the step; it is sent to the workers with cloudpickle, so closures will do.
        start: First step.
        stop: One past the last step.
        workers: Number of processes; 0 builds in this one, when a batch is asked for.
        prefetch: Batches that each worker keeps ready; fewer where shared memory is short.
    Raises:
        UserError: The one that ``build`` raised, whatever process it ran in; or a worker died.
        RuntimeError: If ``build`` failed otherwise (with the worker's traceback).
    """
    if start >= stop:
        return
    first = build(start)
    workers, prefetch = _affordable(first, min(workers, stop - start - 1), prefetch)
    if not workers:
        yield first
        for step in range(start + 1, stop):
            yield build(step)
        return
    iterator = _iterator(_Guarded(build), start + 1, stop, workers, prefetch)
    try:
        yield first
        for _ in range(start + 1, stop):
            yield _result(iterator)
    finally:
        iterator.close()


def _affordable(batch: Batch, workers: int, prefetch: int) -> tuple[int, int]:
    """Return as many workers and batches ahead as half of the free shared memory holds; no workers if not even one.

    A container often has 64 MiB of it, and a worker that runs over is killed without a word.
    """
    size = sum(array.nbytes for array in batch.values())
    room = shutil.disk_usage(SHARED_MEMORY).free // 2 if SHARED_MEMORY.is_dir() else float("inf")
    while workers and workers * (2 * prefetch + 2) * size > room:  # queue, buffer of the main process, in the making
        workers, prefetch = (workers, prefetch - 1) if prefetch > 1 else (workers - 1, prefetch)
    return workers, prefetch


def _iterator(build: _Guarded, start: int, stop: int, workers: int, prefetch: int):
    import grain  # here, since importing it takes a quarter of a second that a run without workers saves

    own = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)  # a worker builds one batch at a time
    steps = grain.MapDataset.range(start, stop).map(build).to_iter_dataset(own)
    processes = grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=prefetch)
    iterator = iter(steps.mp_prefetch(processes, worker_init_fn=_follow_parent))
    iterator.start_prefetch()
    return iterator


def _result(iterator: Iterator) -> Batch:
    try:
        element = next(iterator)
    except RuntimeError as error:
        raise UserError(
            f"a loader process died ({error}); if memory ran out, lower data.workers or data.prefetch"
        ) from error
    if isinstance(element, _Failure):
        raise UserError(element.text) if element.user else RuntimeError(f"in a loader process:\n{element.text}")
    return {key: np.array(array) for key, array in element.items()}  # out of shared memory, which is freed at once


def _follow_parent(worker: int, workers: int) -> None:
    """End this worker when the training process is gone, even by kill -9; grain would leave it waiting."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
