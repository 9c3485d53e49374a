"""What a batch looks like: its images beside their labels, for the eye of whoever sets up data and mixing."""

import numpy as np

from common.data.labels import IGNORE, ClassSet
from common.pictures import coloured, overlay, sheet
from common.stage import Batch


def batch_sheet(batch: Batch, classes: ClassSet) -> np.ndarray:
    """Return one picture of a batch: a row a sample, a column an image, its labels and both laid over each other.

    Args:
        batch: ``X_image`` (N, 3, H, W) uint8 RGB and, where the domain X has labels, ``X_label`` (N, H, W) integers.
        classes: Give the colours; ignored pixels are black, in the overlay the bare image.
    Returns:
        (H, W, 3) uint8 RGB.
    """
    captions, columns = [], []
    for key in batch:
        domain, _, kind = key.rpartition("_")
        if kind != "image":
            continue
        images = list(batch[key].transpose(0, 2, 3, 1))
        captions.append(f"{domain} image")
        columns.append(images)
        if f"{domain}_label" in batch:
            labels = [_painted(label, len(classes)) for label in batch[f"{domain}_label"]]
            captions += [f"{domain} label", "both"]
            columns.append([coloured(label, classes.palette()) for label in labels])
            columns.append([overlay(*pair, classes.palette()) for pair in zip(images, labels)])
    height = max(image.shape[0] for column in columns for image in column)
    rows = [[_padded(image, height) for image in row] for row in zip(*columns)]
    return sheet(rows, captions)


def _painted(label: np.ndarray, classes: int) -> np.ndarray:
    """Return the label as uint8, everything that is no class as 255."""
    return np.where((label >= 0) & (label < classes), label, IGNORE).astype(np.uint8)


def _padded(image: np.ndarray, height: int) -> np.ndarray:
    return np.pad(image, ((0, height - image.shape[0]), (0, 0), (0, 0)), constant_values=255)
