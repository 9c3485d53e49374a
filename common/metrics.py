"""Scores of segmentation: confusion matrix, IoU, and the means that Cityscapes papers print."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.data.labels import ClassSet
from common.errors import UserError


@dataclass(frozen=True)
class Score:
    """What a confusion matrix says. All values are percent; NaN where nothing can be said.

    Attributes:
        iou: IoU of each class, float64 (C,); NaN for a class that is neither in the labels nor predicted.
        means: Means by name, as the official evaluation prints them: the mean over all classes skips NaN, a mean
            over a subset does not, so an absent class makes it NaN.
        means_of_present: The same means, NaN skipped everywhere.
        accuracy: Share of labelled pixels that are right.
        pixels: Labelled pixels.
    """

    iou: np.ndarray
    means: dict[str, float]
    means_of_present: dict[str, float]
    accuracy: float
    pixels: int

    def main(self) -> float:
        """Return the mean over all classes that count."""
        return next(iter(self.means.values()))


def confusion(label: np.ndarray, prediction: np.ndarray, classes: int) -> np.ndarray:
    """Count pixels by true and predicted class (``fast_hist`` of the official evaluation).

    Args:
        label: Any shape, integer or float train ids; those outside [0, classes) and NaN are ignored, fractions cut.
        prediction: The same shape, integers in [0, classes).
        classes: Number of classes C.
    Returns:
        (C, C) int64: rows are true classes, columns predicted ones; matrices of several images add up.
    Raises:
        ValueError: If the shapes differ or a prediction that counts is not a class.
    """
    if label.shape != prediction.shape:
        raise ValueError(f"labels have shape {label.shape}, predictions {prediction.shape}")
    counted = (label >= 0) & (label < classes)
    true, predicted = label[counted].astype(np.int64), prediction[counted].astype(np.int64)
    if predicted.size and not (predicted.min() >= 0 and predicted.max() < classes):
        raise ValueError(f"predictions span {predicted.min()} to {predicted.max()}; there are {classes} classes")
    return np.bincount(classes * true + predicted, minlength=classes**2).reshape(classes, classes)


def iou(matrix: np.ndarray) -> np.ndarray:
    """Return the IoU of each class, float64 (C,) in [0, 1]; NaN for a class without a pixel in row and column."""
    right = np.diag(matrix).astype(np.float64)
    union = matrix.sum(axis=1) + matrix.sum(axis=0) - right
    return np.divide(right, union, out=np.full(len(right), np.nan), where=union > 0)


def percent(value: float) -> float:
    """Return a share as percent with two decimals, as papers print it."""
    return round(float(value) * 100, 2)


def score(matrix: np.ndarray, classes: ClassSet, left_out: Sequence[str] = ()) -> Score:
    """Return the scores of a confusion matrix.

    Args:
        matrix: (C, C) counts from ``confusion``.
        classes: Names of the C classes, and the subsets that papers average over: SYNTHIA has no terrain, truck
            and train (mIoU16); some papers leave out wall, fence and pole as well (mIoU13).
        left_out: Names of classes that do not count in any mean; their pixels still are errors of other classes.
    Raises:
        UserError: If ``left_out`` names a class that is not there.
    """
    unknown = sorted(set(left_out) - set(classes.names))
    if unknown:
        raise UserError(f"classes.left_out: no class is called '{unknown[0]}'; the classes: {', '.join(classes.names)}")
    shares, total = iou(matrix), int(matrix.sum())
    counts = np.array([name not in left_out for name in classes.names])
    whole = f"mIoU{len(classes)}" if classes.subsets else "mIoU"
    subsets = {name.replace("miou", "mIoU"): list(rows) for name, rows in classes.subsets.items()}
    kept = {whole: shares[counts]} | {name: shares[rows][counts[rows]] for name, rows in subsets.items()}
    present = {name: percent(_mean(values[~np.isnan(values)])) for name, values in kept.items()}
    means = {name: present[name] if name == whole else percent(_mean(values)) for name, values in kept.items()}
    accuracy = percent(np.trace(matrix) / total) if total else float("nan")
    return Score(shares * 100, means, present, accuracy, total)


def _mean(values: np.ndarray) -> float:
    """Return the mean; NaN, without a warning, of nothing."""
    return float(values.mean()) if values.size else float("nan")
