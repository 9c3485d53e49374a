"""The rules of S3D that hold no tensor: pairs of images, and the ramp of the distillation's weight."""

import numpy as np
import pytest

from common.errors import UserError
from common.methods.s3d_rules import distillation_weight, pair_batches, ramp, ramp_start

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
