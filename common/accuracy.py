"""Scores of classification: accuracy, its mean over classes, and how often the truth is among the first guesses."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.data.labels import ClassSet
from common.metrics import counted_classes, percent

GUESSES = 5  # classes of an image that are ranked


@dataclass(frozen=True)
class Accuracy:
    """What the counts say. All values are percent; NaN where nothing can be said.

    Attributes:
        recall: Share of each class that is right, float64 (C,); NaN for a class without an image.
        means: ``"accuracy"``: share of all images that are right; ``"mean accuracy"``: mean of ``recall`` over the
            classes that count and occur; ``"top-3"``, ``"top-5"``: share with the truth among the first guesses.
        images: Images counted.
    """

    recall: np.ndarray
    means: dict[str, float]
    images: int

    def main(self) -> float:
        """Return the share of all images that are right."""
        return self.means["accuracy"]


def ranked(scores: np.ndarray, most: int = GUESSES) -> np.ndarray:
    """Return the classes with the largest scores, best first; of equal ones the first class comes first.

    Args:
        scores: (N, C) float.
        most: How many; fewer where there are not so many classes.
    Returns:
        (N, min(most, C)) int64.
    """
    return np.argsort(-scores, axis=1, kind="stable")[:, :most]


def place_of_truth(truth: int, guesses: np.ndarray) -> int:
    """Return at which place of ``guesses`` (K,) the true class stands, from 0; ``GUESSES`` if it is none of them."""
    found = np.flatnonzero(guesses == truth)
    return int(found[0]) if found.size else GUESSES


def correct(matrix: np.ndarray) -> float:
    """Return the share of images on the diagonal of a confusion matrix in percent, not rounded; NaN without images."""
    return 100.0 * float(np.trace(matrix)) / total if (total := int(matrix.sum())) else float("nan")


def accuracy(matrix: np.ndarray, places: np.ndarray, classes: ClassSet, left_out: Sequence[str] = ()) -> Accuracy:
    """Return the scores of counted predictions.

    Args:
        matrix: (C, C) int64, rows true classes, columns predicted ones.
        places: (GUESSES + 1,) int64: images by the place of the truth among the guesses.
        classes: Names of the C classes.
        left_out: Names of classes that do not count in the mean over classes.
    Raises:
        UserError: If ``left_out`` names a class that is not there.
    """
    counts = counted_classes(classes, left_out)
    total, images = int(matrix.sum()), matrix.sum(axis=1)
    recall = np.divide(np.diag(matrix), images, out=np.full(len(matrix), np.nan), where=images > 0)
    first = np.cumsum(places)
    shares = {"accuracy": 1, "top-3": 3, "top-5": 5}
    means = {name: percent(first[k - 1] / total) if total else float("nan") for name, k in shares.items()}
    present = recall[counts & (images > 0)]
    means["mean accuracy"] = percent(present.mean()) if present.size else float("nan")
    order = ("accuracy", "mean accuracy", "top-3", "top-5")
    return Accuracy(recall * 100, {name: means[name] for name in order}, total)
