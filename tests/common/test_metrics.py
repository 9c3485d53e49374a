"""Scores against the definitions, pixel by pixel."""

import numpy as np
import pytest

from common.data.labels import CLASS_SETS, ClassSet
from common.draws import generator
from common.errors import UserError
from common.metrics import confusion, iou, percent, score

NINETEEN, SIXTEEN = CLASS_SETS["cityscapes19"], CLASS_SETS["cityscapes16"]
THREE = ClassSet("custom", ("a", "b", "c"), ((0, 0, 0),) * 3)


def random_pair(classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels with ids that do not count, and predictions that are right half of the time."""
    rng = generator(seed, "pair")
    label = rng.integers(-1, classes + 2, (20, 30))
    prediction = np.where(
        rng.random((20, 30)) < 0.5, np.clip(label, 0, classes - 1), rng.integers(classes, size=(20, 30))
    )
    return label, prediction.astype(np.uint8)


@pytest.mark.parametrize("classes", [2, 16, 19])
def test_confusion_counts_pixels(classes: int) -> None:
    """Rows are true classes; labels outside the classes do not count."""
    label, prediction = random_pair(classes, classes)
    want = np.zeros((classes, classes), int)
    for true, predicted in zip(label.ravel(), prediction.ravel()):
        if 0 <= true < classes:
            want[true, predicted] += 1
    assert np.array_equal(confusion(label, prediction, classes), want)


def test_float_labels_are_cut_and_nan_ignored() -> None:
    """As the official evaluation treats its float labels."""
    label = np.array([0.0, 1.9, 255.0, -0.5, np.nan, 2.5])
    assert confusion(label, np.array([0, 1, 0, 0, 0, 2]), 3).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_matrices_of_parts_add_up() -> None:
    """A set may be counted image by image, or by several processes."""
    label, prediction = random_pair(19, 3)
    halves = [confusion(label[half], prediction[half], 19) for half in (slice(0, 9), slice(9, None))]
    assert np.array_equal(sum(halves), confusion(label, prediction, 19))


def test_wrong_predictions_are_refused() -> None:
    """Only where they count."""
    confusion(np.array([255]), np.array([200]), 3)
    with pytest.raises(ValueError, match="span 0 to 3"):
        confusion(np.array([0, 1]), np.array([0, 3]), 3)
    with pytest.raises(ValueError, match="shape"):
        confusion(np.zeros((2, 2)), np.zeros((2, 3), int), 3)


def test_iou_is_intersection_over_union() -> None:
    """NaN for a class that is nowhere; 0 for one that is only predicted."""
    matrix = np.array([[3, 1, 0], [0, 0, 0], [0, 0, 0]])
    assert np.array_equal(iou(matrix), [0.75, 0.0, np.nan], equal_nan=True)


def test_means_of_19_classes() -> None:
    """mIoU19 skips NaN, mIoU16 and mIoU13 do not; both kinds are given."""
    matrix = np.diag(np.arange(1, 20)) + np.eye(19, k=1, dtype=int)
    shares = iou(matrix)
    got = score(matrix, NINETEEN)
    sixteen = [c for c in range(19) if c not in (9, 14, 16)]
    assert got.means["mIoU19"] == percent(shares.mean())
    assert got.means["mIoU16"] == percent(shares[sixteen].mean())
    assert got.means["mIoU13"] == percent(shares[[c for c in sixteen if c not in (3, 4, 5)]].mean())
    matrix[3] = matrix[:, 3] = 0  # wall is in 16, not in 13
    absent = score(matrix, NINETEEN)
    assert np.isnan(absent.means["mIoU16"]) and not np.isnan(absent.means_of_present["mIoU16"])
    assert not np.isnan(absent.means["mIoU19"]) and not np.isnan(absent.means["mIoU13"])
    assert absent.main() == absent.means["mIoU19"]


def test_an_absent_class_is_skipped_or_zero() -> None:
    """IAST's evaluation divides every intersection by union + 1e-10 and takes the plain mean over all classes."""
    matrix = np.diag(np.arange(1, 20)) + np.eye(19, k=1, dtype=int)
    matrix[3] = matrix[:, 3] = 0
    got, usual = score(matrix, NINETEEN, absent="zero"), score(matrix, NINETEEN)
    right = np.diag(matrix)
    want = right / (matrix.sum(0) + matrix.sum(1) - right + 1e-10)
    sixteen = [c for c in range(19) if c not in (9, 14, 16)]
    assert got.means["mIoU19"] == percent(want.mean()) < usual.means["mIoU19"] == got.means_of_present["mIoU19"]
    assert got.means["mIoU16"] == percent(want[sixteen].mean()) and np.isnan(usual.means["mIoU16"])
    assert got.means["mIoU13"] == usual.means["mIoU13"] and got.iou[3] == 0 and np.isnan(usual.iou[3])
    without = score(matrix, NINETEEN, ["wall"], "zero")
    assert without.means["mIoU19"] == usual.means["mIoU19"] and not np.isnan(without.means["mIoU16"])
    assert np.isnan(score(np.zeros((19, 19), int), NINETEEN, absent="zero").main())


def test_means_of_16_classes() -> None:
    """The same thirteen classes under the other numbering."""
    matrix = np.diag(np.arange(1, 17)) + np.eye(16, k=1, dtype=int)
    got = score(matrix, SIXTEEN)
    assert list(got.means) == ["mIoU16", "mIoU13"]
    names = [name for name in SIXTEEN.names if name not in ("wall", "fence", "pole")]
    assert got.means["mIoU13"] == percent(iou(matrix)[[SIXTEEN.names.index(n) for n in names]].mean())
    assert names == [NINETEEN.names[c] for c in NINETEEN.subsets["miou13"]]


def test_classes_left_out() -> None:
    """They leave the means, not the confusion matrix; a misspelt one is an error."""
    matrix = np.array([[8, 2, 0], [0, 5, 0], [4, 0, 4]])
    assert score(matrix, THREE, left_out=("c",)).means == {"mIoU": percent((8 / 14 + 5 / 7) / 2)}
    with pytest.raises(UserError, match=r"'d'.*a, b, c"):
        score(matrix, THREE, left_out=("d",))


def test_empty_set() -> None:
    """Nothing to say is NaN, without a warning."""
    with np.errstate(all="raise"):
        got = score(np.zeros((3, 3), int), THREE)
    assert np.isnan(got.main()) and np.isnan(got.accuracy) and got.pixels == 0


def test_percent_and_accuracy() -> None:
    """Two decimals."""
    assert percent(2 / 3) == 66.67
    assert score(np.array([[2, 1, 0], [0, 0, 0], [0, 0, 0]]), THREE).accuracy == 66.67
