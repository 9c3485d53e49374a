"""What is said of a set of pseudo-labels."""

import numpy as np
import pytest

from common.draws import generator
from common.metrics import confusion, iou
from common.pseudo.statistics import Quality, told

NAMES = ("road", "wall", "sky")


def test_a_line_says_what_was_kept_and_what_of_it_is_right() -> None:
    """Classes of which nothing was kept are not named; without truth only the kept shares are."""
    label = np.array([[0, 0, 0, 255], [2, 255, 255, 255]], np.uint8)
    truth = np.array([[0, 0, 1, 0], [2, 2, 255, 1]], np.uint8)
    known, unknown = Quality(3), Quality(3)
    known.add(label, truth)
    unknown.add(label)
    predicted = np.array([4, 1, 3])
    said = told(known.summary(predicted), NAMES)
    assert said == "kept 50.0% / right 75.0% / mIoU 55.6%  road 75.0% / 66.7%  sky 33.3% / 100.0%"
    assert told(unknown.summary(predicted), NAMES) == "kept 50.0%  road 75.0%  sky 33.3%"
    assert told(known.summary(), NAMES) == "kept 50.0% / right 75.0% / mIoU 55.6%  road 66.7%  sky 100.0%"
    assert told(unknown.summary(), NAMES) == "kept 50.0%"


def test_mean_iou_is_that_of_the_labelled_pixels() -> None:
    """By the confusion matrix of what was labelled and has a truth; also behind a restart in the middle."""
    rng = generator(3, "labels")
    labels, truths = (rng.choice([0, 1, 2, 3, 255], (4, 9, 8)).astype(np.uint8) for _ in range(2))
    first, whole = Quality(5), Quality(5)
    for label, truth in zip(labels[:2], truths):
        first.add(label, truth)
    whole.restore(first.counts())
    for label, truth in zip(labels[2:], truths[2:]):
        whole.add(label, truth)
    whole.add(labels[0])  # without a truth nothing can be right
    seen = labels < 255
    want = iou(confusion(np.where(seen, truths, 255), np.where(seen, labels, 0), 5))
    assert whole.summary()["miou"] == pytest.approx(np.nanmean(want)) and np.isnan(want[4])


def test_no_image_at_all_is_nothing_kept() -> None:
    assert told(Quality(3).summary(), NAMES) == "kept 0.0%"
