"""Steps whose batch is too large for the device at once: several micro-batches, one update by their mean gradient.

A micro-batch is the batch of a rank that is not there: W ranks with N micro-batches each see in a step what W * N ranks
see, in the same order, and so what one rank with so many times the batch sees.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from common.data.mixing import IGNORED
from common.stage import Batch, Stage, StageContext

Step = Mapping[str, np.ndarray] | Sequence[Mapping[str, np.ndarray]]  # what one step learns from


def parts(step: Step) -> list[Mapping[str, np.ndarray]]:
    """Return the micro-batches of a step, one or several."""
    return [step] if isinstance(step, Mapping) else list(step)


def micro_batches(stage: Stage, context: StageContext) -> Callable[[int], Batch]:
    """Return the pure function from a number to a micro-batch: number i of N in step s is ``s * N + i``.

    Args:
        stage: The stage.
        context: Of this rank.
    """
    count, rank, world = context.config.train.accumulate, context.rank, context.world
    ranks = [replace(context, rank=i * world + rank, world=count * world) for i in range(count)]
    builds = [stage.batches(one) for one in ranks]
    return lambda number: builds[number % count](number // count)


def steps(batches: Iterator[Batch], count: int) -> Iterator[Batch | list[Batch]]:
    """Yield what each step learns from: ``count`` micro-batches, or the batch itself where there is but one."""
    if count == 1:
        yield from batches
        return
    for first in batches:
        yield counted([first, *(next(batches) for _ in range(count - 1))])


def counted(batches: Sequence[Batch]) -> list[Batch]:
    """Return micro-batches that know how many pixels are labelled in a step.

    Args:
        batches: All of a step; ``X_label`` (N, H, W) integers, 255 or negative where ignored.
    Returns:
        The same with ``X_count``, () float32: labelled pixels, the mean over the micro-batches. Means over labelled
        pixels are weighted with it so that their mean is that over all; see ``Objective.share`` of the twins.
    """
    maps = [key for key, array in batches[0].items() if key.endswith("_label") and array.ndim == 3]
    counts = {key: [np.count_nonzero((one[key] >= 0) & (one[key] != IGNORED)) for one in batches] for key in maps}
    means = {f"{key.removesuffix('label')}count": np.array(np.mean(found), np.float32) for key, found in counts.items()}
    return [{**one, **means} for one in batches]
