"""DiGA's strong augmentation (Shen et al., CVPR 2023): four colour operations with the semantics of kornia 0.5.8.

By default they work on what the network sees, zero-centred BGR, as if it were RGB in [0, 1]: so the jitter sets
everything below the mean to 0, and hue means another thing than its name says. That is the official behaviour;
``range: unit`` gives them the colours that they were made for. All random numbers are arguments; ``draw_strong`` takes
them from a generator.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from common.data.transforms import normalise
from common.schema import Fraction, InputConfig, Strict

_TURN = np.float32(2 * np.pi)
_GRAY = np.array((0.299, 0.587, 0.114), np.float32)
_EPS = np.float32(1e-6)
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = range(4)


class StrongConfig(Strict):
    """Probability of each operation for an image; 0 leaves it out."""

    jitter: Fraction = 0.5
    gray: Fraction = 0.3
    blur: Fraction = 0.8
    sharpness: Fraction = 0.3
    beta: Fraction = 0.4  # share of the augmented image in the blend
    # what the operations work on: centred, as the official code, what the network sees; unit: RGB in [0, 1]
    range: Literal["centred", "unit"] = "centred"


@dataclass(frozen=True)
class JitterDraw:
    """Factors of the colour jitter of one image; None in ``StrongDraw`` leaves the image alone.

    Attributes:
        brightness: In [0.6, 1.4]; ``brightness - 1`` is added.
        contrast: In [0.6, 1.4]; a factor.
        saturation: In [0.8, 1.2]; factor of the saturation.
        hue: In [-0.1, 0.1]; turns added to the hue.
    """

    brightness: float
    contrast: float
    saturation: float
    hue: float


@dataclass(frozen=True)
class StrongDraw:
    """What happens to one image.

    Attributes:
        jitter: Factors, or None.
        order: Order of brightness 0, contrast 1, saturation 2 and hue 3; one for a whole batch.
        gray: Whether the image loses its colours.
        blur: Whether it is blurred.
        sharpness: Factor in [0, 0.5], or None; below 1 it smooths.
    """

    jitter: JitterDraw | None = None
    order: tuple[int, int, int, int] = (0, 1, 2, 3)
    gray: bool = False
    blur: bool = False
    sharpness: float | None = None


def draw_strong(rng: np.random.Generator, config: StrongConfig, order: tuple[int, int, int, int]) -> StrongDraw:
    """Draw what happens to one image; ``order`` is its batch's (``rng.permutation(4)`` of the batch's generator)."""
    chances, factors = rng.random(4), rng.uniform((0.6, 0.6, 0.8, -0.1), (1.4, 1.4, 1.2, 0.1))
    sharpness = float(rng.uniform(0.0, 0.5))
    return StrongDraw(
        JitterDraw(*map(float, factors)) if chances[0] < config.jitter else None,
        order,
        bool(chances[1] < config.gray),
        bool(chances[2] < config.blur),
        sharpness if chances[3] < config.sharpness else None,
    )


def strong_operations(image: np.ndarray, draw: StrongDraw) -> list[np.ndarray]:
    """Return an image (3, H, W) float32 after each of the four operations, in order."""
    steps = [image if draw.jitter is None else jitter(image, draw.jitter, draw.order)]
    steps.append(grayscale(steps[-1]) if draw.gray else steps[-1])
    steps.append(gaussian_blur(steps[-1]) if draw.blur else steps[-1])
    steps.append(steps[-1] if draw.sharpness is None else sharpen(steps[-1], draw.sharpness))
    return steps


def strong_view(image: np.ndarray, draw: StrongDraw, config: StrongConfig, seen_as: InputConfig) -> np.ndarray:
    """Return the augmented view of an image as the network sees it, (3, H, W) float32.

    With x what the network sees of the image, ``range: centred`` gives ``beta * (A(x) - 0.5) / 0.5 + (1 - beta) * x``:
    an image that no operation selects becomes ``(1 + beta) * x - beta``. ``range: unit`` gives ``beta * x' +
    (1 - beta) * x``, where x' is what it sees of A of the image's RGB in [0, 1]: an image that none selects stays x.

    Args:
        image: (H, W, 3) uint8 RGB.
        draw: What A does.
        config: Range, and beta, the weight of the augmented image.
        seen_as: How the network sees images.
    """
    seen = normalise(image, seen_as)
    if config.range == "centred":
        return blend(seen, strong_operations(seen, draw)[-1], config.beta)
    unit = image.transpose(2, 0, 1).astype(np.float32) / np.float32(255.0)
    augmented = strong_operations(unit, draw)[-1].transpose(1, 2, 0) * np.float32(255.0)
    return config.beta * normalise(augmented, seen_as) + (1.0 - config.beta) * seen


def blend(image: np.ndarray, augmented: np.ndarray, beta: float) -> np.ndarray:
    """Return ``beta * normalise(augmented) + (1 - beta) * image``, in the images' type."""
    return beta * normalise_half(augmented) + (1.0 - beta) * image


def normalise_half(x: np.ndarray) -> np.ndarray:
    """Return ``(x - 0.5) / 0.5``: kornia's Normalize with mean and deviation 0.5."""
    return (x - 0.5) / 0.5


def unnormalise_half(x: np.ndarray) -> np.ndarray:
    """Return ``x * 0.5 + 0.5``, the inverse of ``normalise_half``."""
    return x * 0.5 + 0.5


def jitter(image: np.ndarray, draw: JitterDraw, order: tuple[int, int, int, int]) -> np.ndarray:
    """Return (3, H, W) after brightness, contrast, saturation and hue in the given order."""
    for step in order:
        if step == _BRIGHTNESS:
            image = brightness(image, draw.brightness - 1.0)
        elif step == _CONTRAST:
            image = contrast(image, draw.contrast)
        elif step == _SATURATION:
            image = saturation(image, draw.saturation)
        else:
            image = hue(image, draw.hue * 2 * np.pi)
    return image


def brightness(image: np.ndarray, added: float) -> np.ndarray:
    """Return the image plus a number, clipped to [0, 1]."""
    return np.clip(image + np.float32(added), 0.0, 1.0)


def contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Return the image times a factor (no mean is kept), clipped to [0, 1]."""
    return np.clip(image * np.float32(factor), 0.0, 1.0)


def saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """Return (3, H, W) with its HSV saturation scaled and clipped to [0, 1]."""
    hsv = rgb_to_hsv(image)
    hsv[1] = np.clip(hsv[1] * np.float32(factor), 0.0, 1.0)
    return hsv_to_rgb(hsv)


def hue(image: np.ndarray, radians: float) -> np.ndarray:
    """Return (3, H, W) with an angle added to its hue; the remainder has the sign of the sum."""
    hsv = rgb_to_hsv(image)
    hsv[0] = np.fmod(hsv[0] + np.float32(radians), _TURN)
    return hsv_to_rgb(hsv)


def rgb_to_hsv(image: np.ndarray) -> np.ndarray:
    """Return hue in [0, 2 pi), saturation and value of (3, H, W) float32; the channels may be negative."""
    largest = image.max(axis=0)
    span = largest - image.min(axis=0)
    away = largest - image
    step = np.where(span == 0, np.float32(1.0), span)
    sector = [away[2] - away[1], 2 * step + away[0] - away[2], 4 * step + away[1] - away[0]]
    angle = np.choose(image.argmax(axis=0), sector) / step / np.float32(6.0)
    return np.stack([_TURN * np.mod(angle, np.float32(1.0)), span / (largest + _EPS), largest]).astype(np.float32)


def hsv_to_rgb(hsv: np.ndarray) -> np.ndarray:
    """Return (3, H, W) of hue (radians), saturation and value."""
    turn, s, v = hsv[0] / _TURN, hsv[1], hsv[2]
    sixth = turn * np.float32(6.0)
    sector = np.mod(np.floor(sixth), np.float32(6.0)).astype(np.int64)
    part = np.mod(sixth, np.float32(6.0)) - sector
    one = np.float32(1.0)
    p, q, t = v * (one - s), v * (one - part * s), v * (one - (one - part) * s)
    red, green, blue = [v, q, p, p, t, v], [t, v, v, q, p, p], [p, p, t, v, v, q]
    return np.stack([np.choose(sector, channel) for channel in (red, green, blue)]).astype(np.float32)


def grayscale(image: np.ndarray) -> np.ndarray:
    """Return (3, H, W) whose channels are ``0.299 c0 + 0.587 c1 + 0.114 c2``."""
    return np.repeat(np.tensordot(_GRAY, image, 1)[None], 3, axis=0)


def gaussian_blur(image: np.ndarray) -> np.ndarray:
    """Return (3, H, W) convolved with a 3x3 Gaussian of deviation 2, mirrored at the border."""
    side = np.exp(-np.float32(1.0) / np.float32(8.0))
    kernel = np.array((side, 1.0, side), np.float32) / np.float32(1.0 + 2.0 * side)
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)), mode="reflect")
    rows = sum(kernel[i] * padded[:, i : i + image.shape[1]] for i in range(3))
    return sum(kernel[i] * rows[:, :, i : i + image.shape[2]] for i in range(3))


def sharpen(image: np.ndarray, factor: float) -> np.ndarray:
    """Return ``blurred + factor * (image - blurred)``, (3, H, W); factors below 1 smooth.

    The blurred image is the 3x3 mean with a centre of weight 5, clipped to [0, 1]; border pixels are the image's own.
    """
    blurred = image.copy()
    height, width = image.shape[1] - 2, image.shape[2] - 2
    around = sum(image[:, i : i + height, j : j + width] for i in range(3) for j in range(3))
    inside = image[:, 1:-1, 1:-1]
    blurred[:, 1:-1, 1:-1] = np.clip((around + np.float32(4.0) * inside) / np.float32(13.0), 0.0, 1.0)
    return blurred + np.float32(factor) * (image - blurred)
