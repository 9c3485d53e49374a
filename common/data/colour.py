"""LAB colour transfer: a source image in the colours of a target image (DDM, sections 4.2 and 5.3 of the paper).

CIE L*a*b* under D65 and the 2 degree observer, with scikit-image's constants, in float64: L in [0, 100], a and b
about [-128, 128]. Images are cut into strips that fit the processor's cache, which halves the time.
"""

from dataclasses import dataclass

import numpy as np

RGB_TO_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
XYZ_TO_RGB = np.linalg.inv(RGB_TO_XYZ)
WHITE = np.array([0.95047, 1.0, 1.08883])
FLAT = 1e-9  # a standard deviation below it is rounding noise of a channel with a single value
STRIP = 1 << 15  # pixels


@dataclass(frozen=True)
class LabStatistics:
    """Mean and population standard deviation of L, a, b over all pixels of an image: two float64 (3,)."""

    mean: np.ndarray
    std: np.ndarray


def rgb_to_lab(image: np.ndarray) -> np.ndarray:
    """Return the (H, W, 3) float64 L*a*b* values of an (H, W, 3) uint8 RGB image."""
    height, width = image.shape[:2]
    return _lab_planes(image).T.reshape(height, width, 3)


def lab_to_rgb(lab: np.ndarray) -> np.ndarray:
    """Return the (H, W, 3) float64 RGB values in [0, 255] of L*a*b* values; colours outside the gamut are clipped."""
    linear = _linear_rgb(lab.reshape(-1, 3).T.copy())
    bright = linear > 0.0031308
    rgb = np.where(bright, 1.055 * np.maximum(linear, 0.0) ** (1 / 2.4) - 0.055, 12.92 * linear)
    return np.clip(rgb * 255, 0.0, 255.0).T.reshape(lab.shape)


def lab_statistics(image: np.ndarray) -> LabStatistics:
    """Return the statistics of an (H, W, 3) uint8 RGB image."""
    return _statistics(_lab_planes(image))


def match(lab: np.ndarray, style: LabStatistics) -> np.ndarray:
    """Return ``(lab - mean) / std * style.std + style.mean`` channel by channel, (H, W, 3) float64.

    A channel with a single value has std 0; it is divided by 1 instead and so takes the style's mean.
    """
    own = _statistics(lab.reshape(-1, 3).T)
    return (lab - own.mean) * _scale(own, style) + style.mean


def transfer(image: np.ndarray, style: LabStatistics) -> np.ndarray:
    """Return an image in the colours of another.

    Args:
        image: (H, W, 3) uint8 RGB.
        style: Statistics of the other image (``lab_statistics``).
    Returns:
        (H, W, 3) uint8 RGB; values are truncated, not rounded, as the official code does.
    """
    planes = _lab_planes(image)
    own = _statistics(planes)
    scale = _scale(own, style)
    result = np.empty((planes.shape[1], 3), np.uint8)
    for start in range(0, planes.shape[1], STRIP):
        strip = planes[:, start : start + STRIP]
        strip -= own.mean[:, None]
        strip *= scale[:, None]
        strip += style.mean[:, None]
        result[start : start + STRIP] = _encode(_linear_rgb(strip)).T
    return result.reshape(image.shape)


def _statistics(planes: np.ndarray) -> LabStatistics:
    """Return the statistics of (3, pixels) values."""
    return LabStatistics(planes.mean(axis=1), planes.std(axis=1))


def _scale(own: LabStatistics, style: LabStatistics) -> np.ndarray:
    return style.std / np.where(own.std > FLAT, own.std, 1.0)


def _lab_planes(image: np.ndarray) -> np.ndarray:
    """Return (3, pixels) float64 L, a, b of an (H, W, 3) uint8 image."""
    pixels = image.reshape(-1, 3)
    planes = np.empty((3, len(pixels)))
    for start in range(0, len(pixels), STRIP):
        linear = _LINEAR[pixels[start : start + STRIP]]
        xyz = (RGB_TO_XYZ / WHITE[:, None]) @ linear.T
        f = np.cbrt(xyz)
        dark = xyz <= 0.008856
        f[dark] = 7.787 * xyz[dark] + 16 / 116
        strip = planes[:, start : start + STRIP]
        np.multiply(f[1], 116, out=strip[0])
        strip[0] -= 16
        np.subtract(f[0], f[1], out=strip[1])
        np.subtract(f[1], f[2], out=strip[2])
    planes[1] *= 500
    planes[2] *= 200
    return planes


def _linear_rgb(planes: np.ndarray) -> np.ndarray:
    """Return (3, pixels) linear RGB, not clipped, of (3, pixels) L, a, b, which it overwrites."""
    light, a, b = planes
    light += 16
    light /= 116
    a /= 500
    a += light
    b /= -200
    b += light
    np.maximum(b, 0.0, out=b)
    f = np.stack([a, light, b])
    xyz = f * f * f
    dark = f <= 0.2068966
    xyz[dark] = (f[dark] - 16 / 116) / 7.787
    return (XYZ_TO_RGB * WHITE) @ xyz


def _encode(linear: np.ndarray) -> np.ndarray:
    """Return the uint8 of linear RGB: gamma, clip, times 255, truncated; a power function by comparison.

    Each of 65,536 cells of [0, 1] holds at most one of the 255 values at which the result steps up.
    """
    value = np.clip(linear, 0.0, 1.0)
    cell = (value * 65535).astype(np.uint16)
    return _BASE[cell] + (value >= _STEP[cell])


def _encoded(linear: np.ndarray) -> np.ndarray:
    """Return what ``_encode`` looks up: 255 times the gamma of values in [0, 1], truncated."""
    gamma = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    return np.clip(gamma * 255, 0, 255).astype(np.uint8)


def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the linear value of every uint8, and for every cell its first result and where the next begins."""
    level = np.arange(256) / 255
    linear = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    low, high = np.zeros(255), np.ones(255)  # result k begins in (low, high]; halved until neighbouring floats
    for _ in range(80):
        middle = (low + high) / 2
        reached = _encoded(middle) >= np.arange(1, 256)
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    cell = (high * 65535).astype(np.int64)
    step = np.full(65536, np.inf)
    step[cell] = high
    return linear, np.searchsorted(cell, np.arange(65536)).astype(np.uint8), step


_LINEAR, _BASE, _STEP = _tables()
