"""What DiGA's strong augmentation works on: what the network sees, as the official code does, or RGB in [0, 1]."""

import numpy as np
import pytest

from common.data.strong_colour import StrongConfig, StrongDraw, draw_strong, strong_view
from common.data.transforms import normalise
from common.draws import generator
from common.schema import InputConfig

IMAGE = np.random.default_rng(3).integers(0, 256, (9, 11, 3)).astype(np.uint8)
BETA = 0.3
INPUTS = (
    InputConfig(std=(128.0, 128.0, 128.0)),
    InputConfig(order="rgb", scale=1 / 255, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4)),
)
inputs = pytest.mark.parametrize("seen_as", INPUTS, ids=["bgr", "rgb"])


def seen(image: np.ndarray, seen_as: InputConfig) -> np.ndarray:
    """Return in float64 what the network sees of (H, W, 3) numbers in [0, 255]."""
    ordered = image[:, :, ::-1] if seen_as.order == "bgr" else image
    return ((ordered.astype(np.float64) * seen_as.scale - seen_as.mean) / seen_as.std).transpose(2, 0, 1)


@inputs
def test_an_image_that_nothing_selects_stays_itself_in_unit_range_alone(seen_as):
    x = seen(IMAGE, seen_as)
    for kind, want in (("unit", x), ("centred", (1 + BETA) * x - BETA)):
        got = strong_view(IMAGE, StrongDraw(), StrongConfig(beta=BETA, range=kind), seen_as)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, want, atol=1e-5)


@inputs
def test_in_unit_range_gray_weighs_red_green_and_blue_by_their_names(seen_as):
    gray = np.repeat((IMAGE @ (0.299, 0.587, 0.114))[:, :, None], 3, axis=2)
    want = BETA * seen(gray, seen_as) + (1 - BETA) * seen(IMAGE, seen_as)
    got = strong_view(IMAGE, StrongDraw(gray=True), StrongConfig(beta=BETA, range="unit"), seen_as)
    np.testing.assert_allclose(got, want, atol=1e-5)


@inputs
def test_in_unit_range_every_view_is_an_image_and_dark_colours_stay(seen_as):
    config = StrongConfig(jitter=1.0, sharpness=1.0, gray=0.0, beta=1.0, range="unit")
    black, white = (normalise(np.full((9, 11, 3), value, np.uint8), seen_as) for value in (0, 255))
    dark = (IMAGE // 3).astype(np.uint8)  # below the mean, which the centred form clips to one value
    for place in range(20):
        rng = generator(0, "strong", place)
        draw = draw_strong(rng, config, tuple(map(int, rng.permutation(4))))
        view = strong_view(IMAGE, draw, config, seen_as)
        assert (view >= black - 1e-5).all() and (view <= white + 1e-5).all()
        assert strong_view(dark, draw, config, seen_as).mean() < strong_view(255 - dark, draw, config, seen_as).mean()
