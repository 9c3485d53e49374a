"""Strong colour views of an image: some of eight operations, as HIAST's student sees them (Zhu et al., TPAMI 2025).

The official code draws three of Albumentations' operations, each of which then happens with probability 0.5. Here they
are NumPy's and Pillow's: jitter has a fixed order, and the Gaussian blur is Pillow's.
"""

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from common.data.augment import LUMA, jitter
from common.data.sized_crop import contrast_table

CHANCE = 0.5
_JITTER = 0.2  # largest change of brightness, contrast, saturation and, in turns, hue


def strong_view(image: np.ndarray, operations: int, rng: np.random.Generator) -> np.ndarray:
    """Return an image (H, W, 3) uint8 RGB after some operations, drawn without replacement and applied in that order.

    Args:
        image: (H, W, 3) uint8 RGB; it is not changed.
        operations: How many of the eight are drawn, 0 to 8; each of them happens with probability 0.5.
        rng: Generator of this image's position.
    """
    for place in rng.permutation(len(OPERATIONS))[:operations]:
        happens, numbers = rng.random() < CHANCE, rng.random(4)
        if happens:
            image = OPERATIONS[place](image, numbers)
    return image


def hue_shifted(image: np.ndarray, turns: float) -> np.ndarray:
    """Return an image with its hues turned, 1 being once around the colour wheel."""
    hsv = np.array(Image.fromarray(image).convert("HSV"))
    hsv[..., 0] += np.uint8(round(256 * turns) % 256)
    return np.array(Image.fromarray(hsv, "HSV").convert("RGB"))


def _jittered(image: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    brightness, contrast, saturation, hue = _JITTER * (2 * numbers - 1)
    return hue_shifted(jitter(image, 1 + brightness, 1 + contrast, 1 + saturation), float(hue))


def _blurred(image: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    kernel = 3 + 2 * int(numbers[0] * 20)  # 3 to 41 pixels; OpenCV's deviation for it
    return np.array(Image.fromarray(image).filter(ImageFilter.GaussianBlur(0.3 * ((kernel - 1) / 2 - 1) + 0.8)))


def _contrasted(image: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return contrast_table(1 + 3 * float(numbers[0]), 0.0)[image]


def _brightened(image: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return contrast_table(1.0, float(numbers[0]) - 0.5)[image]


def _posterized(image: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return image & np.uint8(0xF0)


def _equalized(image: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return np.array(ImageOps.equalize(Image.fromarray(image)))


def _solarized(image: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return np.where(image >= 128, 255 - image, image)


def _grey(image: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return np.repeat(np.rint(image @ LUMA).astype(np.uint8)[..., None], 3, axis=2)


OPERATIONS = (_jittered, _blurred, _contrasted, _brightened, _posterized, _equalized, _solarized, _grey)
