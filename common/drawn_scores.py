"""Which images score a classifier while it trains, and in which view: all in the middle, or as released code has it.

``evaluate.protocol: ssda`` does what SSDA_MME and S3D do (Saito et al., ICCV 2019; Yoon et al., WACV 2022): their
loaders shuffle and drop the last incomplete batch, so that another part of the images is missing in each score, and
validation images are mirrored and cropped at random as for training. ``scripts/evaluate.py`` scores all images.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from common.data.augment import augment
from common.data.classification import ClassificationDataset
from common.draws import generator
from common.schema import AugmentConfig

AUGMENTED = "val"  # role whose images are seen as in training


class ViewedImages:
    """A dataset whose images are seen as ``data.augment`` shows them; everything else is the dataset's own."""

    task = "classification"

    def __init__(self, dataset: ClassificationDataset, augmented: AugmentConfig, place: tuple[Any, ...]):
        """Prepare; reads no image.

        Args:
            dataset: The images; ``crop`` of its section counts for nothing, training crops at random.
            augmented: How training sees them.
            place: Names the draws: an image looks the same whenever it is read at the same place.
        """
        self._dataset, self._augmented, self._place = dataset.uncropped(), augmented, place

    def __len__(self) -> int:
        return len(self._dataset)

    def image(self, index: int) -> np.ndarray:
        """Return the view of an image, (h, w, 3) uint8 RGB."""
        draws = generator(*self._place, index)
        return augment(self._dataset.image(index), None, self._augmented, draws)[0]

    def label(self, index: int) -> int:
        """Return the class of an image."""
        return self._dataset.label(index)


def scored_images(config: Any, data: Any, role: str, stage: str, step: int) -> tuple[Any, Sequence[int]]:
    """Return the dataset of a score, and which of its images count.

    Args:
        config: The configuration; ``evaluate.protocol`` decides.
        data: The open datasets by role.
        role: Key of the dataset; "val" is the one that is augmented.
        stage: Name of the stage whose network is scored.
        step: Steps that it has trained; each step draws anew.
    Returns:
        (a dataset, positions in it in ascending order): whole batches of them, of ``train.batch_size`` for "val" and
        of ``evaluate.batch_size`` for others; all where there are fewer than one batch.
    """
    dataset = getattr(data, role)
    if config.evaluate.protocol == "all":
        return dataset, range(len(dataset))
    place = config.seed, stage, f"score {role}", step
    size = config.train.batch_size if role == AUGMENTED else config.evaluate.batch_size
    kept = len(dataset) - (len(dataset) % size if len(dataset) > size else 0)
    which = np.sort(generator(*place).permutation(len(dataset))[:kept]).tolist()
    return (ViewedImages(dataset, config.data.augment, place) if role == AUGMENTED else dataset), which
