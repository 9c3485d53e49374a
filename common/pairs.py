"""Pairs of a labelled image and an unlabelled one that carries its class as pseudo-label (S3D's batch sampler)."""

from collections.abc import Callable, Sequence

import numpy as np

from common.errors import UserError

Choose = Callable[[int], int]  # number of candidates -> position of the chosen one


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
