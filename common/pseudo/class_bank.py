"""The bank of class samples: how sure G is of each class, and which images show it, as their pseudo-labels say.

HIAST (Zhu et al., TPAMI 2025) takes copies of hard classes from it. It is filled while the labels are made, from the
batch that is in memory anyway, and holds names and numbers alone.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.errors import UserError

BANK = "class_samples.json"
_PAST = 0.99  # weight of the past in the confidence of a class
_SMALLEST = 0.1  # share of a class's images, those with the fewest pixels of it, that are left out


class Bank(NamedTuple):
    """What ``class_samples.json`` holds.

    Attributes:
        confidence: (C,) float64 mean confidence of each class's pseudo-labels; 0 for a class that none shows.
        images: Names of the images that show each class.
    """

    confidence: np.ndarray
    images: tuple[tuple[str, ...], ...]

    def hard(self, count: int) -> list[int]:
        """Return the ``count`` least confident of the classes that are shown at all, the least confident first."""
        order = np.argsort(self.confidence, kind="stable")
        return [int(one) for one in order if self.images[one]][:count]


class BankBuilder:
    """Fills a bank batch by batch."""

    def __init__(self, classes: int, limit: int):
        """Begin with an empty one.

        Args:
            classes: Number of classes C.
            limit: Most images that are remembered of a class: the first that show it.
        """
        self._confidence, self._limit = [0.0] * classes, limit
        self._seen: list[list[tuple[int, str]]] = [[] for _ in range(classes)]

    def add(self, names: Sequence[str], label: np.ndarray, confidence: np.ndarray) -> dict:
        """Count a batch.

        Args:
            names: Of its N images.
            label: (N, H, W) uint8 pseudo-labels, 255 where there is none.
            confidence: (N, H, W) float32, those of the predictions.
        Returns:
            What ``restore`` needs of the batch, as plain values.
        """
        classes = len(self._seen)
        shown = [np.bincount(image.ravel(), minlength=256)[:classes] for image in label]
        counts, kept = np.sum(shown, axis=0), label < classes
        sums = np.bincount(label[kept], confidence[kept].astype(np.float64), minlength=classes)
        for one in np.flatnonzero(counts):
            mean, before = float(sums[one] / counts[one]), self._confidence[one]
            self._confidence[one] = _PAST * before + (1 - _PAST) * mean if before else mean
        pixels = [{int(one): int(of[one]) for one in np.flatnonzero(of)} for of in shown]
        entry = {"confidence": list(self._confidence), "shown": [list(pair) for pair in zip(names, pixels)]}
        self._remember(entry["shown"])
        return entry

    def restore(self, entry: dict) -> None:
        """Count a batch again of which ``add`` returned this, in the order of the batches."""
        self._confidence = list(entry["confidence"])
        self._remember(entry["shown"])

    def content(self) -> dict:
        """Return what ``class_samples.json`` is to hold."""
        images = []
        for seen in self._seen:
            fewest_first = sorted(seen, key=lambda pair: pair[0])
            images.append([name for _, name in fewest_first[round(_SMALLEST * len(seen)) :]])
        return {"confidence": self._confidence, "images": images}

    def _remember(self, shown: Iterable) -> None:
        for name, pixels in shown:
            for one, count in pixels.items():  # JSON has made texts of the classes
                if len(self._seen[int(one)]) < self._limit:
                    self._seen[int(one)].append((count, name))


def read_bank(folder: Path, classes: int) -> Bank:
    """Return the bank beside the pseudo-labels of a folder.

    Args:
        folder: Root of the pseudo-labels.
        classes: Number of classes that it must have.
    Raises:
        UserError: If it is missing, damaged or of other classes.
    """
    path = folder / BANK
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        found = Bank(np.array(tree["confidence"], np.float64), tuple(tuple(map(str, one)) for one in tree["images"]))
    except FileNotFoundError:
        raise UserError(
            f"{path}: the class samples are missing; set method.pseudo.bank, such as 500, and run the stage again"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: damaged ({error}); remove {folder} and run the stage again") from None
    if not len(found.images) == len(found.confidence) == classes:
        raise UserError(f"{path}: holds {len(found.images)} classes, not {classes}; remove {folder} and run again")
    return found
