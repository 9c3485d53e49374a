"""Order statistics over a stream are those of sorting everything."""

import numpy as np
import pytest

from common.draws import generator
from common.pseudo.order import order_statistics

CLASSES = 5


def stream_of(seed: int, images: int = 4, values=None):
    """Return images of class ids (class 3 absent) and values with many ties and neighbours in the last bit."""
    rng = generator(seed, "order")
    pool = np.array([0.0, 1e-40, 0.3, np.nextafter(np.float32(0.3), np.float32(1)), 0.9, 1.0, 3.5e38 / 2], np.float32)
    pool = pool if values is None else np.float32(values)
    pairs = []
    for _ in range(images):
        ids = rng.choice([0, 1, 2, 4], (13, 7), p=[0.7, 0.2, 0.08, 0.02]).astype(np.uint8)
        smooth = rng.random((13, 7), np.float32)
        pairs.append((ids, np.where(rng.random((13, 7)) < 0.5, rng.choice(pool, (13, 7)), smooth)))
    return pairs


def sorted_values(pairs: list) -> list[np.ndarray]:
    """Return all values of each class in order, held in memory."""
    ids, values = (np.concatenate([one[k].ravel() for one in pairs]) for k in (0, 1))
    return [np.sort(values[ids == c]) for c in range(CLASSES)]


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.99])
@pytest.mark.parametrize("seed", range(3))
def test_equals_sorting(seed: int, share: float) -> None:
    """At any place; an absent class has no value."""
    pairs = stream_of(seed)
    places = lambda counts: np.where(counts > 0, (counts * share).astype(int), -1)
    got = order_statistics(lambda: iter(pairs), CLASSES, places)
    order = sorted_values(pairs)
    assert got.counts.tolist() == [len(one) for one in order]
    want = [one[int(len(one) * share)] if len(one) else np.nan for one in order]
    assert np.array_equal(got.values, np.float64(want), equal_nan=True)


@pytest.mark.parametrize("place", [0, -1])
def test_places_of_a_single_value(place: int) -> None:
    """The only one, or none when none is asked for."""
    pairs = [(np.array([1]), np.array([0.625], np.float32))]
    got = order_statistics(lambda: pairs, 2, lambda counts: np.where(counts > 0, place, -1))
    assert np.array_equal(got.values, [np.nan, 0.625 if place == 0 else np.nan], equal_nan=True)


def test_all_equal() -> None:
    """Ties have no order to lose."""
    pairs = [(np.zeros((50, 50), int), np.full((50, 50), 0.1, np.float32))] * 3
    got = order_statistics(lambda: pairs, 1, lambda counts: counts // 2)
    assert got.values[0] == np.float32(0.1) and got.counts[0] == 7500


def test_nothing() -> None:
    """An empty stream counts nothing."""
    got = order_statistics(lambda: [], 2, lambda counts: counts - 1)
    assert got.counts.tolist() == [0, 0] and np.isnan(got.values).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.5])
def test_values_without_an_order_are_refused(bad: float) -> None:
    """NaN, infinities and negative numbers are no confidences."""
    pairs = [(np.zeros(2, int), np.array([0.5, bad], np.float32))]
    with pytest.raises(ValueError, match="finite and not negative"):
        order_statistics(lambda: pairs, 1, lambda counts: counts - 1)


def test_negative_zero_is_zero() -> None:
    """Its sign bit would make it the largest."""
    pairs = [(np.zeros(3, int), np.array([0.5, -0.0, 0.25], np.float32))]
    assert order_statistics(lambda: pairs, 1, lambda counts: counts - 1).values[0] == 0.5
