"""Exact order statistics by class over a stream of any length, in memory that does not grow with it.

The bits of a non-negative float32, read as an integer, are in the order of the numbers. So the k-th smallest is
found digit by digit: a histogram of the upper 16 bits finds the cell, a second one of the lower 16 bits of what
lies in that cell finds the number. Two passes, and 65,536 counters a class.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

CELLS = 1 << 16
Stream = Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]]


class OrderStatistics(NamedTuple):
    """One value a class: ``values`` float64 (C,), NaN where none was asked for; ``counts`` int64 (C,)."""

    values: np.ndarray
    counts: np.ndarray


def order_statistics(stream: Stream, classes: int, rank: Callable[[np.ndarray], np.ndarray]) -> OrderStatistics:
    """Return, for each class, the value that stands at a given place when its values are sorted ascending.

    Args:
        stream: Called twice; yields pairs (class ids, values) of equal shape, integers in [0, classes) and
            finite non-negative float32. Both times the same pairs, in any order.
        classes: Number of classes C.
        rank: Given the number of values of each class, int64 (C,), returns the place wanted, counted from 0,
            int64 (C,) below that number; a negative place asks for nothing.
    Raises:
        ValueError: If a value is negative or not finite.
    """
    upper = np.zeros((classes, CELLS), np.int64)
    for ids, values in stream():
        upper += _histogram(ids.ravel().astype(np.int64), _bits(values) >> 16, classes)
    counts = upper.sum(axis=1)
    wanted = rank(counts)
    asked = wanted >= 0
    below = np.cumsum(upper, axis=1)
    cell = (below <= wanted[:, None]).sum(axis=1)  # the first cell that reaches beyond the place
    cell[~asked] = CELLS
    left = wanted - np.where(cell > 0, below[np.arange(classes), np.minimum(cell, CELLS) - 1], 0)
    lower = np.zeros((classes, CELLS), np.int64)
    for ids, values in stream():
        flat, bits = ids.ravel().astype(np.int64), _bits(values)
        inside = cell[flat] == bits >> 16
        lower += _histogram(flat[inside], bits[inside] & (CELLS - 1), classes)
    last = (np.cumsum(lower, axis=1) <= left[:, None]).sum(axis=1)
    found = np.where(asked, cell, 0).astype(np.uint32) << np.uint32(16) | np.where(asked, last, 0).astype(np.uint32)
    return OrderStatistics(np.where(asked, found.view(np.float32).astype(np.float64), np.nan), counts)


def _bits(values: np.ndarray) -> np.ndarray:
    """Return the bits of float32 values as flat int64, in the order of the values."""
    flat = np.ascontiguousarray(values, np.float32).ravel()
    if flat.size and not (np.isfinite(flat).all() and flat.min() >= 0):
        raise ValueError("confidences must be finite and not negative")
    return (flat + np.float32(0)).view(np.uint32).astype(np.int64)  # adding 0 turns -0 into 0


def _histogram(ids: np.ndarray, digits: np.ndarray, classes: int) -> np.ndarray:
    return np.bincount(ids * CELLS + digits, minlength=classes * CELLS).reshape(classes, CELLS)
