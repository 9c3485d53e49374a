"""Scores a network on a labelled dataset: predictions -> confusion matrix -> IoU.

Predictions are compared with labels at the labels' own resolution, whatever the network sees (DDM);
the dataset's ``label_size`` asks for another one.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from common import metrics
from common.data.labels import ClassSet

LabelMaps = Callable[[np.ndarray, tuple[int, int]], np.ndarray]  # uint8 (N, 3, h, w), (H, W) -> uint8 (N, H, W)
Watch = Callable[[int, np.ndarray, np.ndarray], object]  # index, prediction and truth, uint8 (H, W)
_READERS = 4  # threads that read images ahead; Pillow decodes and resizes outside Python's lock


@dataclass
class Evaluation:
    """The outcome on a dataset.

    Attributes:
        matrix: (C, C) int64, rows true classes, columns predicted ones.
        classes: The classes.
        left_out: Names of classes that do not count in the means.
    """

    matrix: np.ndarray
    classes: ClassSet
    left_out: tuple[str, ...] = ()
    score: metrics.Score = field(init=False)

    def __post_init__(self) -> None:
        self.score = metrics.score(self.matrix, self.classes, self.left_out)

    def summary(self) -> dict[str, float]:
        """Return the numbers of one line, in percent: the means over classes, and pixel accuracy."""
        return {**self.score.means, "accuracy": self.score.accuracy}

    def record(self) -> dict:
        """Return everything as a JSON object; null stands for a class that is neither in labels nor predictions."""
        return {
            "value": _number(self.score.main()),
            "summary": {name: _number(value) for name, value in self.summary().items()},
            "means_of_present": {name: _number(value) for name, value in self.score.means_of_present.items()},
            "iou": {name: _number(value) for name, value in zip(self.classes.names, self.score.iou)},
            "confusion": self.matrix.tolist(),
        }


def evaluate(
    predict: LabelMaps,
    dataset: Any,
    classes: ClassSet,
    left_out: Sequence[str] = (),
    batch_size: int = 1,
    watch: Watch | None = None,
    backend: Any = None,
) -> Evaluation:
    """Predict every image of a dataset and count.

    Args:
        predict: Gives label maps of a batch of images at a size; see ``LabelMaps``.
        dataset: A ``SegmentationDataset`` with labels.
        classes: Its classes.
        left_out: Names of classes that do not count in the means.
        batch_size: Images a pass; images of other sizes never share one.
        watch: Called with every prediction, for example to save it.
        backend: Shares the images out among its ranks and adds up what they counted; None is one rank alone.
    Returns:
        The scores over all images, the same on every rank; a dataset without a labelled pixel scores NaN.
    """
    rank, world = (backend.rank, backend.world) if backend else (0, 1)
    matrix = np.zeros((len(classes), len(classes)), np.int64)
    for indices, images, truths in _batches(dataset, range(rank, len(dataset), world), batch_size):
        predictions = predict(images, truths[0].shape)
        for index, prediction, truth in zip(indices, predictions, truths):
            matrix += metrics.confusion(truth, prediction, len(classes))
            if watch:
                watch(index, prediction, truth)
    return Evaluation(backend.total(matrix) if backend else matrix, classes, tuple(left_out))


def _batches(dataset: Any, indices: Sequence[int], size: int) -> Iterator[tuple[list[int], np.ndarray, list]]:
    """Yield indices, images (N, 3, h, w) and labels [(H, W)] of neighbours of one size, at most ``size`` of them."""
    pending: list[tuple[int, np.ndarray, np.ndarray]] = []
    for item in read_ahead(lambda i: (i, dataset.image(i), true_label(dataset, i)), indices):
        if pending and (len(pending) == size or _shapes(pending[-1]) != _shapes(item)):
            yield _stacked(pending)
            pending = []
        pending.append(item)
    if pending:
        yield _stacked(pending)


def true_label(dataset: Any, index: int) -> np.ndarray:
    """Return the label that is scored, (H, W) uint8: as it is on disk unless ``label_size`` asks for another size."""
    return dataset.label(index) if dataset.config.label_size else dataset.native_label(index)


def _shapes(item: tuple[int, np.ndarray, np.ndarray]) -> tuple:
    return item[1].shape, item[2].shape


def _stacked(items: list[tuple[int, np.ndarray, np.ndarray]]) -> tuple[list[int], np.ndarray, list]:
    indices, images, labels = zip(*items)
    return list(indices), np.stack(images).transpose(0, 3, 1, 2), list(labels)


def read_ahead(read: Callable[[int], Any], indices: Sequence[int], threads: int = _READERS) -> Iterator[Any]:
    """Yield ``read(i)`` in order, with a few ahead being read in threads, so that the device need not wait."""
    waiting: deque[Future] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for index in indices:
            waiting.append(pool.submit(read, index))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _number(value: float) -> float | None:
    """JSON has no NaN: null stands for it."""
    return float(value) if np.isfinite(value) else None
