"""Random draws that depend on a position, never on history.

Every random number of a run is drawn here, in NumPy, from a counter-based generator whose key is
the position at which it is needed: (seed, stage, purpose, step, ...). So a resumed run, a run with
another number of workers and the run of the other framework all see the same numbers.
"""

from functools import lru_cache
from hashlib import blake2b

import numpy as np


def generator(seed: int, *position: int | str) -> np.random.Generator:
    """Return the generator that belongs to a position.

    Args:
        seed: Seed of the run, any integer.
        position: Names and counters, for example ``("round1/region", "box", 17)``. ``1`` and ``"1"`` differ.
    Returns:
        A fresh Philox generator; the same arguments always give the same stream.
    """
    text = "\x1f".join([f"{seed:d}", *(f"{type(part).__name__[0]}{part}" for part in map(_plain, position))])
    key = blake2b(text.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(key, np.uint64)))


def shuffled(seed: int, *position: int | str, count: int, index: int) -> int:
    """Return element ``index`` of an endless sequence of shuffled epochs over ``range(count)``.

    Epoch e is a permutation of its own, so every element appears exactly once in each epoch.

    Raises:
        ValueError: If ``count`` is not positive.
    """
    if count < 1:
        raise ValueError(f"cannot shuffle {count} elements")
    epoch, place = divmod(index, count)
    return int(_permutation(seed, position, count, epoch)[place])


def shuffled_whole(seed: int, *position: int | str, count: int, total: int, index: int) -> int:
    """Return element ``index`` of ``range(count)``, repeated as often as ``total`` needs and shuffled as one sequence.

    So an element may come twice before another comes once; behind the end another such sequence begins.

    Raises:
        ValueError: If ``count`` or ``total`` is not positive.
    """
    if count < 1 or total < 1:
        raise ValueError(f"cannot shuffle {count} elements for {total} places")
    length = -(-total // count) * count
    turn, place = divmod(index, length)
    return int(_permutation(seed, (*position, "whole"), length, turn)[place]) % count


@lru_cache(maxsize=64)
def _permutation(seed: int, position: tuple, count: int, epoch: int) -> np.ndarray:
    return generator(seed, *position, "epoch", epoch).permutation(count)


def _plain(part: int | str) -> int | str:
    return int(part) if isinstance(part, np.integer) else part
