"""Pseudo-labels of whole images by the margin of their logits (S3D, WACV 2022)."""

from collections.abc import Callable

import numpy as np

REJECTED = -1


def margins(logits: np.ndarray) -> np.ndarray:
    """Return the largest minus the second largest logit of each image, (N,) float32, of (N, C); C >= 2."""
    top = np.sort(logits.astype(np.float32), axis=1)[:, -2:]
    return top[:, 1] - top[:, 0]


def mean_margin(logits: np.ndarray, images: int | None = None, total: Callable[[float], float] = float) -> np.float32:
    """Return the mean margin of images, rounded to float32; it is the threshold of a whole stage.

    Args:
        logits: (N, C) of all images, or of those that fell to this rank.
        images: How many images all ranks have together; None: N.
        total: Adds a number up over the ranks.
    """
    return np.float32(total(float(margins(logits).sum(dtype=np.float64))) / (images or len(logits)))


def margin_labels(logits: np.ndarray, threshold: float, alpha: float) -> np.ndarray:
    """Return the classes of the images that are sure enough.

    An image is accepted when its margin is larger than the threshold or its largest probability larger than alpha.

    Args:
        logits: (N, C), after the division by the head's temperature.
        threshold: In units of logits.
        alpha: Probability.
    Returns:
        (N,) int64; -1 for rejected images; the first of equally large logits counts.
    """
    logits = logits.astype(np.float32)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    confidence = shifted.max(axis=1) / shifted.sum(axis=1)
    accepted = (margins(logits) > np.float32(threshold)) | (confidence > np.float32(alpha))
    return np.where(accepted, logits.argmax(axis=1), REJECTED)
