"""Where several evaluations of the same weights disagree: the share of pixels or images, and pictures of the worst."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.data.labels import ClassSet
from common.pictures import captioned, coloured, read_png, sheet, write_png
from common.report.tables import Table

_PICTURES = 4
_VISIBLE = 128  # a differing pixel marks those within this part of the width


@dataclass
class Pair:
    """What two evaluations have in common.

    Attributes:
        pixels: Pixels compared, ignored ones included; for classification, images.
        different: Those with other labels.
        matrix: (C, C) int64, rows classes of the first, columns of the second.
        worst: (different pixels, index of the image) of the images that differ most.
    """

    matrix: np.ndarray
    pixels: int = 0
    different: int = 0

    def __post_init__(self) -> None:
        self.worst: list[tuple[int, int]] = []

    def add(self, index: int, first: np.ndarray, second: np.ndarray) -> None:
        """Compare two label maps (H, W) of one image, or its two classes (1,)."""
        unequal = int((first != second).sum())
        self.pixels += first.size
        self.different += unequal
        classes = len(self.matrix)
        pairs = first.reshape(-1).astype(np.int64) * classes + second.reshape(-1)
        self.matrix += np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
        if unequal:
            heapq.heappush(self.worst, (unequal, index))
            if len(self.worst) > _PICTURES:
                heapq.heappop(self.worst)


class Disagreement:
    """Compares every evaluation with the first one; the first one's label maps wait on the disk."""

    UNIT = "pixels"

    def __init__(self, folder: Path, classes: ClassSet):
        """Keep label maps in ``folder``, which its owner removes."""
        self._folder, self._classes = folder, classes
        self._first: str | None = None
        self.pairs: dict[str, Pair] = {}

    def watcher(self, name: str) -> Callable[[int, np.ndarray, np.ndarray], None]:
        """Return what is called with (index, prediction, truth) of every image of the evaluation ``name``."""
        if self._first is None:
            self._first = name
            return lambda index, prediction, _: self._keep(name, index, prediction)
        pair = self.pairs[name] = Pair(np.zeros((len(self._classes), len(self._classes)), np.int64))

        def compare(index: int, prediction: np.ndarray, _: np.ndarray) -> None:
            before = [entry[1] for entry in pair.worst]
            pair.add(index, self._kept(self._first, index), self._compared(prediction))
            after = [entry[1] for entry in pair.worst]
            if index in after:
                self._keep(name, index, prediction)
            for gone in set(before) - set(after):
                self._forget(name, gone)

        return compare

    def table(self) -> Table:
        """Return one line a pair: the share of pixels with other labels, and the classes that are exchanged most."""
        header = ["backends", "most exchanged", self.UNIT, "share in %"]
        table = Table(f"{self.UNIT.capitalize()} with other labels", header, texts=2)
        for name, pair in self.pairs.items():
            off = pair.matrix.copy()
            np.fill_diagonal(off, 0)
            one, two = np.unravel_index(off.argmax(), off.shape)
            swap = f"{self._classes.names[one]} / {self._classes.names[two]}" if off.any() else "-"
            share = 100.0 * pair.different / max(pair.pixels, 1)
            table.add(f"{self._first}, {name}", swap, str(pair.different), f"{share:.4f}")
        return table

    def record(self) -> dict:
        """Return everything as a JSON object."""
        return {
            name: {
                "against": self._first,
                "pixels": pair.pixels,
                "different": pair.different,
                "share": pair.different / max(pair.pixels, 1),
                "matrix": pair.matrix.tolist(),
                "worst": [{"image": index, "different": count} for count, index in sorted(pair.worst, reverse=True)],
            }
            for name, pair in self.pairs.items()
        }

    def pictures(self, image: Callable[[int], np.ndarray]) -> dict[str, np.ndarray]:
        """Return file name -> picture of the images that differ most: image, both label maps, where they differ.

        Args:
            image: Index -> (H, W, 3) uint8 RGB at the size of the label maps.
        """
        result = {}
        for name, pair in self.pairs.items():
            rows = []
            for _, index in sorted(pair.worst, reverse=True):
                first, second = (self._kept(side, index) for side in (self._first, name))
                rows.append(self._row(image(index), first, second))
            if rows:
                result[f"{self._first}_{name}.png"] = sheet(rows, self._captions(name))
        return result

    def _captions(self, name: str) -> list[str]:
        return ["image", str(self._first), name, "different"]

    def _row(self, image: np.ndarray, first: np.ndarray, second: np.ndarray) -> list[np.ndarray]:
        """Return the pictures of an image on which two evaluations differ."""
        where = np.where(_grown(first != second)[..., None], np.uint8([210, 30, 30]), np.uint8([230, 230, 230]))
        return [image, *(coloured(one, self._classes.palette()) for one in (first, second)), where]

    def _compared(self, prediction: np.ndarray) -> np.ndarray:
        """Return what of a prediction is compared."""
        return prediction

    def _keep(self, name: str, index: int, prediction: np.ndarray) -> None:
        write_png(self._place(name, index), prediction)

    def _kept(self, name: str | None, index: int) -> np.ndarray:
        return read_png(self._place(name, index))

    def _forget(self, name: str, index: int) -> None:
        self._place(name, index).unlink()

    def _place(self, name: str | None, index: int) -> Path:
        return self._folder / f"{name}_{index:06d}.png"


def _grown(places: np.ndarray) -> np.ndarray:
    """Return (H, W) bool, true near a true pixel too: on a large map a single one could not be seen."""
    reach = places.shape[1] // _VISIBLE
    for axis in range(2):
        edges = [(reach, reach) if one == axis else (0, 0) for one in range(2)]
        places = np.lib.stride_tricks.sliding_window_view(np.pad(places, edges), 2 * reach + 1, axis).any(-1)
    return places


class ClassDisagreement(Disagreement):
    """The same for classification: the class of every image is compared, and waits in memory."""

    UNIT = "images"

    def __init__(self, folder: Path, classes: ClassSet):
        """Arguments as ``Disagreement``; nothing is written to the folder."""
        super().__init__(folder, classes)
        self._memory: dict[tuple[str | None, int], np.ndarray] = {}

    def _captions(self, name: str) -> list[str]:
        return [f"{self._first} / {name}"]

    def _row(self, image: np.ndarray, first: np.ndarray, second: np.ndarray) -> list[np.ndarray]:
        guesses = [(self._classes.names[int(one[0])], (20, 20, 20)) for one in (first, second)]
        return [captioned(image, guesses, max(image.shape[1], 150))]

    def _compared(self, prediction: np.ndarray) -> np.ndarray:
        return prediction[:1]

    def _keep(self, name: str, index: int, prediction: np.ndarray) -> None:
        self._memory[name, index] = prediction[:1]

    def _kept(self, name: str | None, index: int) -> np.ndarray:
        return self._memory[name, index]

    def _forget(self, name: str, index: int) -> None:
        del self._memory[name, index]


DISAGREEMENTS = {"segmentation": Disagreement, "classification": ClassDisagreement}
