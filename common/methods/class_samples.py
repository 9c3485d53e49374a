"""Which image a position of a stage sees, for classification: samplers that methods share, and batches of them.

The sibling of ``common.methods.samples``: every choice is drawn at its own position, so a batch is a pure function of
the step. An image is (H, W, 3) uint8 RGB, a label an integer.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from common.data.augment import augment
from common.data.classification import ClassificationDataset
from common.data.transforms import stack_images
from common.errors import UserError
from common.methods.samples import Draws
from common.schema import AugmentConfig
from common.stage import Batch, StageContext

Pair = tuple[np.ndarray, int]  # image, class


class ClassImages:
    """The images of one dataset in shuffled epochs, as ``data.augment`` shows them."""

    def __init__(self, dataset: ClassificationDataset, augmented: AugmentConfig, draws: Draws, purpose: str):
        """Prepare; reads no image.

        Args:
            dataset: The images.
            augmented: How training sees them.
            draws: The stage's draws.
            purpose: Name of this sequence among those of the stage, for example ``"source"``.
        """
        self.dataset, self.augmented, self.draws, self.purpose = dataset, augmented, draws, purpose

    def index(self, position: int) -> int:
        """Return which image of the dataset stands at a position of the endless sequence."""
        return self.draws.epoch(self.purpose, len(self.dataset), position)

    def pair(self, position: int) -> Pair:
        """Return image and class at a position of the endless sequence."""
        return self.image(position), self.dataset.label(self.index(position))

    def image(self, position: int) -> np.ndarray:
        """Return the image at a position of the endless sequence; it needs no label."""
        return self.view(self.index(position), position)

    def view(self, index: int, position: int) -> np.ndarray:
        """Return an image that is chosen otherwise, in the view that belongs to a position."""
        rng = self.draws.at(f"augment {self.purpose}", position)
        return augment(self.dataset.image(index), None, self.augmented, rng)[0]


def source_images(context: StageContext, draws: Draws) -> ClassImages:
    """Return the labelled source images.

    Raises:
        UserError: If the configuration names none.
    """
    return _of(context, draws, context.data.source, "source", "data.source is missing: the labelled source images")


def labelled_images(context: StageContext, draws: Draws) -> ClassImages:
    """Return the labelled target images.

    Raises:
        UserError: If the configuration names none.
    """
    missing = "data.labelled is missing: 'all', shots of data.target, or a list of labelled target images"
    return _of(context, draws, context.data.labelled_target, "labelled", missing)


def unlabelled_images(context: StageContext, draws: Draws) -> ClassImages:
    """Return the target images without labels.

    Raises:
        UserError: If the configuration names none.
    """
    return _of(context, draws, context.data.target, "unlabelled", "data.target is missing: the unlabelled images")


def stack(pairs: Iterable[Pair], domain: str) -> Batch:
    """Return ``{domain}_image`` (N, 3, H, W) uint8 and ``{domain}_label`` (N,) int32 of N pairs."""
    images, labels = zip(*pairs)
    return {f"{domain}_image": stack_equal(images), f"{domain}_label": np.array(labels, np.int32)}


def stack_equal(images: Iterable[np.ndarray]) -> np.ndarray:
    """Return (N, 3, H, W) uint8 of N images (H, W, 3).

    Raises:
        UserError: If their sizes differ.
    """
    images = list(images)
    sizes = sorted({f"{image.shape[1]}x{image.shape[0]}" for image in images})
    if len(sizes) > 1:
        raise UserError(f"images of {' and '.join(sizes[:3])} cannot share a batch; set size of their dataset")
    return stack_images(images)


def of_one_size(batch: Batch) -> Batch:
    """Return a batch after a look whether its images, (N, 3, H, W) each, can pass a network together.

    Raises:
        UserError: If the sizes of two domains differ.
    """
    frames = {key.removesuffix("_image"): array.shape[:1:-1] for key, array in batch.items() if key.endswith("_image")}
    if len(set(frames.values())) > 1:
        seen = ", ".join(f"{name} {width}x{height}" for name, (width, height) in frames.items())
        raise UserError(
            f"images of different sizes cannot share a network's pass: {seen}; "
            "set size of data.source, target and labelled alike, or data.augment.crop"
        )
    return batch


def dropout(network: Any, draws: Draws, purpose: str, positions: Iterable[int]) -> np.ndarray | None:
    """Return which units of each image's pass are kept, (N, units) uint8 of 0 and 1; None without dropout.

    Args:
        network: Section ``network`` of the configuration.
        draws: The stage's draws.
        purpose: Name of the pass among those of the step.
        positions: One position an image.
    """
    units, rate = network.dropout_units(), network.dropout_rate()
    if not units:
        return None
    rows = [draws.at(f"dropout {purpose}", p).random(units, np.float32) >= rate for p in positions]
    return np.stack(rows).astype(np.uint8)


def _of(context: StageContext, draws: Draws, dataset: Any, purpose: str, missing: str) -> ClassImages:
    if dataset is None:
        raise UserError(missing)
    return ClassImages(dataset, context.config.data.augment, draws, purpose)
