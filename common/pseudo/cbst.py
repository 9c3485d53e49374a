"""The rule ``cbst``: class-balanced self-training (Zou et al., ECCV 2018 and, as CRST, ICCV 2019).

Probabilities are divided by their class's threshold before the best class is taken, so that a label can differ
from the plain prediction. Two forms exist: ``crst``, the authors' later PyTorch code, and ``mxnet``, the original.
"""

from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np

from common.pseudo.order import OrderStatistics, Stream, order_statistics

IGNORED = 255
Form = Literal["crst", "mxnet"]


def subsample(label: np.ndarray, confidence: np.ndarray, every: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Return every n-th pixel of each predicted class of one image, in row-major order beginning with the first.

    Args:
        label: (H, W) predicted class.
        confidence: (H, W) float32.
        every: The n.
    Returns:
        Flat class ids and confidences.
    """
    flat = label.ravel()
    order = np.argsort(flat, kind="stable")
    starts = np.searchsorted(flat[order], np.arange(int(flat.max(initial=0)) + 2))
    rank = np.arange(flat.size) - starts[flat[order]]
    kept = order[rank % every == 0]
    return flat[kept], confidence.ravel()[kept]


def subsampled(
    pairs: Iterable[tuple[np.ndarray, np.ndarray]], every: int = 4
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Return ``subsample`` of every image of a stream."""
    return (subsample(label, confidence, every) for label, confidence in pairs)


def place(count: int, portion: float, form: Form = "crst") -> int:
    """Return where the threshold stands among ``count`` ascending confidences; -1 when no pixel is to be kept.

    The original's class vectors carry one extra 0, which counts in the number but is never the threshold unless
    all are kept (-1 then, too).
    """
    kept = int(np.floor((count + (form == "mxnet" and count > 0)) * portion))
    return count - kept if 0 < kept <= count else -1


def thresholds(stream: Stream, classes: int, portion: float, form: Form = "crst") -> OrderStatistics:
    """Return the probability by which each class is divided.

    Args:
        stream: Called twice; yields (class ids, confidences) of each image, already subsampled.
        classes: Number of classes C.
        portion: Share of each class to keep, in [0, 1].
        form: ``crst``: float32, 1 where no pixel is to be kept; ``mxnet``: float64, 0 there (and ``weigh`` takes 1).
    Returns:
        Thresholds and the number of confidences of each class.
    """
    found = order_statistics(stream, classes, lambda counts: np.array([place(int(n), portion, form) for n in counts]))
    if form == "mxnet":
        return OrderStatistics(np.nan_to_num(found.values, nan=0.0), found.counts)
    return OrderStatistics(np.nan_to_num(found.values, nan=1.0).astype(np.float32), found.counts)


def select(probabilities: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the class whose probability is greatest in units of its threshold, where it reaches it.

    Args:
        probabilities: (C, H, W) float32 of one image.
        values: Thresholds (C,), float32 or float64 as ``thresholds`` returned them; 0 counts as 1.
    Returns:
        (H, W) uint8; 255 where no class reaches its threshold; the first class on ties.
    """
    divisor = np.where(values == 0, np.ones_like(values), values)
    weight = probabilities / divisor[:, None, None]
    return np.where(weight.max(axis=0) < 1, IGNORED, weight.argmax(axis=0)).astype(np.uint8)
