"""The rules of S3D that hold no tensor: pairs of images, and the weight of the distillation over time.

A pair is a labelled image and an unlabelled one that carries its class as pseudo-label. The weight is a ramp that
begins where the first stage's accuracy says.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from common.errors import UserError

Choose = Callable[[int], int]  # number of candidates -> position of the chosen one
LENGTH = 50_000  # steps until the weight is 1, whatever the length of the stage
_NEVER_RAMPS = 100_000  # start of the ramp when the weight is 1 throughout
_PER_ACCURACY = 1.5


def pair_batches(
    labels: Sequence[np.ndarray], pseudo: np.ndarray, orders: Sequence[np.ndarray], counts: Sequence[int],
    batches: int, choose: Choose,
) -> tuple[list[np.ndarray], np.ndarray]:
    """Plan some batches of pairs.

    Each group of labelled images is walked through in its order, round and round; an image whose class no unlabelled
    image carries is passed over. Partners are drawn uniformly with replacement.

    Args:
        labels: Classes of each group (source; labelled target), (n,) integers.
        pseudo: Pseudo-labels of the unlabelled images, (U,) integers, -1 for none.
        orders: A permutation of each group.
        counts: Images of each group in a batch.
        batches: How many.
        choose: Draws a candidate; called once a pair, batch by batch, groups in order.
    Returns:
        Per group the chosen positions, (batches, count) int64; the partners' positions among the unlabelled images,
        (batches, sum of counts) int64, groups in order.
    Raises:
        UserError: If no image of a group has a candidate.
    """
    candidates = {int(label): np.flatnonzero(pseudo == label) for label in np.unique(pseudo) if label >= 0}
    chosen = [np.zeros((batches, count), np.int64) for count in counts]
    partners = np.zeros((batches, sum(counts)), np.int64)
    walks = []
    for own, order in zip(labels, orders):
        usable = [int(i) for i in order if int(own[i]) in candidates]
        if not usable:
            raise UserError(
                f"none of the {len(own)} labelled images has a class that an unlabelled image carries as pseudo-label; "
                "train the first stage longer, or accept more (method.alpha)"
            )
        walks.append(usable)
    places = [0] * len(walks)
    for batch in range(batches):
        column = 0
        for group, (walk, count) in enumerate(zip(walks, counts)):
            for slot in range(count):
                image = walk[places[group] % len(walk)]
                places[group] += 1
                fitting = candidates[int(labels[group][image])]
                chosen[group][batch, slot] = image
                partners[batch, column] = fitting[choose(len(fitting))]
                column += 1
    return chosen, partners


def ramp(x: float, sharpness: float) -> float:
    """Return ``2 / (1 + exp(-sharpness x)) - 1`` below 1, and 1 from there on; 0 at 0."""
    return 1.0 if x >= 1.0 else 2.0 / (1.0 + math.exp(-sharpness * x)) - 1.0


def ramp_start(accuracy: float, sharpness: float) -> int:
    """Return the place on the ramp, in steps, at which the weight is about 1.5 times an accuracy.

    Args:
        accuracy: Of the network that a stage begins with, in percent.
        sharpness: Of the ramp, larger than 0.
    """
    weight = _PER_ACCURACY * accuracy / 100.0
    if weight >= 1.0:
        return _NEVER_RAMPS
    return int(-(LENGTH / sharpness) * math.log(2.0 / (1.0 + weight) - 1.0))


def distillation_weight(start: int, step: int, sharpness: float) -> float:
    """Return the weight of a step, counted from the beginning of the stage; ``start`` as from ``ramp_start``."""
    return ramp((start + step) / LENGTH, sharpness)
