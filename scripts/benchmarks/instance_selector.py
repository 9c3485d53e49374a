"""Pseudo-labels of IAST's selector from logits of 19x512x1024, against a literal rendering of the published rule."""

import json
import time
from collections.abc import Callable, Iterator

import numpy as np

from common.draws import generator
from common.pseudo import ias

CLASSES, SIZE, BATCH, BATCHES, TURNS = 19, (512, 1024), 2, 6, 3
ALPHA, BETA, GAMMA = 0.2, 0.9, 8.0
WANTED = 10.0
Made = tuple[np.ndarray, np.ndarray]  # labels (N, H, W), thresholds (C,)


def row() -> dict[str, str]:
    """Return one row of the benchmark's table: both rules over the same batches, with equal results or it fails.

    They take turns, and the fastest batch of each counts: so what else the machine does weighs on both alike.
    """
    stream = [_logits(number) for number in range(BATCHES)]
    seconds: dict[str, list[float]] = {"ours": [], "literal": []}
    made: dict[str, list[Made]] = {"ours": [], "literal": []}
    for name, rule in TURNS * [("ours", _ours), ("literal", _literal)]:
        for took, result in _timed(rule, stream):
            seconds[name].append(took)
            made[name].append(result)
    equal = all(np.array_equal(a, b) for one, two in zip(made["ours"], made["literal"]) for a, b in zip(one, two))
    ours, literal = (min(seconds[name]) / BATCH for name in ("ours", "literal"))
    good = equal and literal >= WANTED * ours
    return {
        "what": "pseudo-labels of IAST's selector, 19x512x1024, an image",
        "ours": f"{1000 * ours:.0f} ms, {'equal' if equal else 'NOT EQUAL'} to the bit",
        "theirs": f"literal rendering: {1000 * literal:.0f} ms",
        "wanted": f"at least {WANTED:.0f} times as fast, is {literal / ours:.0f}; equal to the bit",
        "verdict": "ok" if good else "MISSED",
    }


def _logits(number: int) -> np.ndarray:
    """Return logits (N, C, H, W) float32 with regions, as networks give them: some sure, some not."""
    rng = generator(0, "benchmark", number)
    coarse = 4.0 * rng.standard_normal((BATCH, CLASSES, SIZE[0] // 32, SIZE[1] // 32), np.float32)
    return coarse.repeat(32, 2).repeat(32, 3) + 0.5 * rng.standard_normal((BATCH, CLASSES, *SIZE), np.float32)


def _timed(rule: Callable, stream: list[np.ndarray]) -> Iterator[tuple[float, Made]]:
    """Yield the seconds of every batch and what came of it; the thresholds go from batch to batch."""
    thresholds = ias.initial_thresholds(CLASSES)
    for logits in stream:
        began = time.perf_counter()
        labels, thresholds = rule(logits, thresholds)
        yield time.perf_counter() - began, (labels, thresholds)


def _ours(logits: np.ndarray, thresholds: np.ndarray) -> Made:
    label, confidence = (np.stack(parts) for parts in zip(*map(ias.label_and_confidence, logits)))
    found = ias.update(label, confidence, thresholds, ALPHA, BETA, GAMMA)
    return ias.select(label, confidence, found.thresholds), found.thresholds


def _literal(logits: np.ndarray, thresholds: np.ndarray) -> Made:
    """The rule as it is written: probabilities, a list of confidences a class that grows, ``numpy.percentile``."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    confidence, label = probabilities.max(axis=1), probabilities.argmax(axis=1)
    local = np.ones(CLASSES, np.float32)
    for number in range(CLASSES):
        sample = [thresholds[number]]
        sample.extend(confidence[label == number].astype(np.float16))
        local[number] = np.percentile(sample, 100 * (1 - ALPHA * thresholds[number] ** GAMMA))
    moved = BETA * thresholds + (1 - BETA) * local
    moved[moved >= 1] = 0.999
    return np.where(confidence >= moved[label], label, 255).astype(np.uint8), moved


if __name__ == "__main__":
    print(json.dumps(row(), indent=1))
