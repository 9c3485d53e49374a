"""Pairs, the ramp, patience, refreshes and pseudo-labels by margin: the rules of S3D that hold no tensor."""

import numpy as np
import pytest

from common.errors import UserError
from common.pairs import pair_batches
from common.patience import Patience, due
from common.pseudo.margin import margin_labels, margins, mean_margin
from common.ramp import distillation_weight, ramp, ramp_start
from common.refresh import spans

LABELS = [np.array([0, 1, 2, 1, 0]), np.array([2, 1])]
PSEUDO = np.array([1, -1, 0, 1, -1, 0, 1])


def plan(labels=LABELS, pseudo=PSEUDO, counts=(3, 1), batches=4):
    rng = np.random.default_rng(0)
    orders = [rng.permutation(len(own)) for own in labels]
    return pair_batches(labels, pseudo, orders, counts, batches, lambda n: int(rng.integers(n)))


def test_partners_carry_the_class_of_the_labelled_image():
    chosen, partners = plan()
    classes = np.concatenate([own[picked] for own, picked in zip(LABELS, chosen)], axis=1)
    assert np.array_equal(PSEUDO[partners], classes)
    assert [picked.shape for picked in chosen] == [(4, 3), (4, 1)]


def test_images_without_a_candidate_are_passed_over_and_the_rest_comes_round_and_round():
    chosen, _ = plan()
    assert set(chosen[0].ravel()) == {0, 1, 3, 4}  # image 2 has class 2, which nobody carries
    assert np.array_equal(np.bincount(chosen[0].ravel(), minlength=5), [3, 3, 0, 3, 3])
    assert set(chosen[1].ravel()) == {1}


def test_a_group_without_any_candidate_is_one_clear_line():
    with pytest.raises(UserError, match="none of the 2 labelled images has a class"):
        plan(labels=[LABELS[0], np.array([2, 2])])


def test_the_ramp_begins_where_the_accuracy_says_and_is_full_at_its_end():
    assert ramp(0.0, 8.0) == 0.0 and ramp(1.0, 8.0) == 1.0 and ramp(0.5, 8.0) < ramp(0.6, 8.0) < 1.0
    start = ramp_start(40.0, 8.0)
    assert distillation_weight(start, 0, 8.0) == pytest.approx(0.6, abs=1e-3)
    assert distillation_weight(ramp_start(66.7, 8.0), 0, 8.0) == 1.0
    assert ramp_start(0.0, 8.0) == 0


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


def test_an_image_is_accepted_by_its_margin_or_by_its_probability():
    logits = np.array([[3.0, 0.0, 0.0], [3.0, 2.0, 0.0], [9.0, 1.0, 0.0], [1.0, 1.0, 1.0]], np.float32)
    assert margins(logits).tolist() == [3.0, 1.0, 8.0, 0.0]
    assert mean_margin(logits) == np.float32(3.0)
    assert margin_labels(logits, 3.0, 0.999).tolist() == [-1, -1, 0, -1]  # strictly larger
    assert margin_labels(logits, 100.0, 0.9).tolist() == [0, -1, 0, -1]
