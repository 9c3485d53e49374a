"""The three lists."""

import pytest

from common.errors import UserError
from common.keys import check_keys

WANT = {"a": (2,), "b": (3, 1), "c": ()}


def test_equal_sets_pass():
    check_keys(WANT, dict(reversed(WANT.items())), "file")


def test_every_difference_is_named_in_one_line():
    with pytest.raises(UserError) as caught:
        check_keys(WANT, {"a": (2,), "b": (1, 3), "d": (1,)}, "x.pth")
    text = str(caught.value)
    assert text.startswith("x.pth does not fit the network: ")
    assert "missing (1): c" in text
    assert "unexpected (1): d" in text
    assert "other shape (1): b (1, 3), want (3, 1)" in text
    assert "\n" not in text


def test_long_lists_are_cut_but_counted():
    with pytest.raises(UserError, match=r"missing \(20\): p0, p1, .*, \.\.\.$"):
        check_keys({f"p{i}": (1,) for i in range(20)}, {}, "x")


def test_allowed_differences_pass_but_a_wrong_shape_never_does():
    check_keys(WANT, {"a": (2,), "b": (3, 1), "old.x": (1,)}, "x", may_miss=("c",), may_exceed=("old.",))
    with pytest.raises(UserError, match="other shape"):
        check_keys(WANT, {"a": (3,), "b": (3, 1)}, "x", may_miss=("a", "c"))
