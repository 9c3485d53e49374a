"""IAST's training augmentation: flip, brightness and contrast, random sized crop, with Albumentations' semantics.

Mei et al., ECCV 2020, in the form of the official code (albumentations 0.4.x, OpenCV): every item has its own
probability, the crop's height is a uniform integer, its width a fixed multiple, and the crop is resized to one size.
"""

from dataclasses import dataclass

import numpy as np
from pydantic import PositiveFloat, PositiveInt

from common.data.opencv import resize_linear, resize_nearest
from common.errors import UserError
from common.schema import Fraction, Size, Strict


class SizedCropConfig(Strict):
    """The augmentation of one dataset's training pairs."""

    size: Size = (1024, 512)  # (width, height) of the result
    heights: tuple[PositiveInt, PositiveInt] = (341, 1000)  # least and greatest height of a crop, both included
    ratio: PositiveFloat = 2.0  # width of a crop in units of its height
    compose: Fraction = 1.0  # probability that anything is done at all
    flip: Fraction = 0.5  # probability of a horizontal flip
    brighten: Fraction = 0.3  # probability of a change of brightness and contrast
    brightness: Fraction = 0.2  # largest change, in units of 255
    contrast: Fraction = 0.2  # largest change of the factor
    crop: Fraction = 1.0  # probability of the crop


@dataclass(frozen=True)
class Draw:
    """The random numbers of one pair, each uniform in [0, 1) but for the last four.

    Attributes:
        gates: Of the composition, the flip, brightness and contrast, and the crop.
        contrast: Change of the factor, in [-limit, limit].
        brightness: Change in units of 255, in [-limit, limit].
        height: Of the crop, pixels.
        place: Vertical and horizontal place of the crop, in [0, 1).
    """

    gates: tuple[float, float, float, float]
    contrast: float
    brightness: float
    height: int
    place: tuple[float, float]


def draw(config: SizedCropConfig, rng: np.random.Generator) -> Draw:
    """Draw the numbers of one pair, always all of them, so that no option shifts the others."""
    numbers = rng.random(8)
    low, high = config.heights
    height = int(rng.integers(low, high + 1))
    contrast, brightness = (limit * (2 * u - 1) for limit, u in zip((config.contrast, config.brightness), numbers[4:6]))
    return Draw(tuple(numbers[:4].tolist()), float(contrast), float(brightness), height, tuple(numbers[6:].tolist()))


def sized_crop(image: np.ndarray, label: np.ndarray, config: SizedCropConfig, drawn: Draw):
    """Return the augmented pair.

    Args:
        image: (H, W, 3) uint8 RGB.
        label: (H, W) uint8.
        config: The probabilities and sizes.
        drawn: The random numbers.
    Returns:
        Image (height, width, 3) and label (height, width), uint8, of the configured size; of their own where the crop
        is not drawn.
    Raises:
        UserError: If the crop is larger than the image, which Albumentations refuses too.
    """
    compose, flip, brighten, crop = drawn.gates
    if compose >= config.compose:
        return image, label
    if flip < config.flip:
        image, label = image[:, ::-1], label[:, ::-1]
    if brighten < config.brighten:
        image = contrast_table(1.0 + drawn.contrast, drawn.brightness)[image]
    if crop >= config.crop:
        return np.ascontiguousarray(image), np.ascontiguousarray(label)
    image, label = (_cut(pixels, config, drawn) for pixels in (image, label))
    return resize_linear(image, config.size), resize_nearest(label, config.size)


def contrast_table(factor: float, brightness: float) -> np.ndarray:
    """Return the new value of every 8 bit value, (256,) uint8: ``v * factor + 255 * brightness``, truncated.

    The arithmetic is Albumentations' own, in float32 and in this order.
    """
    table = np.arange(256, dtype=np.float32)
    table *= factor
    table += brightness * 255
    return np.clip(table, 0, 255).astype(np.uint8)


def _cut(pixels: np.ndarray, config: SizedCropConfig, drawn: Draw) -> np.ndarray:
    height, width = drawn.height, int(drawn.height * config.ratio)
    if height > pixels.shape[0] or width > pixels.shape[1]:
        here = f"{pixels.shape[1]}x{pixels.shape[0]}"
        repair = "lower heights of method.crop_source or crop_target, or set it to null"
        raise UserError(f"a crop of {width}x{height} does not fit an image of {here}: {repair}")
    top = int((pixels.shape[0] - height) * drawn.place[0])
    left = int((pixels.shape[1] - width) * drawn.place[1])
    return pixels[top : top + height, left : left + width]
