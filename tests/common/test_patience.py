"""When a stage is scored, when its memory is refreshed, and when it stops."""

import pytest

from common.patience import Patience, due
from common.refresh import spans


def test_patience_bears_so_many_failures_in_a_row_and_takes_ties_for_an_improvement():
    rule = Patience(1)
    assert [rule.see(score) for score in (5.0, 4.0, 5.0, 4.9, 4.8)] == [False, False, False, False, True]
    again = Patience(1)
    again.load(rule.state())
    assert again.exhausted and again.best == 5.0
    assert not any(Patience(None).see(-score) for score in range(9))


def test_due_counts_steps_done_or_numbers_of_steps():
    assert [step for step in range(1, 10) if due(step, 3)] == [3, 6, 9]
    assert [step for step in range(1, 10) if due(step, 3, 1)] == [4, 7]
    assert not due(3, None)


@pytest.mark.parametrize("cut", [0, 1, 4, 7, 9])
def test_refreshes_depend_on_the_position_alone(cut):
    """A stage that goes on after ``cut`` steps refreshes where the whole one would."""
    whole = list(spans(0, 11, 4, begun=1))
    assert whole == [(0, 3, True), (3, 7, True), (7, 11, True)]
    rest = list(spans(cut, 11, 4, begun=1))
    assert [first for first, _, due_here in rest if due_here] == [first for first, *_ in whole if first >= cut]
    assert rest[0][0] == cut and rest[-1][1] == 11
    assert list(spans(2, 9, None)) == [(2, 9, False)]
