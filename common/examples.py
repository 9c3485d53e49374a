"""A few validation images whose predictions are kept for the report, small enough to look at side by side."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.pictures import fitted, write_png

COUNT, WIDTH = 4, 400  # examples; pixels
CLASS_COUNT, CLASS_WIDTH = 24, 112


class Examples:
    """Keeps predicted label maps of some images; ``keep`` fits ``evaluate``'s ``watch``."""

    COUNT = COUNT

    def __init__(self, dataset: Any, shared: Path, folder: Path, every: int = 1):
        """Prepare.

        Args:
            dataset: The validation set.
            shared: Folder of the run, which receives ``input/INDEX.png`` and ``truth/INDEX.png``.
            folder: Folder of the stage, which receives ``INDEX.png``, train ids.
            every: Only multiples of it are examples: the images that rank 0 of so many ranks predicts.
        """
        self._dataset, self._shared, self._folder = dataset, shared, folder
        spread = np.linspace(0, len(dataset) - 1, min(self.COUNT, len(dataset))).astype(int)
        self._indices = set((spread // every * every).tolist())

    def keep(self, index: int, prediction: np.ndarray, truth: np.ndarray) -> None:
        """Write prediction and truth, uint8 (H, W), and the image, if ``index`` is one of the examples."""
        if index not in self._indices:
            return
        size, name = (WIDTH, max(round(truth.shape[0] * WIDTH / truth.shape[1]), 1)), f"{index:05d}.png"
        write_png(self._folder / name, fitted(prediction, size))
        write_png(self._shared / "input" / name, fitted(self._dataset.image(index), size))
        write_png(self._shared / "truth" / name, fitted(truth, size))


class ClassExamples(Examples):
    """Keeps the ranked classes of some images: ``INDEX.json`` where label maps would be ``INDEX.png``."""

    COUNT = CLASS_COUNT

    def keep(self, index: int, prediction: np.ndarray, truth: np.ndarray) -> None:
        """Write the ranked classes (K,), the true one () and the image, if ``index`` is one of the examples."""
        if index not in self._indices:
            return
        image = self._dataset.image(index)
        size = CLASS_WIDTH, max(round(image.shape[0] * CLASS_WIDTH / image.shape[1]), 1)
        write_png(self._shared / "input" / f"{index:05d}.png", fitted(image, size))
        _write_classes(self._shared / "truth" / f"{index:05d}.json", [int(truth)])
        _write_classes(self._folder / f"{index:05d}.json", prediction.tolist())


def read_classes(path: Path) -> list[int]:
    """Return what ``ClassExamples`` wrote: the ranked classes of an image, or the true one."""
    return json.loads(path.read_text(encoding="utf-8"))


def _write_classes(path: Path, classes: Sequence[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(classes), encoding="utf-8")


EXAMPLES = {"segmentation": Examples, "classification": ClassExamples}
