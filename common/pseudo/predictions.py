"""Probabilities of a dataset's images, batch by batch, for the pseudo-label pass."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from common.evaluate import read_ahead
from common.pseudo.produce import Predict, Predictions

Named = tuple[str, np.ndarray]  # name of an image, the image (H, W, 3) uint8


class Predictor(Protocol):
    """A trained network in evaluation mode, on some backend."""

    def scores(self, images: np.ndarray, size: tuple[int, int], output: str) -> np.ndarray:
        """Return (N, C, *size) float32 of images (N, 3, H, W) uint8 RGB; ``output`` as in the twins' ``predict``."""


def predictions(dataset: Any, predictor: Predictor, output: str, batch_size: int = 1) -> Predict:
    """Return the function from names of images to their probabilities, (C, H, W) float32 at the image's size.

    Args:
        dataset: A ``common.data.segmentation.SegmentationDataset``.
        predictor: The network.
        output: ``"coarse_probabilities"`` or ``"probabilities"``.
        batch_size: Images of equal size predicted together.
    """
    index = {name: i for i, name in enumerate(dataset.names)}

    def predict(names: Sequence[str]) -> Predictions:
        images = read_ahead(lambda i: (dataset.names[i], dataset.image(i)), [index[name] for name in names])
        for batch in _batches(images, batch_size):
            stacked = np.ascontiguousarray(np.stack([image for _, image in batch]).transpose(0, 3, 1, 2))
            scores = predictor.scores(stacked, stacked.shape[2:], output)
            yield from zip((name for name, _ in batch), scores)

    return predict


def _batches(samples: Iterable[Named], size: int) -> Iterator[list[Named]]:
    """Yield runs of at most ``size`` neighbours whose images have one shape."""
    batch: list[Named] = []
    for sample in samples:
        if batch and (len(batch) == size or batch[0][1].shape != sample[1].shape):
            yield batch
            batch = []
        batch.append(sample)
    if batch:
        yield batch
