"""Probabilities of a dataset's images, batch by batch, for the pseudo-label pass."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from common.pseudo.produce import Predictions


class Predictor(Protocol):
    """A trained network in evaluation mode, on some backend."""

    def scores(self, images: np.ndarray, size: tuple[int, int], output: str) -> np.ndarray:
        """Return (N, C, *size) float32 of images (N, 3, H, W) uint8 RGB; ``output`` as in the twins' ``predict``."""


def predictions(
    dataset: Any, predictor: Predictor, output: str, batch_size: int = 1
) -> Callable[[Sequence[str]], Predictions]:
    """Return the function from names of images to their probabilities, (C, H, W) float32 at the image's size.

    Args:
        dataset: A ``common.data.segmentation.SegmentationDataset``.
        predictor: The network.
        output: ``"coarse_probabilities"`` or ``"probabilities"``.
        batch_size: Images of equal size predicted together.
    """
    index = {name: i for i, name in enumerate(dataset.names)}

    def predict(names: Sequence[str]) -> Predictions:
        for batch in _batches(((name, dataset.image(index[name])) for name in names), batch_size):
            images = np.ascontiguousarray(np.stack([image for _, image in batch]).transpose(0, 3, 1, 2))
            scores = predictor.scores(images, images.shape[2:], output)
            yield from zip((name for name, _ in batch), scores)

    return predict


def _batches(samples: Iterator[tuple[str, np.ndarray]], size: int) -> Iterator[list[tuple[str, np.ndarray]]]:
    """Yield runs of at most ``size`` samples whose images have one shape."""
    batch: list[tuple[str, np.ndarray]] = []
    for sample in samples:
        if batch and (len(batch) == size or batch[0][1].shape != sample[1].shape):
            yield batch
            batch = []
        batch.append(sample)
    if batch:
        yield batch
