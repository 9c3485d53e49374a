"""LAB colour transfer against a literal rendering of its formulas."""

import numpy as np
import pytest

from common.data import colour
from common.data.colour import LabStatistics, lab_statistics, lab_to_rgb, match, rgb_to_lab, transfer
from common.draws import generator

# a dark, a saturated, a grey and a white pixel lead; the rest is noise
CORNERS = np.array([[3, 2, 1], [255, 0, 10], [128, 128, 128], [255, 255, 255]], np.uint8)


def picture(name: str, height: int = 9, width: int = 11, top: int = 256) -> np.ndarray:
    """Return a random image that holds the corner cases."""
    image = generator(1, name).integers(0, top, (height, width, 3), dtype=np.uint8)
    image[0, :4] = CORNERS
    return image


def literal_lab(image: np.ndarray) -> np.ndarray:
    """One pixel at a time, as the specification writes it."""
    lab = np.empty(image.shape)
    for place in np.ndindex(image.shape[:2]):
        value = image[place] / 255
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in value]
        xyz = colour.RGB_TO_XYZ @ linear / (0.95047, 1.0, 1.08883)
        x, y, z = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in xyz)
        lab[place] = 116 * y - 16, 500 * (x - y), 200 * (y - z)
    return lab


def literal_rgb(lab: np.ndarray) -> np.ndarray:
    """The way back, one pixel at a time, in grey levels."""
    rgb = np.empty(lab.shape)
    for place in np.ndindex(lab.shape[:2]):
        light, a, b = lab[place]
        y = (light + 16) / 116
        f = a / 500 + y, y, max(y - b / 200, 0.0)
        xyz = np.array([t**3 if t > 0.2068966 else (t - 16 / 116) / 7.787 for t in f]) * (0.95047, 1.0, 1.08883)
        linear = np.linalg.inv(colour.RGB_TO_XYZ) @ xyz
        gamma = [1.055 * v ** (1 / 2.4) - 0.055 if v > 0.0031308 else 12.92 * v for v in linear]
        rgb[place] = np.clip(gamma, 0, 1) * 255
    return rgb


def test_lab_is_the_formula() -> None:
    """Linear and dark branches alike."""
    image = picture("lab")
    assert np.abs(rgb_to_lab(image) - literal_lab(image)).max() < 1e-11


def test_transfer_is_the_formula() -> None:
    """Statistics, transfer, way back, truncation; colours leave the gamut on the way."""
    image, style = picture("source"), picture("target", 5, 30, top=90)
    lab, other = literal_lab(image), literal_lab(style).reshape(-1, 3)
    moved = (lab - lab.mean((0, 1))) / lab.std((0, 1)) * other.std(0) + other.mean(0)
    want = literal_rgb(moved)
    assert np.abs(match(rgb_to_lab(image), lab_statistics(style)) - moved).max() < 1e-10
    assert np.abs(lab_to_rgb(moved) - want).max() < 1e-9
    near = np.abs(want - np.round(want)) < 1e-6  # a value on a step may fall to either side
    assert near.mean() < 0.2 and np.array_equal(
        transfer(image, lab_statistics(style))[~near], want.astype(np.uint8)[~near]
    )


@pytest.mark.parametrize("strip", [1, 7, 1000])
def test_strips_do_not_show(monkeypatch: pytest.MonkeyPatch, strip: int) -> None:
    """The result does not depend on how the image is cut."""
    image, style = picture("source"), lab_statistics(picture("target"))
    whole = transfer(image, style)
    monkeypatch.setattr(colour, "STRIP", strip)
    assert np.array_equal(transfer(image, style), whole)


def test_identity_loses_at_most_one_level() -> None:
    """Truncation costs a grey level even when source and target are one image."""
    image = picture("same", 40, 40)
    lost = image.astype(int) - transfer(image, lab_statistics(image))
    assert lost.min() >= 0 and lost.max() <= 1


@pytest.mark.parametrize("level", [0, 7, 128, 255])
def test_single_value_takes_the_mean_of_the_style(level: int) -> None:
    """A constant image has no deviation to divide by; it becomes the style's mean colour."""
    image, style = np.full((6, 8, 3), level, np.uint8), lab_statistics(picture("target"))
    want = lab_to_rgb(style.mean[None, None])[0, 0]
    assert np.abs(transfer(image, style).astype(float) - want).max() <= 1.0
    assert np.isfinite(match(rgb_to_lab(image), style)).all()


def test_steps_are_where_the_power_function_has_them() -> None:
    """The look-up in place of the power function gives the same bytes."""
    value = generator(2, "linear").random(300_000)
    gamma = np.where(value > 0.0031308, 1.055 * value ** (1 / 2.4) - 0.055, 12.92 * value)
    assert np.array_equal(colour._encode(value), (gamma * 255).astype(np.uint8))
    assert colour._encode(np.array([-0.5, 0.0, 1.5])).tolist() == [0, 0, 255]


def test_arguments_are_left_alone() -> None:
    """Work is done in place, but not in what the caller holds."""
    image, lab = picture("source"), rgb_to_lab(picture("source"))
    before, lab_before, style = image.copy(), lab.copy(), LabStatistics(np.ones(3), np.ones(3))
    transfer(image, style), match(lab, style), lab_to_rgb(lab)
    assert np.array_equal(image, before) and np.array_equal(lab, lab_before)
