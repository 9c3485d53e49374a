"""Strong colour views: what each operation does, and what is drawn."""

import numpy as np
import pytest

from common.data.colour_views import OPERATIONS, hue_shifted, strong_view
from common.draws import generator

IMAGE = generator(0, "view").integers(0, 256, (9, 12, 3), dtype=np.uint8)
SIMPLE = {  # place in the table -> what becomes of the image with draws of 0.25
    2: np.clip(IMAGE * np.float32(1.75), 0, 255).astype(np.uint8),
    3: np.clip(IMAGE.astype(np.float32) - np.float32(63.75), 0, 255).astype(np.uint8),
    4: IMAGE // 16 * 16,
    6: np.where(IMAGE < 128, IMAGE, 255 - IMAGE),
    7: np.rint(IMAGE @ np.array([0.299, 0.587, 0.114]))[..., None].repeat(3, axis=2),
}


@pytest.mark.parametrize("place", SIMPLE)
def test_operations_are_their_formulas(place):
    got = OPERATIONS[place](IMAGE, np.full(4, 0.25))
    assert got.dtype == np.uint8 and np.abs(got.astype(int) - SIMPLE[place].astype(int)).max() <= (place in (3, 7))


def test_blur_keeps_the_mean_and_equalising_spreads():
    dull = generator(1, "view").integers(90, 154, (60, 60, 3), dtype=np.uint8)
    blurred, spread = (OPERATIONS[place](dull, np.full(4, 0.1)) for place in (1, 5))
    assert blurred.std() < dull.std() / 2 and abs(blurred.mean() - dull.mean()) < 1
    assert spread.min() < 5 and spread.max() > 245


def test_hues_turn_around_the_wheel():
    red = np.array([[[200, 0, 0]]], np.uint8)
    assert np.abs(hue_shifted(red, 1 / 3).astype(int) - [0, 200, 0]).max() <= 6
    assert np.array_equal(hue_shifted(hue_shifted(red, 0.5), -0.5), red)


def test_half_of_those_that_are_drawn_happen_and_a_position_draws_the_same():
    before = IMAGE.copy()
    views = [strong_view(IMAGE, 3, generator(0, "view", position)) for position in range(200)]
    assert all(view.shape == IMAGE.shape and view.dtype == np.uint8 for view in views)
    assert np.mean([np.array_equal(view, IMAGE) for view in views]) == pytest.approx(1 / 8, abs=0.07)
    assert np.array_equal(views[5], strong_view(IMAGE, 3, generator(0, "view", 5))) and np.array_equal(IMAGE, before)
    assert np.array_equal(strong_view(IMAGE, 0, generator(0, "view")), IMAGE)
