"""The order in which PyTorch's samplers visit a dataset, from NumPy alone.

A CPU generator of PyTorch is the Mersenne twister that NumPy has too, and ``torch.randperm`` a Fisher-Yates shuffle
with one 32 bit number a place.
"""

from functools import lru_cache

import numpy as np


@lru_cache(maxsize=16)
def permutation(count: int, seed: int = 0) -> np.ndarray:
    """Return ``torch.randperm(count, generator=torch.Generator().manual_seed(seed))`` as int64; not to be changed."""
    twister = np.random.MT19937()
    twister.state = np.random.RandomState(seed & 0xFFFFFFFF).get_state(legacy=False)
    numbers = twister.random_raw(max(count - 1, 0))
    steps = np.asarray(numbers, np.uint64) % np.arange(count, 1, -1, dtype=np.uint64)[: max(count - 1, 0)]
    order = list(range(count))
    for place, step in enumerate(steps.tolist()):
        order[place], order[place + step] = order[place + step], order[place]
    result = np.array(order, np.int64)
    result.setflags(write=False)
    return result


def distributed_order(count: int, rank: int = 0, world: int = 1, seed: int = 0) -> np.ndarray:
    """Return what a rank visits under ``torch.utils.data.DistributedSampler`` that is never told the epoch.

    Args:
        count: Images of the dataset, at least 1.
        rank: This rank of ``world``.
        world: Ranks; the permutation is repeated until every rank has as many.
        seed: Of the sampler.
    Returns:
        ``ceil(count / world)`` positions, int64.
    """
    share = -(-count // world)
    return np.resize(permutation(count, seed), share * world)[rank::world]
