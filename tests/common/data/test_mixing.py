"""Masks and mixing: 1 keeps the target."""

import numpy as np
import pytest

from common.data.class_mixing import half_of_classes, paste_masks
from common.data.mixing import Box, box_mask, class_mask, cutmix_box, draw_mask, fixed_area_box, mix
from common.draws import generator

LABEL = np.repeat(np.arange(8, dtype=np.uint8), 12).reshape(8, 12)


def test_inside_comes_from_source() -> None:
    """Rows top to bottom - 1, columns left to right - 1; values pass unchanged."""
    mask = box_mask(4, 5, Box(1, 2, 3, 5))
    mixed = mix(mask, np.full((4, 5), 7, np.uint8), np.full((4, 5), 255, np.uint8))
    assert (mixed == 255).sum() == 6 and (mixed[1:3, 2:5] == 255).all() and mixed.dtype == np.uint8


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int32])
def test_mixing_is_equation_1(dtype: type) -> None:
    """``M * target + (1 - M) * source`` for any dtype, channel first and last."""
    rng = generator(1, "mix")
    target, source = (rng.integers(0, 200, (3, 6, 8)).astype(dtype) for _ in "ts")
    mask = rng.integers(0, 2, (6, 8)).astype(np.uint8)
    want = (mask * target.astype(np.float64) + (1 - mask) * source.astype(np.float64)).astype(dtype)
    assert np.array_equal(mix(mask, target, source), want)
    last = mix(mask[..., None], target.transpose(1, 2, 0), source.transpose(1, 2, 0))
    assert np.array_equal(last.transpose(2, 0, 1), want) and last.dtype == dtype


def test_mixing_before_and_after_normalisation_agree() -> None:
    """So images travel as bytes."""
    rng, mean = generator(1, "norm"), np.array([104.00698793, 116.66876762, 122.67891434], np.float32)[:, None, None]
    target, source = (rng.integers(0, 256, (3, 6, 8)).astype(np.uint8) for _ in "ts")
    mask = rng.integers(0, 2, (6, 8))
    before = mix(mask, target, source).astype(np.float32) - mean
    assert np.array_equal(before, mix(mask, target.astype(np.float32) - mean, source.astype(np.float32) - mean))


def test_frames_must_be_one() -> None:
    """Both shapes are named."""
    with pytest.raises(ValueError, match=r"\(4, 5\).*\(5, 4\)"):
        mix(np.ones((4, 5)), np.zeros((4, 5)), np.zeros((5, 4)))


@pytest.mark.parametrize(
    ("lam", "row", "column", "box"),
    [
        (1.0, 5, 5, (5, 5, 5, 5)),  # empty
        (0.0, 8, 16, (0, 0, 16, 32)),  # the whole frame
        (0.75, 0, 0, (0, 0, 4, 8)),  # half the sides, clipped at the corner
        (0.75, 15, 31, (11, 23, 16, 32)),
    ],
)
def test_cutmix_boxes(lam: float, row: int, column: int, box: tuple) -> None:
    """Sides sqrt(1 - lam), clipped to the frame."""
    assert cutmix_box(16, 32, lam, row, column) == box


@pytest.mark.parametrize("area", [0.1, 0.4, 0.5, 1.0])
def test_fixed_area_stays_inside_and_keeps_its_area(area: float) -> None:
    """Up to the rounding of the sides."""
    rng = generator(1, "area", str(area))
    for _ in range(200):
        box = fixed_area_box(120, 240, area, *rng.random(3))
        assert 0 <= box.top <= box.bottom <= 120 and 0 <= box.left <= box.right <= 240
        assert (box.bottom - box.top) * (box.right - box.left) == pytest.approx(area * 120 * 240, rel=0.05)


def test_mean_area_of_cutmix() -> None:
    """32 % of the frame after clipping (mean) and 30 % (median), as the specification measured."""
    label = np.zeros((64, 128), np.uint8)
    shares = [1 - draw_mask(generator(1, i), label).mean() for i in range(4000)]
    assert np.mean(shares) == pytest.approx(0.32, abs=0.015) and np.median(shares) == pytest.approx(0.30, abs=0.02)


@pytest.mark.parametrize("sampler", ["cutmix", "fixed_area", "classmix"])
def test_masks_follow_their_generator(sampler: str) -> None:
    """The same position gives the same mask, another one another."""
    masks = [draw_mask(generator(5, i), LABEL, sampler) for i in (0, 0, 1, 2, 3)]
    assert np.array_equal(masks[0], masks[1]) and masks[0].dtype == np.uint8 and masks[0].shape == LABEL.shape
    assert any(not np.array_equal(masks[0], other) for other in masks[2:])


def test_draw_order_of_cutmix() -> None:
    """lam, centre row, centre column."""
    rng = generator(9, "order")
    lam, row, column = rng.beta(1.0, 1.0), int(rng.integers(8)), int(rng.integers(12))
    want = box_mask(8, 12, cutmix_box(8, 12, lam, row, column))
    assert np.array_equal(draw_mask(generator(9, "order"), LABEL), want)


@pytest.mark.parametrize(("present", "chosen"), [(1, 1), (2, 1), (5, 3), (8, 4)])
def test_classmix_takes_half_of_the_classes(present: int, chosen: int) -> None:
    """Rounded up; whole classes; ignored pixels keep the target."""
    label = LABEL.copy()
    label[label >= present] = 255
    mask = draw_mask(generator(3, present), label, "classmix")
    pasted = np.unique(label[mask == 0])
    assert len(pasted) == chosen and 255 not in pasted
    assert np.array_equal(mask, class_mask(label, pasted))


def test_classmix_of_nothing_keeps_the_target() -> None:
    """A source label without a valid pixel has nothing to give."""
    assert draw_mask(generator(3), np.full((4, 4), 255, np.uint8), "classmix").all()


def test_half_of_the_classes_are_pasted_and_what_is_ignored_goes_along() -> None:
    """Rounded down, 255 counted: of one class none, of one class and 255 one of the two."""
    alone, ignored = np.full((2, 3), 4, np.uint8), np.full((2, 3), 255, np.uint8)
    both = np.array([[4, 4, 255], [4, 255, 255]], np.uint8)
    drawn = [[half_of_classes(one, generator(seed, "half")) for seed in range(20)] for one in (alone, ignored, both)]
    assert set(drawn[0]) == set(drawn[1]) == {()} and set(drawn[2]) == {(4,), (255,)}
    assert len(half_of_classes(LABEL, generator(0, "half"))) == 4
    assert not paste_masks([alone], [()]).any()
    assert np.array_equal(paste_masks([both, both], [(), (4,)]), [both == 255, np.ones((2, 3))])


def test_a_batch_without_any_known_pixel_pastes_nothing() -> None:
    """One image of which nothing is known is pasted as a whole, unless all are such."""
    known, ignored = np.full((2, 3), 4, np.uint8), np.full((2, 3), 255, np.uint8)
    assert not paste_masks([ignored, ignored], [(), (255,)]).any()
    assert np.array_equal(paste_masks([ignored, known], [(), ()]), [np.ones((2, 3)), np.zeros((2, 3))])
