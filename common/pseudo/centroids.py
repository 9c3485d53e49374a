"""Class centroids over a data set, one image at a time: the first memory of DiGA's self-training (CVPR 2023)."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from common.errors import UserError

FILE = "centroids.npz"
_MOST = 3000  # counts stop there, and the mean becomes a slow moving average


def stream_centroids(found: Iterable[tuple[np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the running means of class vectors; memory does not grow with the number of images.

    A vector whose elements sum to exactly 0 does not count, as in the official code.

    Args:
        found: For some images at a time their class means (N, C, D) float32 and which count, (N, C) bool.
    Returns:
        ``centroids`` (C, D) float32, zero for a class that never occurred, and ``counts`` (C,) float32, at most 3000.
    Raises:
        UserError: If there is no image.
    """
    centroids = counts = None
    for means, valid in found:
        if centroids is None:
            centroids, counts = np.zeros(means.shape[1:], np.float32), np.zeros(means.shape[1], np.float32)
        for vectors, here in zip(means, valid & (means.sum(axis=2) != 0)):
            share = counts[here, None]
            centroids[here] = (centroids[here] * share + vectors[here]) / (share + 1)
            counts[here] = np.minimum(counts[here] + 1, _MOST)
    if centroids is None:
        raise UserError("there is no image to take centroids from")
    return {"centroids": centroids, "counts": counts}


def write_centroids(folder: Path, memory: dict[str, np.ndarray]) -> None:
    """Write what ``stream_centroids`` returned."""
    np.savez(folder / FILE, **memory)


def read_centroids(folder: Path) -> dict[str, np.ndarray]:
    """Return ``centroids`` and ``counts`` of a folder.

    Raises:
        UserError: If the file is missing or damaged.
    """
    try:
        with np.load(folder / FILE, allow_pickle=False) as file:
            return {name: file[name] for name in ("centroids", "counts")}
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{folder / FILE}: cannot be read ({error}); remove {folder} and run the stage again") from None
