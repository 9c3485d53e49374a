"""What is said of a set of pseudo-labels."""

import numpy as np

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
    assert said == "kept 50.0% / right 75.0%  road 75.0% / 66.7%  sky 33.3% / 100.0%"
    assert told(unknown.summary(predicted), NAMES) == "kept 50.0%  road 75.0%  sky 33.3%"
    assert told(known.summary(), NAMES) == "kept 50.0% / right 75.0%  road 66.7%  sky 100.0%"
    assert told(unknown.summary(), NAMES) == "kept 50.0%"


def test_no_image_at_all_is_nothing_kept() -> None:
    assert told(Quality(3).summary(), NAMES) == "kept 0.0%"
