"""How far outputs are apart: nothing that is no number, and no other shape, passes for near."""

import numpy as np
import pytest

from convert.gap import relative_gap


def test_the_largest_difference_counts_by_the_largest_number() -> None:
    want = np.array([[1.0, -4.0]], np.float32)
    assert relative_gap(want + np.float32(0.5), want) == 0.125
    assert relative_gap(want, want) == 0.0


@pytest.mark.parametrize("got", [np.zeros((2, 1), np.float32), np.array([[np.nan, -4.0]]), np.array([[np.inf, -4.0]])])
def test_what_cannot_be_compared_is_infinitely_far(got: np.ndarray) -> None:
    assert relative_gap(got, np.array([[1.0, -4.0]])) == float("inf")
