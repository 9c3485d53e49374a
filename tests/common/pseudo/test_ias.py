"""The instance adaptive selector against its literal rendering."""

import numpy as np
import pytest

from common.draws import generator
from common.pseudo import ias

CLASSES = 5
RULES = [(0.2, 0.9, 8.0), (0.4, 0.0, 1.0), (1.0, 0.5, 2.0), (0.0, 0.9, 8.0), (0.3, 1.0, 4.0), (1.0, 0.0, 0.0)]


def literal(label: np.ndarray, confidence: np.ndarray, thresholds: np.ndarray, alpha, beta, gamma):
    """The published rule with lists and ``numpy.percentile``."""
    local = np.ones(len(thresholds), np.float32)
    for number in range(len(thresholds)):
        sample = [thresholds[number], *confidence[label == number].astype(np.float16)]
        local[number] = np.percentile(sample, 100 * (1 - alpha * thresholds[number] ** gamma))
    moved = beta * thresholds + (1 - beta) * local
    moved[moved >= 1] = 0.999
    return local, moved


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("rule", RULES)
def test_it_equals_the_literal_rule_to_the_bit(seed: int, rule: tuple) -> None:
    """Over several batches, with classes that are absent, rare, saturated or alone."""
    rng = generator(seed, "ias")
    thresholds = want = ias.initial_thresholds(CLASSES)
    for _ in range(4):
        label = rng.integers(0, rng.integers(1, CLASSES + 1), (2, 9, 7)).astype(np.uint8)
        confidence = np.minimum(1, rng.random((2, 9, 7)) ** rng.choice([0.001, 0.2, 1.0])).astype(np.float32)
        confidence = np.maximum(confidence, np.float32(1 / CLASSES))
        local, want = literal(label, confidence, want, *rule)
        found = ias.update(label, confidence, thresholds, *rule)
        thresholds = found.thresholds
        assert np.array_equal(found.local, local) and np.array_equal(thresholds, want)
        assert np.array_equal(found.counts, np.bincount(label.ravel(), minlength=CLASSES))
        labels = ias.select(label, confidence, thresholds)
        assert np.array_equal(labels, np.where(confidence >= thresholds[label], label, 255))


def test_equality_keeps_a_pixel() -> None:
    """A confidence is compared in float64: one that equals the threshold stays, one just below goes."""
    limit = np.float64(np.float32(0.7))
    confidence = np.array([0.7, np.nextafter(np.float32(0.7), np.float32(0)), 0.71], np.float32)
    label = np.zeros(3, np.uint8)
    assert ias.select(label, confidence, np.array([limit])).tolist() == [0, 255, 0]
    assert ias.select(label, confidence, np.array([limit + 1e-12])).tolist() == [255, 255, 0]


def test_an_absent_class_stays_up_to_rounding() -> None:
    """Its only sample is the old threshold."""
    found = ias.update(np.zeros(4, np.uint8), np.full(4, 0.5, np.float32), np.array([0.9, 0.8]), 0.2, 0.9, 8.0)
    assert found.local[1] == np.float32(0.8) and abs(found.thresholds[1] - 0.8) < 1e-7 and found.counts[1] == 0


@pytest.mark.parametrize("value", [-0.5, 1.01, np.nan, np.inf])
def test_what_is_no_probability_is_refused(value: float) -> None:
    """Broken predictions never reach the thresholds."""
    with pytest.raises(ValueError, match="confidences must be in"):
        ias.update(np.zeros(2, np.uint8), np.array([0.5, value], np.float32), np.array([0.9]), 0.2, 0.9, 8.0)


def test_a_pixel_alone_in_its_block_counts_as_any_other() -> None:
    """Its classes are added up in their order, though one column could be summed in another."""
    logits = generator(0, "logits", "alone").standard_normal((19, 40, 1, 1)).astype(np.float32) * 3
    together = ias.label_and_confidence(logits[:, :, 0])
    for number in range(logits.shape[1]):
        alone = ias.label_and_confidence(logits[:, number])
        assert [one[0, 0] for one in alone] == [one[number, 0] for one in together]


@pytest.mark.parametrize("kind", ["smooth", "ties", "close"])
def test_label_and_confidence_equal_the_softmax_to_the_bit(kind: str) -> None:
    """Also where several classes share the largest probability, before or after rounding."""
    rng = generator(0, "logits", kind)
    logits = rng.standard_normal((7, 150, 130)).astype(np.float32) * 4
    if kind == "ties":
        logits = np.round(logits)
    if kind == "close":
        logits = np.float32(3) + rng.integers(-2, 2, logits.shape).astype(np.float32) * np.float32(1e-7)
    powers = np.exp(logits - logits.max(axis=0))
    probabilities = powers / powers.sum(axis=0)
    label, confidence = ias.label_and_confidence(logits)
    assert np.array_equal(label, probabilities.argmax(axis=0)) and np.array_equal(confidence, probabilities.max(axis=0))
    assert label.dtype == np.uint8 and confidence.dtype == np.float32
