"""The instance adaptive selector (IAS): thresholds by class that follow the stream of predictions.

Mei et al., "Instance Adaptive Self-Training for Unsupervised Domain Adaptation", ECCV 2020, section 4.1, in the form of
the official code: confidences count with their float16 value, so that the exact order statistics of a batch come from
a histogram of at most 15,361 codes a class, counted in one pass.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import NamedTuple

import numpy as np

CODES = 0x3C00 + 1  # float16 codes of 0.0 to 1.0, in the order of the numbers
LARGEST = 0.999  # what a threshold becomes that reaches 1
_BLOCK = 1 << 16  # pixels a step: many enough that threads do not wait for Python, few enough for the cache
_NORMAL = np.float32(2**-14)  # least number that float16 holds with all its digits
_NEAR = np.float32(1 - 2**-20)  # exponentials above it may give the same probability as the largest
_CHANCES = (np.arange(CODES, dtype=np.uint16).view(np.float16)).astype(np.float64)  # code -> number


class Update(NamedTuple):
    """What a batch does: ``local`` thresholds float32 (C,), new ``thresholds`` float64 (C,), ``counts`` int64 (C,)."""

    local: np.ndarray
    thresholds: np.ndarray
    counts: np.ndarray


def initial_thresholds(classes: int, value: float = 0.9) -> np.ndarray:
    """Return the thresholds with which a round begins, (C,) float64."""
    return np.full(classes, value, np.float64)


def update(
    label: np.ndarray, confidence: np.ndarray, thresholds: np.ndarray, alpha: float, beta: float, gamma: float
) -> Update:
    """Move the thresholds by one batch (the paper's equations 3 and 4).

    The local threshold of class c is the quantile ``1 - alpha * theta_c ** gamma`` of the confidences of the pixels
    predicted as c, with theta_c itself as one more sample; the new one is ``beta * theta + (1 - beta) * local``.

    Args:
        label: Predicted class, any shape, integers in [0, C).
        confidence: Its probability, the same shape, float32 in [0, 1].
        thresholds: theta, (C,) float64.
        alpha: Share of a class that theta = 1 would keep.
        beta: Weight of the past, in [0, 1].
        gamma: How much less is kept of classes of low thresholds.
    Returns:
        The local and the new thresholds, and the number of pixels of each class. The threshold of a class without
        pixels moves by float32 rounding only.
    Raises:
        ValueError: If a confidence is not in [0, 1].
    """
    classes = len(thresholds)
    histogram = _histogram(label.ravel(), confidence.ravel(), classes)
    local = np.array(
        [_quantile(histogram[c], thresholds[c], 1.0 - alpha * thresholds[c] ** gamma) for c in range(classes)],
        np.float32,
    )
    moved = beta * thresholds + (1.0 - beta) * local
    moved[moved >= 1.0] = LARGEST
    return Update(local, moved, histogram.sum(axis=1))


def select(label: np.ndarray, confidence: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return the labels of the pixels whose confidence is at least their class's threshold.

    Args:
        label: Predicted class, any shape, uint8 in [0, C).
        confidence: The same shape, float32; compared in float64.
        thresholds: (C,) float64.
    Returns:
        uint8, 255 elsewhere.
    """
    # the least float32 that reaches a float64 threshold: then float32 can be compared with float32
    least = thresholds.astype(np.float32)
    least = np.where(least.astype(np.float64) < thresholds, np.nextafter(least, np.float32(np.inf)), least)
    seen, sure, found = label.ravel(), confidence.ravel(), np.empty(label.size, np.uint8)
    for start in range(0, label.size, _BLOCK):
        part = slice(start, start + _BLOCK)
        kept = sure[part] >= least.take(seen[part])
        np.bitwise_or(seen[part], kept.view(np.uint8) - np.uint8(1), out=found[part])  # 0 - 1 is 255
    return found.reshape(label.shape)


def label_and_confidence(logits: np.ndarray, threads: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Return the most probable class of every pixel and its softmax probability, in one pass over the logits.

    Equal to the bit to ``exp(z - max z) / sum``, with the sum over the classes in their order, whose largest entry
    and its first place are taken; of C probabilities a pixel only one is ever divided out.

    Args:
        logits: (C, H, W) float32 of one image.
        threads: How many threads share the pixels.
    Returns:
        (H, W) uint8 and (H, W) float32.
    """
    classes, height, width = logits.shape
    flat = np.ascontiguousarray(logits, np.float32).reshape(classes, -1)
    label, confidence = np.empty(flat.shape[1], np.uint8), np.empty(flat.shape[1], np.float32)
    parts = [slice(start, start + _BLOCK) for start in range(0, flat.shape[1], _BLOCK)]

    def work(first: int) -> None:
        room = np.empty((classes, _BLOCK), np.float32), np.empty((classes, _BLOCK), np.bool_)
        for part in parts[first::threads]:
            label[part], confidence[part] = _block(flat[:, part], *room)

    list(_pool(threads).map(work, range(threads)))  # NumPy lets go of Python's lock
    return label.reshape(height, width), confidence.reshape(height, width)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Return threads that stay: to start them takes as long as a tenth of an image."""
    return ThreadPoolExecutor(threads)


def _block(logits: np.ndarray, powers: np.ndarray, near: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return class and probability of the pixels of (C, N) logits.

    ``powers`` float32 and ``near`` bool, (C, at least N), are worked in: new memory for every block costs as much as
    the arithmetic.
    """
    powers, near = powers[:, : logits.shape[1]], near[:, : logits.shape[1]]
    np.copyto(powers, logits)  # rows that lie a power of two apart evict each other from the cache
    powers -= powers.max(axis=0)
    np.exp(powers, out=powers)
    total = powers[0].copy()
    for row in powers[1:]:  # ``sum(axis=0)`` adds a single pixel's classes in another order
        total += row
    near = np.greater(powers, _NEAR, out=near).view(np.uint8)
    label = np.einsum("c,cn->n", np.arange(len(logits), dtype=np.uint8), near)
    tied = np.flatnonzero(near.sum(axis=0, dtype=np.uint8) != 1)  # equal once divided: then the first class counts
    if tied.size:
        label[tied] = (powers[:, tied] / total[tied]).argmax(axis=0)
    return label, np.float32(1.0) / total


def _histogram(label: np.ndarray, confidence: np.ndarray, classes: int) -> np.ndarray:
    """Count the float16 codes of the confidences of each class: (C, CODES) int64.

    Block by block: whole arrays of this size would be new memory for every operation.
    """
    counts = np.zeros(classes * CODES, np.int64)
    for start in range(0, label.size, _BLOCK):
        part = slice(start, start + _BLOCK)
        codes = _codes(np.ascontiguousarray(confidence[part], np.float32))
        if int(codes.max()) >= CODES:  # negative numbers, infinities and NaN have larger codes too
            raise ValueError("confidences must be in [0, 1]")
        codes = codes + np.multiply(label[part], CODES, dtype=np.uint32)
        np.add.at(counts, codes.astype(np.intp), 1)
    return counts.reshape(classes, CODES)


def _codes(values: np.ndarray) -> np.ndarray:
    """Return the float16 codes of float32 numbers, rounded half to even as a cast does."""
    if not (values.min() >= _NORMAL and values.max() <= 1):
        return values.astype(np.float16).view(np.uint16)
    bits = values.view(np.uint32)  # normal numbers: the mantissa loses 13 bits, the exponent another bias
    codes = bits >> 13
    codes &= 1
    codes += bits
    codes -= np.uint32((112 << 23) - 0xFFF)
    codes >>= 13
    return codes


def _quantile(counts: np.ndarray, prior: float, share: float) -> float:
    """Return the quantile of numbers given by the histogram of their codes, and of one more number ``prior``.

    Linear between neighbours, with the very operations of ``numpy.percentile(numbers, 100 * share)``.
    """
    total = int(counts.sum())
    place = total * (100 * share / 100)
    below = min(int(np.floor(place)), total)
    above, part = min(below + 1, total), place - np.floor(place)
    up_to = np.cumsum(counts)
    before = int(up_to[np.searchsorted(_CHANCES, prior) - 1]) if prior > 0 else 0  # how many are less than the prior

    def ranked(rank: int) -> float:
        if rank == before:
            return float(prior)
        return float(_CHANCES[np.searchsorted(up_to, rank if rank < before else rank - 1, side="right")])

    low, high = ranked(below), ranked(above)
    step = high - low
    return high - step * (1 - part) if part >= 0.5 else low + step * part
