"""The rule ``bdl``: keep the more confident part of every class (BDL: Li et al., CVPR 2019; DDM's choice)."""

import numpy as np

from common.pseudo.order import OrderStatistics, Stream, order_statistics

IGNORED = 255


def place(count: int, portion: float) -> int:
    """Return where the threshold stands among ``count`` ascending confidences; -1 of none.

    ``round((1 - portion) * count)``, half to even, at most the last: with portion 0.5, places 0, 1, 2, 2, 4 for
    counts 1, 2, 3, 5, 7.
    """
    return min(round((1.0 - portion) * count), count - 1)


def thresholds(stream: Stream, classes: int, portion: float = 0.5) -> OrderStatistics:
    """Return the confidence that each class must reach, before the cap (``capped``).

    Args:
        stream: Called twice; yields (labels, confidences) of each image: the class predicted at every pixel and
            its float32 probability.
        classes: Number of classes C.
        portion: Share of each class to keep, in [0, 1].
    Returns:
        Thresholds, 0 for a class that is never predicted, and the number of pixels of each class.
    """
    found = order_statistics(stream, classes, lambda counts: np.array([place(int(n), portion) for n in counts]))
    return OrderStatistics(np.nan_to_num(found.values), found.counts)


def capped(values: np.ndarray, cap: float | None) -> np.ndarray:
    """Return thresholds no greater than ``cap``: pixels above it are kept whatever their rank."""
    return values if cap is None else np.minimum(values, cap)


def select(label: np.ndarray, confidence: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the labels of the pixels whose confidence reaches their class's threshold.

    Args:
        label: Predicted class, any shape, integers in [0, C).
        confidence: The same shape, float32; compared in float64.
        values: Thresholds, float64 (C,).
    Returns:
        uint8, 255 where the confidence is strictly smaller.
    """
    return np.where(confidence.astype(np.float64) >= values[label], label, IGNORED).astype(np.uint8)
