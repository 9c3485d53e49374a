"""Scores a network on a labelled dataset: predictions -> counts -> IoU, or accuracy.

Segmentation compares predictions with labels at the labels' own resolution, whatever the network sees (DDM); the
dataset's ``label_size`` asks for another one. Classification ranks the classes of every image.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from common import accuracy, metrics
from common.data.labels import ClassSet
from common.data.transforms import stack_images

# uint8 (N, 3, h, w) and the size of a truth -> uint8 (N, H, W) for (H, W), ranked classes int64 (N, K) for ()
Labels = Callable[[np.ndarray, tuple[int, ...]], np.ndarray]
Watch = Callable[[int, np.ndarray, np.ndarray], object]  # index, prediction and truth: (H, W), or (K,) and ()
_READERS = 4  # threads that read images ahead; Pillow decodes and resizes outside Python's lock


@dataclass
class Evaluation:
    """The outcome of segmentation on a dataset.

    Attributes:
        matrix: (C, C) int64, rows true classes, columns predicted ones.
        classes: The classes.
        left_out: Names of classes that do not count in the means.
        absent: What a class without a pixel is, see ``metrics.score``.
    """

    MEASURE: ClassVar[str] = "iou"  # key of the classes' values in a record

    matrix: np.ndarray
    classes: ClassSet
    left_out: tuple[str, ...] = ()
    absent: str = "skip"
    score: metrics.Score = field(init=False)

    def __post_init__(self) -> None:
        self.score = metrics.score(self.matrix, self.classes, self.left_out, self.absent)

    @staticmethod
    def empty(classes: int) -> list[np.ndarray]:
        """Return counts of nothing."""
        return [np.zeros((classes, classes), np.int64)]

    @staticmethod
    def count(counts: list[np.ndarray], truth: np.ndarray, prediction: np.ndarray) -> None:
        """Add a prediction, uint8 (H, W), to the counts."""
        counts[0] += metrics.confusion(truth, prediction, len(counts[0]))

    @classmethod
    def of(cls, counts: list[np.ndarray], classes: ClassSet, left_out: tuple[str, ...], absent: str) -> "Evaluation":
        """Return what the counts say."""
        return cls(counts[0], classes, left_out, absent)

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


@dataclass
class ClassEvaluation:
    """The outcome of classification on a dataset.

    Attributes:
        matrix: (C, C) int64, rows true classes, columns predicted ones.
        places: (6,) int64: images by the place of the truth among the ranked classes, the last beyond them.
        classes: The classes.
        left_out: Names of classes that do not count in the mean over classes.
    """

    MEASURE: ClassVar[str] = "recall"

    matrix: np.ndarray
    places: np.ndarray
    classes: ClassSet
    left_out: tuple[str, ...] = ()
    score: accuracy.Accuracy = field(init=False)

    def __post_init__(self) -> None:
        self.score = accuracy.accuracy(self.matrix, self.places, self.classes, self.left_out)

    @staticmethod
    def empty(classes: int) -> list[np.ndarray]:
        """Return counts of nothing."""
        return [np.zeros((classes, classes), np.int64), np.zeros(accuracy.GUESSES + 1, np.int64)]

    @staticmethod
    def count(counts: list[np.ndarray], truth: np.ndarray, prediction: np.ndarray) -> None:
        """Add the ranked classes (K,) of an image to the counts."""
        counts[0][int(truth), int(prediction[0])] += 1
        counts[1][accuracy.place_of_truth(int(truth), prediction)] += 1

    @classmethod
    def of(
        cls, counts: list[np.ndarray], classes: ClassSet, left_out: tuple[str, ...], absent: str
    ) -> "ClassEvaluation":
        """Return what the counts say; a class without an image is always left out of the mean over classes."""
        return cls(*counts, classes, left_out)

    def summary(self) -> dict[str, float]:
        """Return the numbers of one line, in percent."""
        return self.score.means

    def record(self) -> dict:
        """Return everything as a JSON object; null stands for a class without an image."""
        return {
            "value": _number(self.score.main()),
            "summary": {name: _number(value) for name, value in self.summary().items()},
            "recall": {name: _number(value) for name, value in zip(self.classes.names, self.score.recall)},
            "confusion": self.matrix.tolist(),
        }


EVALUATIONS = {"segmentation": Evaluation, "classification": ClassEvaluation}


def evaluate(
    predict: Labels,
    dataset: Any,
    classes: ClassSet,
    left_out: Sequence[str] = (),
    batch_size: int = 1,
    watch: Watch | None = None,
    backend: Any = None,
    indices: Sequence[int] | None = None,
    absent: str = "skip",
) -> Evaluation | ClassEvaluation:
    """Predict the images of a dataset and count.

    Args:
        predict: Gives label maps of a batch of images at a size, or their ranked classes; see ``Labels``.
        dataset: A dataset with labels, of either task.
        classes: Its classes.
        left_out: Names of classes that do not count in the means.
        batch_size: Images a pass; images of other sizes never share one.
        watch: Called with every prediction, for example to save it.
        backend: Shares the images out among its ranks and adds up what they counted; None is one rank alone.
        indices: Which images; None takes all.
        absent: What a class without a pixel is, see ``metrics.score``.
    Returns:
        The scores over these images, the same on every rank; a dataset without a label scores NaN.
    """
    rank, world = (backend.rank, backend.world) if backend else (0, 1)
    kind, which = EVALUATIONS[dataset.task], range(len(dataset)) if indices is None else indices
    counts, full = kind.empty(len(classes)), set()  # shapes of whole batches
    for some, images, truths in _batches(dataset, which[rank::world], batch_size):
        if len(images) == batch_size:
            full.add(images.shape)
        predictions = predict(_filled(images, batch_size, full), truths[0].shape)
        for index, prediction, truth in zip(some, predictions, truths):
            kind.count(counts, truth, prediction)
            if watch:
                watch(index, prediction, truth)
    return kind.of([backend.total(one) for one in counts] if backend else counts, classes, tuple(left_out), absent)


def _batches(dataset: Any, indices: Sequence[int], size: int) -> Iterator[tuple[list[int], np.ndarray, list]]:
    """Yield indices, images (N, 3, h, w) and truths of neighbours of one size, at most ``size`` of them."""
    pending: list[tuple[int, np.ndarray, np.ndarray]] = []
    for item in read_ahead(lambda i: (i, dataset.image(i), true_label(dataset, i)), indices):
        if pending and (len(pending) == size or _shapes(pending[-1]) != _shapes(item)):
            yield _stacked(pending)
            pending = []
        pending.append(item)
    if pending:
        yield _stacked(pending)


def true_label(dataset: Any, index: int) -> np.ndarray:
    """Return the label that is scored.

    Returns:
        (H, W) uint8 as it is on disk, unless ``label_size`` asks for another size; () int64 for classification.
    """
    if dataset.task == "classification":
        return np.array(dataset.label(index))
    return dataset.label(index) if dataset.config.label_size else dataset.native_label(index)


def _shapes(item: tuple[int, np.ndarray, np.ndarray]) -> tuple:
    return item[1].shape, item[2].shape


def _stacked(items: list[tuple[int, np.ndarray, np.ndarray]]) -> tuple[list[int], np.ndarray, list]:
    indices, images, labels = zip(*items)
    return list(indices), stack_images(images), list(labels)


def _filled(images: np.ndarray, size: int, full: set[tuple]) -> np.ndarray:
    """Repeat the last image until the batch is whole, if whole ones of its shape came before.

    A network that is compiled for a shape is then not compiled again for the rest of a dataset.
    """
    missing = size - len(images)
    if not missing or (size, *images.shape[1:]) not in full:
        return images
    return np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])


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
