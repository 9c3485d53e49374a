"""Expected calibration error: bins, means, edges, and nothing to judge."""

import json
import math

import numpy as np
import pytest

from common.calibration import BINS, Confident, calibration, calibration_table


def test_the_error_is_the_mean_gap_of_the_bins() -> None:
    """Two bins of ten: eight images at 0.75 of which six are right, two at 0.95 of which one is."""
    confidence = np.array([0.75] * 8 + [0.95] * 2)
    right = np.array([True] * 6 + [False] * 2 + [True, False])
    found = calibration(confidence, right, bins=10)
    assert found.images.tolist() == [0, 0, 0, 0, 0, 0, 0, 8, 0, 2]
    assert found.expected_error() == pytest.approx(100 * (8 * 0.0 + 2 * 0.45) / 10)
    assert found.largest_error() == pytest.approx(45.0)
    assert found.mean_confidence() == pytest.approx(79.0)


def test_as_a_loop_over_the_bins_finds_it() -> None:
    draw = np.random.default_rng(0)
    confidence = draw.random(500)
    right = draw.random(500) < confidence**2
    want = 0.0
    for low in range(BINS):
        inside = (confidence > low / BINS) & (confidence <= (low + 1) / BINS)
        if inside.any():
            want += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert calibration(confidence, right).expected_error() == round(100 * want, 2)


def test_edges_belong_to_the_bin_below() -> None:
    assert calibration(np.array([0.0, 0.5, 1.0]), np.zeros(3, bool), bins=2).images.tolist() == [2, 1]


def test_of_nothing_nothing_is_known() -> None:
    found = calibration(np.zeros(0), np.zeros(0, bool))
    assert all(math.isnan(value) for value in (found.expected_error(), found.largest_error(), found.mean_confidence()))
    assert found.record()["expected_error"] is None
    assert found.record()["bins"][0] == {"images": 0, "confidence": None, "accuracy": None}


def test_only_images_that_count_are_seen(tmp_path) -> None:
    """A batch is filled up with repeated images, of which no score is counted."""

    class Sure:
        def scores(self, images: np.ndarray, output: str) -> np.ndarray:
            assert output == "probabilities"
            return np.array([[0.75, 0.25], [0.125, 0.875], [0.125, 0.875]])

    confident = Confident(Sure())
    ranks = confident.labels(np.zeros((3, 3, 4, 4), np.uint8))
    for prediction, truth in zip(ranks, (np.array(0), np.array(0))):
        confident.see(prediction, truth)
    found = confident.result(tmp_path)
    assert found.images.sum() == 2
    assert found.mean_confidence() == pytest.approx(100 * (0.75 + 0.875) / 2, abs=0.01)
    assert found.expected_error() == pytest.approx(100 * (0.25 + 0.875) / 2, abs=0.01)
    assert json.loads((tmp_path / "calibration.json").read_text())["mean_confidence"] == found.mean_confidence()
    assert "torch" in calibration_table({"torch": found}).markdown()
