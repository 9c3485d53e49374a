"""OpenCV's 8 bit resizing in NumPy, equal to the bit: training code built on Albumentations crops and resizes with it.

No antialiasing; pixel centres are at half-integers for ``linear``, at the upper left for ``nearest``.
"""

import numpy as np

from common.schema import Size

_ONE = 2048  # OpenCV's fixed-point unit of a weight


def resize_linear(image: np.ndarray, size: Size) -> np.ndarray:
    """Return an image in another size as ``cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)`` does.

    Args:
        image: (H, W, 3) uint8, or (H, W).
        size: (width, height); a copy is returned when the image has this size.
    Returns:
        (height, width, 3) or (height, width) uint8.
    """
    width, height = size
    if image.shape[:2] == (height, width):
        return image.copy()
    left, (left_weight, right_weight) = _taps(image.shape[1], width, clamped=True)
    top, (top_weight, bottom_weight) = _taps(image.shape[0], height, clamped=False)
    rows = np.clip(np.stack([top, top + 1]), 0, image.shape[0] - 1)
    used, place = np.unique(rows, return_inverse=True)
    source = image[used].astype(np.int32)
    extra = (1,) * (image.ndim - 2)
    right = np.minimum(left + 1, image.shape[1] - 1)
    across = source[:, left] * left_weight.reshape(-1, *extra) + source[:, right] * right_weight.reshape(-1, *extra)
    across >>= 4
    place = place.reshape(rows.shape)
    above = across[place[0]] * top_weight.reshape(-1, 1, *extra) >> 16
    below = across[place[1]] * bottom_weight.reshape(-1, 1, *extra) >> 16
    return ((above + below + 2) >> 2).astype(np.uint8)


def resize_nearest(label: np.ndarray, size: Size) -> np.ndarray:
    """Return a label map in another size as ``cv2.resize(..., interpolation=cv2.INTER_NEAREST)`` does.

    Args:
        label: (H, W) uint8.
        size: (width, height).
    Returns:
        (height, width) uint8; output i takes input ``floor(i * in / out)``.
    """
    width, height = size
    return label[np.ix_(_sources(label.shape[0], height), _sources(label.shape[1], width))]


def _sources(length: int, wanted: int) -> np.ndarray:
    places = np.floor(np.arange(wanted) * (1.0 / (wanted / length))).astype(np.int64)
    return np.minimum(places, length - 1)


def _taps(length: int, wanted: int, clamped: bool) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Return the first source index of every output and the weights of it and the next.

    Across, weights at the border are clamped; down, only the indices are.
    """
    scale = 1.0 / (wanted / length)
    place = ((np.arange(wanted) + 0.5) * scale - 0.5).astype(np.float32)
    first = np.floor(place).astype(np.int64)
    part = place - first.astype(np.float32)
    if clamped:
        outside = (first < 0) | (first >= length - 1)
        part[outside] = 0
        first = np.clip(first, 0, length - 1)
    weights = np.rint((np.float32(1) - part) * np.float32(_ONE)), np.rint(part * np.float32(_ONE))
    return first, (weights[0].astype(np.int32), weights[1].astype(np.int32))
