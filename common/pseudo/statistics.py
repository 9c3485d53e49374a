"""What a set of pseudo-labels is worth: how much of each class was kept, and how much of that is right."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

IGNORED = 255
_COUNTED = ("kept", "judged", "right", "true")
JOURNAL = "thresholds.jsonl"  # one line a batch: thresholds, and what was counted so far


class Quality:
    """Counts over a set of pseudo-labels, image by image."""

    def __init__(self, classes: int):
        self.classes = classes
        self.kept = np.zeros(classes, np.int64)  # pixels labelled with the class
        self.judged = np.zeros(classes, np.int64)  # of these, pixels whose truth is known
        self.right = np.zeros(classes, np.int64)  # of these, pixels whose truth is the class
        self.true = np.zeros(classes, np.int64)  # pixels of that truth, labelled with any class
        self.pixels = 0

    def add(self, label: np.ndarray, truth: np.ndarray | None = None) -> None:
        """Count one pseudo-label.

        Args:
            label: (H, W) uint8 train ids, 255 ignored.
            truth: (H, W) true train ids, 255 unknown; None where there is no true label.
        """
        self.pixels += label.size
        self.kept += self._count(label)
        if truth is not None:
            known = label[truth < self.classes]
            self.judged += self._count(known)
            self.right += self._count(label[label == truth])
            self.true += self._count(truth[label < self.classes])

    def counts(self) -> dict:
        """Return everything that was counted, as plain numbers."""
        lists = {name: getattr(self, name).tolist() for name in _COUNTED}
        return {**lists, "pixels": self.pixels}

    def restore(self, counts: dict) -> None:
        """Go on from what ``counts`` returned."""
        self.kept, self.judged, self.right, self.true = (np.array(counts[name]) for name in _COUNTED)
        self.pixels = counts["pixels"]

    def summary(self, predicted: np.ndarray | None = None) -> dict:
        """Return the figures as plain numbers, one a class in a list; None where nothing can be said.

        ``miou`` is the mean IoU over the labelled pixels whose truth is known, of the classes that are there.

        Args:
            predicted: Pixels predicted as each class before selection, int (C,); None leaves the shares kept of
                each class out.
        """
        summary = {
            "pixels": self.pixels,
            "kept": _share(self.kept.sum(), self.pixels),
            "precision": _share(self.right.sum(), self.judged.sum()),
            "miou": self._mean_iou(),
            "class_pixels": self.kept.tolist(),
            "class_precision": [_share(r, j) for r, j in zip(self.right, self.judged)],
        }
        if predicted is not None:
            summary["class_kept"] = [_share(k, p) for k, p in zip(self.kept, predicted)]
        return summary

    def _mean_iou(self) -> float | None:
        union = self.judged + self.true - self.right
        there = union > 0
        return float((self.right[there] / union[there]).mean()) if there.any() else None

    def _count(self, label: np.ndarray) -> np.ndarray:
        return np.bincount(label.ravel(), minlength=256)[: self.classes]


def course(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """Return how much had been kept, and how much of it was right, after each batch of a pass, percent.

    Args:
        folder: What the pass wrote; without a journal the result is empty.
    Returns:
        ``kept``, and ``precision`` where labels exist: points (batch, percent).
    """
    path = folder / JOURNAL
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    counts = [json.loads(line)["quality"] for line in lines]
    points: dict[str, list[tuple[float, float]]] = {}
    for batch, one in enumerate(counts, 1):
        kept, judged, right = (sum(one[name]) for name in ("kept", "judged", "right"))
        points.setdefault("kept", []).append((batch, 100 * kept / one["pixels"]))
        if judged:
            points.setdefault("precision", []).append((batch, 100 * right / judged))
    return points


def told(summary: dict, names: Sequence[str]) -> str:
    """Return in one line what ``Quality.summary`` says: what was kept and is right, of all and of each class, and mIoU.

    Args:
        summary: What a pass said of its labels.
        names: Of the classes.
    """
    unknown: list = [None] * len(names)
    words = []
    for name, pixels, *shares in zip(
        names, summary["class_pixels"], summary.get("class_kept", unknown), summary["class_precision"]
    ):
        known = [_percent(share) for share in shares if share is not None]
        words += [f"{name} {' / '.join(known)}"] if pixels and known else []
    both = [f"kept {_percent(summary['kept'] or 0.0)}"]
    both += [f"right {_percent(summary['precision'])}"] if summary["precision"] is not None else []
    both += [f"mIoU {_percent(summary['miou'])}"] if summary["miou"] is not None else []
    return "  ".join([" / ".join(both), *words])


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None
