"""How far a classifier's confidence is from its accuracy: the expected calibration error (Guo et al., ICML 2017)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.accuracy import ranked
from common.checkpoint import write_text
from common.metrics import percent
from common.report.tables import Table, number

BINS = 15  # of equal width, as in the paper


@dataclass(frozen=True)
class Calibration:
    """What bins of confidence hold; bin i of B has the images with a confidence in (i / B, (i + 1) / B].

    Attributes:
        images: (B,) int64.
        confidence: (B,) float64, mean of the bin in [0, 1]; NaN where it is empty.
        accuracy: (B,) float64, share of the bin that is right; NaN where it is empty.
    """

    images: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    def expected_error(self) -> float:
        """Return the mean of |accuracy - confidence| over the images (equation 3), in percent; NaN without images."""
        total = self.images.sum()
        return percent(np.nansum(self.images * self._gaps()) / total) if total else float("nan")

    def largest_error(self) -> float:
        """Return the largest |accuracy - confidence| of a bin (equation 5), in percent; NaN without images."""
        return percent(np.nanmax(self._gaps())) if self.images.any() else float("nan")

    def mean_confidence(self) -> float:
        """Return the mean over the images, in percent; NaN without images."""
        total = self.images.sum()
        return percent(np.nansum(self.images * self.confidence) / total) if total else float("nan")

    def record(self) -> dict:
        """Return everything as a JSON object; null stands for what an empty bin does not have."""
        bins = zip(self.images.tolist(), self.confidence.tolist(), self.accuracy.tolist())
        return {
            "expected_error": _known(self.expected_error()),
            "largest_error": _known(self.largest_error()),
            "mean_confidence": _known(self.mean_confidence()),
            "bins": [{"images": n, "confidence": _known(c), "accuracy": _known(a)} for n, c, a in bins],
        }

    def _gaps(self) -> np.ndarray:
        return np.abs(self.accuracy - self.confidence)


def calibration(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> Calibration:
    """Sort predictions into bins.

    Args:
        confidence: (N,) probability of the predicted class, in [0, 1].
        right: (N,) bool, whether it is the true one.
        bins: How many.
    """
    confidence = np.asarray(confidence, np.float64)
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    images = np.bincount(place, minlength=bins)
    sums = (np.bincount(place, np.asarray(one, np.float64), bins) for one in (confidence, right))
    means = [np.divide(one, images, out=np.full(bins, np.nan), where=images > 0) for one in sums]
    return Calibration(images, *means)


class Confident:
    """A predictor of classes that keeps how sure it was of the images that count."""

    def __init__(self, predictor: Any) -> None:
        """Wrap a twin's ``ClassPredictor``."""
        self._predictor, self._next, self._seen = predictor, iter(()), []

    def labels(self, images: np.ndarray, size: tuple[int, ...] = ()) -> np.ndarray:
        """Return the ranked classes of a batch, as the predictor does; ``see`` takes what is counted, in order."""
        probabilities = self._predictor.scores(images, "probabilities")
        self._next = iter(probabilities.max(axis=1))
        return ranked(probabilities)

    def see(self, prediction: np.ndarray, truth: np.ndarray) -> None:
        """Take the next image of the batch: its ranked classes (K,) and its class ()."""
        self._seen.append((float(next(self._next)), int(prediction[0]) == int(truth)))

    def result(self, out: Path | None = None) -> Calibration:
        """Return what was seen; the folder ``out`` receives calibration.json."""
        found = calibration(*np.array(self._seen, np.float64).reshape(-1, 2).T)
        if out:
            write_text(out / "calibration.json", json.dumps(found.record(), indent=1) + "\n")
        return found


def calibration_table(found: Mapping[str, Calibration]) -> Table:
    """Return confidence beside its error, a row a backend."""
    header = ["backend", "mean confidence", "expected calibration error", "largest of a bin"]
    table = Table("Calibration in percent", header, texts=1)
    for name, one in found.items():
        table.add(name, *map(number, (one.mean_confidence(), one.expected_error(), one.largest_error())))
    return table


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
