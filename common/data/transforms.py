"""Deterministic preprocessing with Pillow: resizing, cropping, stacking, and what the network sees of an image.

Sizes are (width, height). Pillow's bicubic filter antialiases when it shrinks; OpenCV and the frameworks give
other numbers, so both twins take their pixels from here.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from common.errors import UserError
from common.schema import InputConfig, Size

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def resize_image(image: np.ndarray, size: Size, method: str = "bicubic") -> np.ndarray:
    """Return an image in another size, the aspect ratio not kept.

    Args:
        image: (H, W, 3) uint8.
        size: (width, height); the image itself is returned when it has this size.
        method: Key of ``FILTERS``. Code that names no filter means bicubic since Pillow 7, nearest before.
    Returns:
        (height, width, 3) uint8.
    """
    return _resize(image, size, FILTERS[method])


def resize_label(label: np.ndarray, size: Size) -> np.ndarray:
    """Return a label map in another size, nearest.

    Args:
        label: (H, W) uint8 ids of any kind.
        size: (width, height); the map itself is returned when it has this size.
    Returns:
        (height, width) uint8.
    """
    return _resize(label, size, Image.Resampling.NEAREST)


def crop(pixels: np.ndarray, size: Size, top: int, left: int) -> np.ndarray:
    """Return the frame ``size`` (width, height) of (H, W) or (H, W, 3) pixels whose upper left is (top, left)."""
    return np.ascontiguousarray(pixels[top : top + size[1], left : left + size[0]])


def centre_crop(image: np.ndarray, size: Size) -> np.ndarray:
    """Return the middle of an image as torchvision's ``CenterCrop`` cuts it: half offsets go to the even neighbour.

    Args:
        image: (H, W, 3) uint8, at least of this size.
        size: (width, height).
    Raises:
        UserError: If the image is smaller.
    """
    height, width = image.shape[:2]
    if width < size[0] or height < size[1]:
        raise UserError(f"an image of {width}x{height} is smaller than the crop {size[0]}x{size[1]}; set size")
    return crop(image, size, round((height - size[1]) / 2), round((width - size[0]) / 2))


def flip(pixels: np.ndarray) -> np.ndarray:
    """Return the mirror image of (H, W) or (H, W, 3) pixels."""
    return np.ascontiguousarray(pixels[:, ::-1])


def pad(pixels: np.ndarray, width: int, fill: int = 0) -> np.ndarray:
    """Return (H, W) or (H, W, 3) pixels with a border of ``width`` pixels of one value on every side."""
    return np.pad(pixels, [(width, width)] * 2 + [(0, 0)] * (pixels.ndim - 2), constant_values=fill)


def stack_images(images: Sequence[np.ndarray]) -> np.ndarray:
    """Return (N, 3, H, W) uint8 of N images (H, W, 3) of one size."""
    return np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2))


def normalise(image: np.ndarray, config: InputConfig) -> np.ndarray:
    """Return what the network sees of an image: the reference of what objectives compute on the device.

    Args:
        image: (H, W, 3) RGB in [0, 255], uint8 or float32.
        config: Channel order, scale, mean and std.
    Returns:
        (3, H, W) float32: ``(image * scale, reordered, minus mean) / std``.
    """
    pixels = image[:, :, ::-1] if config.order == "bgr" else image
    pixels = pixels.astype(np.float32) / np.float32(1.0 / config.scale)
    pixels = (pixels - np.array(config.mean, np.float32)) / np.array(config.std, np.float32)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _resize(pixels: np.ndarray, size: Size, method: Image.Resampling) -> np.ndarray:
    if pixels.shape[:2] == (size[1], size[0]):
        return pixels
    return np.array(Image.fromarray(pixels).resize(tuple(size), method))
