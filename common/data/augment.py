"""Optional augmentation of training pairs: random scale, crop, flip and colour jitter; everything off by default."""

import numpy as np
from PIL import Image, ImageEnhance

from common.schema import AugmentConfig

IGNORED = 255


def augment(
    image: np.ndarray, label: np.ndarray, config: AugmentConfig, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return a pair after the random changes that ``config`` asks for, in the order scale, crop, flip, jitter.

    Args:
        image: (H, W, 3) uint8 RGB.
        label: (H, W) uint8 train ids, 255 ignored.
        config: The section ``data.augment``.
        rng: Generator of this pair's position.
    Returns:
        The pair, of ``config.crop`` if that is set; the arguments themselves when everything is off.
    """
    if config.scale:
        factor = rng.uniform(*config.scale)
        size = max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor))
        image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
        label = np.asarray(Image.fromarray(label).resize(size, Image.Resampling.NEAREST))
    if config.crop:
        image, label = _crop(image, label, config.crop, rng)
    if config.flip and rng.random() < config.flip:
        image, label = image[:, ::-1], label[:, ::-1]
    if config.jitter:
        image = _jitter(image, config.jitter, rng)
    return image, label


def _crop(image: np.ndarray, label: np.ndarray, size: tuple[int, int], rng) -> tuple[np.ndarray, np.ndarray]:
    """Cut a random window of ``size`` (width, height); what is too small gets black, ignored pixels below and right."""
    height, width = label.shape
    pad = (0, max(0, size[1] - height)), (0, max(0, size[0] - width))
    if any(after for _, after in pad):
        image = np.pad(image, (*pad, (0, 0)))
        label = np.pad(label, pad, constant_values=IGNORED)
        height, width = label.shape
    top, left = int(rng.integers(height - size[1] + 1)), int(rng.integers(width - size[0] + 1))
    inside = slice(top, top + size[1]), slice(left, left + size[0])
    return image[inside], label[inside]


def _jitter(image: np.ndarray, strength: float, rng) -> np.ndarray:
    """Multiply brightness, contrast and saturation by factors of their own from [1 - strength, 1 + strength]."""
    picture = Image.fromarray(np.ascontiguousarray(image))
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = enhance(picture).enhance(max(0.0, rng.uniform(1.0 - strength, 1.0 + strength)))
    return np.asarray(picture)
