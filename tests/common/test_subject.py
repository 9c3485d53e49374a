"""What evaluate.py's first argument may mean, and what it says when it means nothing."""

from pathlib import Path

import pytest

from common.errors import UserError
from common.subject import find_subject


def test_a_configuration_takes_the_weights_that_are_named():
    found = find_subject("ddm/toy", weights=Path("student.pth"))
    assert (found.config.name, found.weights) == ("ddm/toy", [Path("student.pth")])


@pytest.mark.parametrize(
    "what, words",
    [
        ("ddm/toyy", "neither a run folder .*; ddm/toyy: no such configuration. Did you mean 'ddm/toy'"),
        ("runs/none", "runs/none: neither a run folder"),
        ("ddm/toy", "needs --weights FILE"),
    ],
)
def test_what_names_nothing_is_one_clear_line(what, words):
    with pytest.raises(UserError, match=words) as caught:
        find_subject(what)
    assert "\n" not in str(caught.value)
