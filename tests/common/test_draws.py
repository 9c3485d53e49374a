"""Random draws are pure functions of their position."""

import subprocess
import sys

import numpy as np
import pytest

from common.draws import _permutation, generator, shuffled, shuffled_whole


def test_same_position_same_numbers() -> None:
    """Order of use and other positions do not matter."""
    first = generator(7, "stage", "box", 3).random(5)
    generator(7, "stage", "box", 2).random(100)
    assert np.array_equal(first, generator(7, "stage", "box", 3).random(5))


def test_same_numbers_in_another_process() -> None:
    """Nothing hangs on hash seeds or on history."""
    code = "from common.draws import generator; print(generator(7, 'stage', 'box', 3).integers(1 << 62))"
    outs = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout for _ in "ab"
    }
    assert outs == {f"{generator(7, 'stage', 'box', 3).integers(1 << 62)}\n"}


def test_the_numbers_of_one_position_are_pinned() -> None:
    """A change here would change every run that is resumed or repeated."""
    assert generator(1234, "round1/region", "box", 0).integers(1000, size=4).tolist() == [730, 23, 520, 935]


POSITIONS = [(7, "a", 1), (7, "a", "1"), (7, "a1"), (7, "a", 1, 0), (8, "a", 1), (7, "b", 1), (-7, "a", 1), (7,)]


def test_different_positions_differ() -> None:
    """Numbers and texts, lengths and seeds are told apart."""
    firsts = {int(generator(*position).integers(1 << 62)) for position in POSITIONS}
    assert len(firsts) == len(POSITIONS)


def test_numpy_counters_count_as_numbers() -> None:
    """A counter may come from an array."""
    assert generator(1, "a", np.int64(5)).random() == generator(1, "a", 5).random()


@pytest.mark.parametrize("count", [1, 2, 7])
def test_every_epoch_holds_every_element_once(count: int) -> None:
    """Also across the border of two epochs, whatever the order of asking."""
    order = [shuffled(3, "s", count=count, index=i) for i in reversed(range(5 * count))][::-1]
    for epoch in range(5):
        assert sorted(order[epoch * count : (epoch + 1) * count]) == list(range(count))


def test_epochs_differ() -> None:
    """Each epoch has a permutation of its own."""
    order = [shuffled(3, "s", count=50, index=i) for i in range(100)]
    assert order[:50] != order[50:]


def test_nothing_cannot_be_shuffled() -> None:
    """An empty dataset is named as what it is."""
    with pytest.raises(ValueError, match="cannot shuffle 0"):
        shuffled(3, "s", count=0, index=0)


@pytest.mark.parametrize(("count", "total"), [(1, 1), (7, 20), (7, 21), (5, 3)])
def test_one_long_permutation_holds_every_element_equally_often(count: int, total: int) -> None:
    """As often as the list must be repeated for the total; whatever the order of asking, and anew behind the end."""
    times = -(-total // count)
    places = reversed(range(2 * times * count))
    order = [shuffled_whole(3, "s", count=count, total=total, index=i) for i in places][::-1]
    for half in (order[: times * count], order[times * count :]):
        assert sorted(half) == sorted(list(range(count)) * times)


def test_one_long_permutation_has_no_epochs() -> None:
    """Some element comes twice among the first ``count``; nothing of the epochs' order is repeated."""
    order = [shuffled_whole(3, "s", count=50, total=500, index=i) for i in range(500)]
    assert len(set(order[:50])) < 50
    assert order != [shuffled(3, "s", count=50, index=i) for i in range(500)]


def test_a_long_permutation_is_drawn_once() -> None:
    """A step costs a look-up: 240,000 places are not shuffled anew for each of them."""
    _permutation.cache_clear()
    places = [shuffled_whole(5, "t", count=3, total=240_000, index=i) for i in range(0, 240_000, 1000)]
    assert _permutation.cache_info().misses == 1 and set(places) == {0, 1, 2}


@pytest.mark.parametrize(("count", "total"), [(0, 3), (3, 0)])
def test_no_long_permutation_of_nothing(count: int, total: int) -> None:
    with pytest.raises(ValueError, match=f"cannot shuffle {count} elements for {total} places"):
        shuffled_whole(3, "s", count=count, total=total, index=0)
