"""Windows cover every pixel, stay inside, and end at the edge."""

import numpy as np
import pytest

from common.windows import scaled, windows


@pytest.mark.parametrize("size", [(5, 5), (8, 13), (16, 16), (17, 31), (1, 40)])
@pytest.mark.parametrize(("window", "stride"), [((8, 8), None), ((8, 8), (8, 8)), ((5, 7), (3, 2)), ((100, 6), (1, 6))])
def test_every_pixel_is_covered_by_windows_of_one_size(size, window, stride):
    seen = np.zeros(size, int)
    for top, left, bottom, right in windows(size, window, stride):
        assert (bottom - top, right - left) == (min(size[0], window[0]), min(size[1], window[1]))
        assert top >= 0 and left >= 0 and bottom <= size[0] and right <= size[1]
        seen[top:bottom, left:right] += 1
    assert seen.min() >= 1


def test_no_window_is_taken_twice():
    found = windows((16, 24), (8, 8), (8, 8))
    assert len(found) == len(set(found)) == 6


def test_a_stride_that_leaves_gaps_is_refused():
    with pytest.raises(ValueError, match="leaves gaps"):
        windows((20, 20), (8, 8), (9, 8))


def test_scaled_sizes_are_rounded_and_never_empty():
    assert scaled((512, 1024), 0.75) == (384, 768)
    assert scaled((3, 5), 0.1) == (1, 1)
