"""The rules ``bdl`` and ``cbst`` against literal renderings of their official scripts."""

import math

import numpy as np
import pytest

from common.draws import generator
from common.pseudo import bdl, cbst
from common.pseudo.produce import PseudoSettings, label_and_confidence

CLASSES = 6


def probabilities(seed: int, images: int = 3, sharp: float = 2.0) -> np.ndarray:
    """Return (K, C, H, W) float32 that sum to 1; class 4 is never the best, class 5 hardly ever."""
    logits = sharp * generator(seed, "prob").standard_normal((images, CLASSES, 14, 9))
    logits[:, 4] -= 100
    logits[:, 5] -= 1.5 * sharp
    odds = np.exp(logits)
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)


def literal_bdl(maps: np.ndarray, portion: float, cap: float | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Everything in memory, sorted."""
    label, confidence = maps.argmax(axis=1), maps.max(axis=1)
    raw = np.zeros(CLASSES)
    for c in range(CLASSES):
        ordered = np.sort(confidence[label == c].astype(np.float64))
        if len(ordered):
            raw[c] = ordered[min(int(np.round(len(ordered) * (1 - portion))), len(ordered) - 1)]
    limits = raw.copy() if cap is None else np.where(raw > cap, cap, raw)
    pseudo = label.copy()
    for c in range(CLASSES):
        pseudo[(confidence < limits[c]) & (label == c)] = 255
    return raw, limits, pseudo


@pytest.mark.parametrize("cap", [0.9, 0.5, None])
@pytest.mark.parametrize("portion", [0.0, 0.2, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_bdl_is_the_script(seed: int, portion: float, cap: float | None) -> None:
    """Raw and capped thresholds and labels, exactly."""
    maps = probabilities(seed)
    images = [label_and_confidence("x", one) for one in maps]
    raw, limits, pseudo = literal_bdl(maps, portion, cap)
    found = bdl.thresholds(lambda: images, CLASSES, portion)
    assert np.array_equal(found.values, raw) and np.array_equal(bdl.capped(found.values, cap), limits)
    assert np.array_equal(np.stack([bdl.select(*one, limits) for one in images]), pseudo)
    assert found.counts[4] == 0 and raw[4] == 0


@pytest.mark.parametrize(("count", "place"), [(0, -1), (1, 0), (2, 1), (3, 2), (5, 2), (7, 4), (10, 5)])
def test_bdl_rounds_half_to_even(count: int, place: int) -> None:
    """The places that the specification lists."""
    assert bdl.place(count, 0.5) == place


@pytest.mark.parametrize(("portion", "place"), [(1.0, 0), (0.0, 9), (0.3, 7), (0.75, 2)])
def test_bdl_keeps_the_top_portion(portion: float, place: int) -> None:
    """Never beyond the last."""
    assert bdl.place(10, portion) == place


def test_bdl_keeps_ties_and_what_equals_the_threshold() -> None:
    """Removed is only what is strictly smaller; the cap only adds pixels."""
    label, confidence = np.zeros(6, np.uint8), np.array([0.2, 0.7, 0.7, 0.7, 0.95, 0.99], np.float32)
    found = bdl.thresholds(lambda: [(label, confidence)], 1)
    assert found.values[0] == np.float32(0.7)
    assert bdl.select(label, confidence, found.values).tolist() == [255, 0, 0, 0, 0, 0]
    confident = np.array([0.91, 0.92, 0.93, 0.94], np.float32)
    limits = bdl.thresholds(lambda: [(label[:4], confident)], 1).values
    assert (bdl.select(label[:4], confident, limits) != 255).sum() == 2
    assert (bdl.select(label[:4], confident, bdl.capped(limits, 0.9)) != 255).all()


def literal_cbst(maps: np.ndarray, portion: float, every: int, form: str) -> tuple[np.ndarray, np.ndarray]:
    """CRST's and CBST's scripts, everything in memory."""
    label, confidence = maps.argmax(axis=1), maps.max(axis=1)
    dtype, missing = (np.float32, 1.0) if form == "crst" else (np.float64, 0.0)
    limits = np.full(CLASSES, missing, dtype)
    for c in range(CLASSES):
        values = np.concatenate([confidence[k][label[k] == c][::every] for k in range(len(maps))])
        extra = [0.0] if form == "mxnet" and len(values) else []
        ordered = sorted([*values.astype(dtype), *extra], reverse=True)
        kept = math.floor(len(ordered) * portion)
        if kept:
            limits[c] = ordered[kept - 1]
    divisor = np.where(limits == 0, 1, limits).astype(dtype)
    weight = maps / divisor[:, None, None]
    return limits, np.where(weight.max(axis=1) < 1, 255, weight.argmax(axis=1))


@pytest.mark.parametrize("form", ["crst", "mxnet"])
@pytest.mark.parametrize(("portion", "every"), [(0.2, 4), (0.5, 4), (0.5, 1), (1.0, 3), (0.0, 4)])
def test_cbst_is_the_script(portion: float, every: int, form: str) -> None:
    """Thresholds and labels, exactly, in both forms."""
    maps = probabilities(7)
    limits, pseudo = literal_cbst(maps, portion, every, form)
    sample = [cbst.subsample(*label_and_confidence("x", one), every) for one in maps]
    found = cbst.thresholds(lambda: sample, CLASSES, portion, form)
    assert np.array_equal(found.values, limits) and found.values.dtype == limits.dtype
    assert np.array_equal(np.stack([cbst.select(one, found.values) for one in maps]), pseudo)


def test_cbst_can_change_the_label() -> None:
    """A rare class with a low threshold wins over the plain prediction."""
    one = np.array([0.6, 0.4], np.float32).reshape(2, 1, 1)
    assert cbst.select(one, np.array([0.95, 0.3], np.float32)).item() == 1
    assert cbst.select(one, np.array([0.95, 0.5], np.float32)).item() == 255


def test_subsample_restarts_in_every_image_and_class() -> None:
    """Every fourth pixel of a class in row-major order, the first one included."""
    label = np.array([[0, 1, 0, 0], [0, 0, 1, 1], [1, 1, 0, 2]], np.uint8)
    confidence = np.arange(12, dtype=np.float32).reshape(3, 4)
    ids, values = cbst.subsample(label, confidence)
    assert sorted(zip(ids.tolist(), values.tolist())) == [(0, 0.0), (0, 5.0), (1, 1.0), (1, 9.0), (2, 11.0)]


@pytest.mark.parametrize("pixels", [0, 1])
def test_subsample_of_next_to_nothing(pixels: int) -> None:
    """No pixel gives none."""
    ids, values = cbst.subsample(np.full((1, pixels), 3, np.uint8), np.full((1, pixels), 0.5, np.float32))
    assert ids.tolist() == [3] * pixels and len(values) == pixels


PORTIONS = [
    ("bdl", None, 3, 0.5),
    ("cbst", None, 1, 0.2),
    ("cbst", None, 3, 0.3),
    ("cbst", None, 20, 0.5),
    ("cbst", 0.4, 3, 0.4),
]


@pytest.mark.parametrize(("rule", "portion", "number", "want"), PORTIONS)
def test_portion_of_a_round(rule: str, portion: float | None, number: int, want: float) -> None:
    """CBST's grows from round to round; an explicit one does not."""
    assert PseudoSettings(rule=rule, portion=portion).portion_in(number) == pytest.approx(want)
