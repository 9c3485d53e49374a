"""Optional augmentation of an image with its label: flip, random scale and crop, colour jitter.

Off by default; DDM uses none. The draws are made in one order whatever is switched on, so that switching one
augmentation on or off leaves the others as they were.
"""

from collections.abc import Callable

import numpy as np

from common.data.labels import IGNORE
from common.data.transforms import flip, pad, resize_image, resize_label
from common.schema import AugmentConfig

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R 601, as Pillow's conversion to grey


def augment(
    image: np.ndarray, label: np.ndarray | None, config: AugmentConfig, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the pair as the configuration asks: flipped, scaled, cropped, jittered, in this order.

    A random scale without ``crop`` keeps the frame: the scaled pair is cropped or padded to its old size. Padding
    is black in the image and 255 in the label. With ``pad`` the flip comes behind the crop, as in AuG-KD's code.

    Args:
        image: (H, W, 3) uint8 RGB.
        label: (H, W) uint8 train ids; None where the label is not a map.
        config: Which augmentations.
        rng: Source of the draws: flip, scale, crop column, crop row, brightness, contrast, saturation.
    Returns:
        Image (h, w, 3) and label (h, w) or None, uint8; the arguments themselves when everything is off.
    """
    draws = rng.random(7)
    image = _moved(image, config, draws, 0, resize_image)
    if label is not None:
        label = _moved(label, config, draws, IGNORE, resize_label)
    if config.jitter:
        image = jitter(image, *(1 + config.jitter * (2 * draws[4:7] - 1)))
    return image, label


def jitter(image: np.ndarray, brightness: float, contrast: float, saturation: float) -> np.ndarray:
    """Return an image with other brightness, contrast (around its mean grey) and saturation; 1 leaves each alone.

    Args:
        image: (H, W, 3) uint8 RGB.
        brightness: Factor of all values; negative factors count as 0, as do the others.
        contrast: Factor of the distance from the mean grey.
        saturation: Factor of the distance from the pixel's own grey.
    """
    brightness, contrast, saturation = (np.float32(max(0.0, factor)) for factor in (brightness, contrast, saturation))
    pixels = np.clip(image * brightness, 0, 255)
    middle = (pixels @ LUMA).mean()
    pixels = np.clip(middle + (pixels - middle) * contrast, 0, 255)
    grey = (pixels @ LUMA)[..., None]
    return np.rint(np.clip(grey + (pixels - grey) * saturation, 0, 255)).astype(np.uint8)


def _moved(pixels: np.ndarray, config: AugmentConfig, draws: np.ndarray, fill: int, resize: Callable) -> np.ndarray:
    """Return an image or a label map flipped, scaled, padded and cropped."""
    frame = config.crop or (pixels.shape[1], pixels.shape[0])
    mirrored = draws[0] < config.flip
    if mirrored and not config.pad:
        pixels = flip(pixels)
    if config.scale:
        factor = config.scale[0] + draws[1] * (config.scale[1] - config.scale[0])
        pixels = resize(pixels, (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor))))
    if config.pad:
        pixels = pad(pixels, config.pad, fill)
    if config.scale or config.crop or config.pad:
        pixels = _crop(pixels, frame, draws[2:4], fill)
    return flip(pixels) if mirrored and config.pad else pixels


def _crop(pixels: np.ndarray, size: tuple[int, int], place: np.ndarray, fill: int) -> np.ndarray:
    """Cut a frame (width, height) out; ``place`` in [0, 1)^2 chooses it. What lacks is padded right and below."""
    width, height = size
    left, top = (int(share * (max(0, have - want) + 1)) for share, have, want in zip(place, pixels.shape[1::-1], size))
    part = pixels[top : top + height, left : left + width]
    missing = [(0, height - part.shape[0]), (0, width - part.shape[1])] + [(0, 0)] * (pixels.ndim - 2)
    return np.ascontiguousarray(np.pad(part, missing, constant_values=fill) if np.any(missing) else part)
