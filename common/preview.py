"""What a batch looks like: its images beside their labels, for the eye of whoever sets up data and mixing."""

import numpy as np

from common.data.labels import IGNORE, ClassSet
from common.pictures import captioned, coloured, overlay, sheet
from common.stage import Batch


def batch_sheet(batch: Batch, classes: ClassSet) -> np.ndarray:
    """Return one picture of a batch: a row a sample, a column an image, its labels and both laid over each other.

    Args:
        batch: ``X_image`` (N, 3, H, W) uint8 RGB and, where the domain X has labels, ``X_label``: integers (N, H, W),
            or (N,) classes of whole images, whose names stand below them.
        classes: Give colours and names; ignored pixels are black, in the overlay the bare image.
    Returns:
        (H, W, 3) uint8 RGB.
    """
    captions, columns = [], []
    for key in batch:
        domain, _, kind = key.rpartition("_")
        if kind != "image":
            continue
        images = list(batch[key].transpose(0, 2, 3, 1))
        label = batch.get(f"{domain}_label")
        if label is not None and label.ndim == 1:
            images = [_named(image, classes.names[one]) for image, one in zip(images, label)]
        captions.append(f"{domain} image")
        columns.append(images)
        if label is not None and label.ndim > 1:
            labels = [_painted(one, len(classes)) for one in label]
            captions += [f"{domain} label", "both"]
            columns.append([coloured(one, classes.palette()) for one in labels])
            columns.append([overlay(*pair, classes.palette()) for pair in zip(images, labels)])
    height = max(image.shape[0] for column in columns for image in column)
    rows = [[_padded(image, height) for image in row] for row in zip(*columns)]
    return sheet(rows, captions)


def _named(image: np.ndarray, name: str) -> np.ndarray:
    """Return an image with the name of its class below it."""
    return captioned(image, [(name, (20, 20, 20))], max(image.shape[1], 90))


def _painted(label: np.ndarray, classes: int) -> np.ndarray:
    """Return the label as uint8, everything that is no class as 255."""
    return np.where((label >= 0) & (label < classes), label, IGNORE).astype(np.uint8)


def _padded(image: np.ndarray, height: int) -> np.ndarray:
    return np.pad(image, ((0, height - image.shape[0]), (0, 0), (0, 0)), constant_values=255)
