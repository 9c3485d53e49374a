"""Deterministic preprocessing with Pillow (DDM, section 2.4): resizing, and what the network sees of an image.

Sizes are (width, height). Pillow's bicubic filter antialiases when it shrinks; OpenCV and the frameworks give
other numbers, so both twins take their pixels from here.
"""

import numpy as np
from PIL import Image

from common.schema import InputConfig, Size


def resize_image(image: np.ndarray, size: Size) -> np.ndarray:
    """Return an image in another size, bicubic, the aspect ratio not kept.

    Args:
        image: (H, W, 3) uint8.
        size: (width, height); the image itself is returned when it has this size.
    Returns:
        (height, width, 3) uint8.
    """
    return _resize(image, size, Image.Resampling.BICUBIC)


def resize_label(label: np.ndarray, size: Size) -> np.ndarray:
    """Return a label map in another size, nearest.

    Args:
        label: (H, W) uint8 ids of any kind.
        size: (width, height); the map itself is returned when it has this size.
    Returns:
        (height, width) uint8.
    """
    return _resize(label, size, Image.Resampling.NEAREST)


def _resize(pixels: np.ndarray, size: Size, method: Image.Resampling) -> np.ndarray:
    if pixels.shape[:2] == (size[1], size[0]):
        return pixels
    return np.array(Image.fromarray(pixels).resize(tuple(size), method))


def normalise(image: np.ndarray, config: InputConfig) -> np.ndarray:
    """Return what the network sees of an image: the reference of what objectives compute on the device.

    Args:
        image: (H, W, 3) uint8 RGB.
        config: Channel order, scale, mean and std.
    Returns:
        (3, H, W) float32: ``(image * scale, reordered, minus mean) / std``.
    """
    pixels = image[:, :, ::-1] if config.order == "bgr" else image
    pixels = pixels.astype(np.float32) * np.float32(config.scale)
    pixels = (pixels - np.array(config.mean, np.float32)) / np.array(config.std, np.float32)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))
