"""Predictions of a dataset's images, batch by batch, for the passes over data between two trainings."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from common.data.transforms import stack_images
from common.evaluate import read_ahead
from common.pseudo.produce import Predict, Predictions


class Predictor(Protocol):
    """A trained network in evaluation mode, on some backend."""

    def scores(self, images: np.ndarray, size: tuple[int, int], output: str) -> np.ndarray:
        """Return (N, C, *size) float32 of images (N, 3, H, W) uint8 RGB; ``output`` as in the twins' ``predict``."""

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return raw logits (N, C, h, w) float32 of images (N, 3, H, W) uint8 RGB, at the network's stride."""


def predictions(dataset: Any, predictor: Predictor, output: str, batch_size: int = 1) -> Predict:
    """Return the function from names of images to their probabilities, (C, H, W) float32 at the image's size.

    Args:
        dataset: A ``common.data.segmentation.SegmentationDataset``.
        predictor: The network.
        output: ``"coarse_probabilities"`` or ``"probabilities"``.
        batch_size: Images of equal size predicted together.
    """

    def predict(names: Sequence[str]) -> Predictions:
        for some, images in image_batches(dataset, names, batch_size):
            yield from zip(some, predictor.scores(images, images.shape[2:], output))

    return predict


def image_batches(dataset: Any, names: Sequence[str], size: int) -> Iterator[tuple[list[str], np.ndarray]]:
    """Yield names and images (N, 3, H, W) uint8 of at most ``size`` neighbours whose images have one shape."""
    index = {name: i for i, name in enumerate(dataset.names)}
    batch: list[tuple[str, np.ndarray]] = []
    for sample in read_ahead(lambda i: (dataset.names[i], dataset.image(i)), [index[name] for name in names]):
        if batch and (len(batch) == size or batch[0][1].shape != sample[1].shape):
            yield _stacked(batch)
            batch = []
        batch.append(sample)
    if batch:
        yield _stacked(batch)


def _stacked(batch: list[tuple[str, np.ndarray]]) -> tuple[list[str], np.ndarray]:
    names, images = zip(*batch)
    return list(names), stack_images(images)
