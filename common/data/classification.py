"""Datasets for classification: images with one class each, by index, from the files that a configuration names.

A family (``image_list``, ``class_folders``) is a subclass that says which images there are and of which class; all
the rest is here. Sizes are (width, height).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from common.data.dataset import ImageDataset, Item
from common.data.splits import parse_ratios, split_domains
from common.data.transforms import centre_crop, resize_image
from common.draws import generator
from common.errors import UserError
from common.schema import ClassificationDatasetConfig


class ClassificationDataset(ImageDataset):
    """Images with one class each."""

    task = "classification"

    @staticmethod
    def class_names(config: ClassificationDatasetConfig) -> tuple[str, ...]:
        """Return the names of the classes that the files tell, in the order of their labels.

        Raises:
            UserError: If the files are not there.
        """
        raise NotImplementedError

    def domains(self) -> list[list[Item]]:
        """Return the images of every domain, before ``ratios``, ``every`` and ``offset`` leave some of them out."""
        raise NotImplementedError

    def label(self, index: int) -> int:
        """Return the class of an image.

        Raises:
            UserError: If it has none.
        """
        label = self.items[index].label
        if label is None:
            raise UserError(f"{self.names[index]}: has no label; the dataset at {self.config.root} names none for it")
        return label

    def has_label(self, index: int) -> bool:
        """Whether an image has a label."""
        return self.items[index].label is not None

    def fit(self, image: np.ndarray) -> np.ndarray:
        """Return an image, (H, W, 3) uint8, in the configured size, of which ``crop`` takes the middle."""
        return fit(image, self.config)

    def uncropped(self) -> Self:
        """Return the same images without the cut of their middle."""
        return self._with(crop=None)

    def subset(self, positions: Sequence[int]) -> Self:
        """Return the dataset of some of the images, in this order."""
        return self._of([self.items[i] for i in positions])

    def inspect_label(self, index: int, size: tuple[int, int]) -> np.ndarray:
        """Return a one at the class of the image, int64 (256 or more,); its ``size`` counts for nothing."""
        return np.bincount([self.label(index)], minlength=max(256, len(self.classes)))

    def missing_image_hint(self) -> str:
        """Return what to do when listed images are missing."""
        return "fetch them, or correct root and list"

    def missing_label_hint(self, index: int) -> str:
        """Return where the label of an image is missed, and what to do."""
        return f"first that of {self.names[index]}; write them into {self.config.list} as 'image label'"

    def _found(self) -> list[Item]:
        domains, config = self.domains(), self.config
        if config.ratios is None:
            return [item for domain in domains for item in domain]
        draws = (generator(config.split_seed, "split", number) for number in range(len(domains)))
        permutations = [draw.permutation(len(domain)) for draw, domain in zip(draws, domains)]
        parts = split_domains(permutations, parse_ratios(config.ratios))
        if config.part >= len(parts):
            raise UserError(f"part: {config.part}, but ratios '{config.ratios}' make the parts 0 to {len(parts) - 1}")
        return [domains[domain][index] for domain, index in parts[config.part]]

    def _meaning(self) -> bytes:
        return "\n".join(self.classes.names).encode()

    def _pixel_options(self) -> dict:
        config = self.config
        return {"size": config.size, "resize": config.resize, "crop": config.crop}

    def _known(self, label: int | None, place: str) -> int | None:
        """Return a label that a list states, after a look whether there is such a class."""
        if label is not None and label >= len(self.classes):
            raise UserError(f"{place}: label {label}, but there are {len(self.classes)} classes (classes.names)")
        return label


def fit(image: np.ndarray, config: ClassificationDatasetConfig) -> np.ndarray:
    """Return an image, (H, W, 3) uint8, as a dataset shows it that is not augmented: resized, its middle cut out.

    Raises:
        UserError: If it is smaller than the crop.
    """
    image = resize_image(image, config.size, config.resize) if config.size else image
    return centre_crop(image, config.crop) if config.crop else image


def found_list(config: ClassificationDatasetConfig) -> Path:
    """Return the list file of a configuration: below the root, or as it is written.

    Raises:
        UserError: If the configuration names none.
    """
    if config.list is None:
        raise UserError("layout image_list needs list, a text file with 'image label' a line")
    path = config.root / config.list
    return path if path.is_file() else config.list
