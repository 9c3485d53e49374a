"""Scores of segmentation: confusion matrix, IoU, and the means that Cityscapes papers print."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.data.labels import ClassSet
from common.errors import UserError

IAST_EPS = 1e-10  # what IAST's evaluation adds to every union: an absent class is 0 (``classes.absent: zero``)


@dataclass(frozen=True)
class Score:
    """What a confusion matrix says. All values are percent; NaN where nothing can be said.

    Attributes:
        iou: IoU of each class, float64 (C,); NaN for a class that is neither in the labels nor predicted, or 0 where
            absent classes are to count so.
        means: Means by name, as the official evaluation prints them: the mean over all classes skips NaN, a mean
            over a subset does not, so an absent class makes it NaN.
        means_of_present: The same means over the classes that are there.
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


def intersection_union(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many pixels of each class are right, and how many are in its label or prediction, float64 (C,)."""
    right = np.diag(matrix).astype(np.float64)
    return right, matrix.sum(axis=1) + matrix.sum(axis=0) - right


def iou(matrix: np.ndarray, eps: float | None = None) -> np.ndarray:
    """Return the IoU of each class, float64 (C,) in [0, 1]; NaN for a class without a pixel in row and column.

    With ``eps`` it is ``intersection / (union + eps)``, which makes an absent class 0 (IAST: 1e-10).
    """
    right, union = intersection_union(matrix)
    if eps is not None:
        return right / (union + eps)
    return np.divide(right, union, out=np.full(len(right), np.nan), where=union > 0)


def frequency_weighted_iou(matrix: np.ndarray, eps: float | None = None) -> float:
    """Return the mean IoU weighted by the share of each true class, in [0, 1]; absent classes count nothing."""
    share = matrix.sum(axis=1) / max(int(matrix.sum()), 1)
    return float((share * np.nan_to_num(iou(matrix, eps))).sum())


def shares(matrix: np.ndarray, classes: ClassSet | None = None, eps: float | None = None) -> dict[str, float]:
    """Return the plain means of the IoU, in [0, 1]: ``all``, and those over the subsets of ``classes``.

    Args:
        matrix: (C, C) counts.
        classes: Says which subsets there are; None: none.
        eps: As for ``iou``; without it a mean over an absent class is NaN.
    """
    found = iou(matrix, eps)
    subsets = {name.replace("miou", "mIoU"): list(rows) for name, rows in classes.subsets.items()} if classes else {}
    return {"all": _mean(found), **{name: _mean(found[rows]) for name, rows in subsets.items()}}


def counted_classes(classes: ClassSet, left_out: Sequence[str]) -> np.ndarray:
    """Return which classes count in means, (C,) bool.

    Raises:
        UserError: If ``left_out`` names a class that is not there.
    """
    unknown = sorted(set(left_out) - set(classes.names))
    if unknown:
        raise UserError(f"classes.left_out: no class is called '{unknown[0]}'; the classes: {', '.join(classes.names)}")
    return np.array([name not in left_out for name in classes.names])


def overall(matrix: np.ndarray) -> tuple[float, float, float, float]:
    """Return the four scores of fully convolutional networks (Long et al., CVPR 2015), in [0, 1].

    Args:
        matrix: (C, C) counts from ``confusion``.
    Returns:
        Pixel accuracy, mean accuracy of the classes in the labels, IoU weighted with the labels' frequency, mean IoU
        (NaN skipped); NaN where there is no pixel.
    """
    rows, total, right = matrix.sum(axis=1), matrix.sum(), np.diag(matrix)
    if not total:
        return (float("nan"),) * 4
    present, weighted = rows > 0, frequency_weighted_iou(matrix)
    means = right.sum() / total, (right[present] / rows[present]).mean(), weighted, np.nanmean(iou(matrix))
    return tuple(map(float, means))


def percent(value: float) -> float:
    """Return a share as percent with two decimals, as papers print it."""
    return round(float(value) * 100, 2)


def score(matrix: np.ndarray, classes: ClassSet, left_out: Sequence[str] = (), absent: str = "skip") -> Score:
    """Return the scores of a confusion matrix.

    Args:
        matrix: (C, C) counts from ``confusion``.
        classes: Names of the C classes, and the subsets that papers average over: SYNTHIA has no terrain, truck
            and train (mIoU16); some papers leave out wall, fence and pole as well (mIoU13).
        left_out: Names of classes that do not count in any mean; their pixels still are errors of other classes.
        absent: What a class without a pixel is: ``"skip"``, NaN as in the official evaluation of Cityscapes, or
            ``"zero"`` as in IAST's; without any pixel all is NaN.
    Raises:
        UserError: If ``left_out`` names a class that is not there.
    """
    counts = counted_classes(classes, left_out)
    total = int(matrix.sum())
    there, shares = iou(matrix), iou(matrix, IAST_EPS if absent == "zero" and total else None)
    whole = f"mIoU{len(classes)}" if classes.subsets else "mIoU"
    subsets = {name.replace("miou", "mIoU"): list(rows) for name, rows in classes.subsets.items()}
    kept = {name: np.array(rows)[counts[rows]] for name, rows in {whole: [*range(len(classes))], **subsets}.items()}
    present = {name: percent(_mean(there[rows][~np.isnan(there[rows])])) for name, rows in kept.items()}
    skipped = {whole} if absent == "skip" else set()
    means = {name: present[name] if name in skipped else percent(_mean(shares[rows])) for name, rows in kept.items()}
    accuracy = percent(np.trace(matrix) / total) if total else float("nan")
    return Score(shares * 100, means, present, accuracy, total)


def _mean(values: np.ndarray) -> float:
    """Return the mean; NaN, without a warning, of nothing."""
    return float(values.mean()) if values.size else float("nan")
