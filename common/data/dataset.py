"""What datasets of every task share: images by index, their names, their size, a digest of their files."""

import copy
import json
from collections.abc import Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from common.data.files import read_image
from common.data.labels import ClassSet
from common.data.transforms import resize_image
from common.errors import UserError
from common.schema import Size


class Item(NamedTuple):
    """One image: its name below the image folder, its file, and its label: where its map is or would be, or a class."""

    name: str
    image: Path
    label: Path | int | None


class ImageDataset:
    """Images in the order of their list or of the alphabet; a task's dataset adds the labels.

    Attributes:
        config: The section of the configuration.
        classes: The classes of the task.
        names: Names of the images relative to the image folder, in order.
        items: The files behind the names.
        role: Key of the section in the configuration ("data.source"), where there is one; begins messages.
        fits_labels: Whether who reads it resizes label maps to their images, so that another size is no fault.
    """

    role = ""
    fits_labels = False
    ignored: tuple[int, ...] = ()  # labels that are no class

    def __init__(self, config: Any, classes: ClassSet):
        """Find the files; reads none of them but the list.

        Raises:
            UserError: If the root, the list or the images are not there, or the options contradict each other.
        """
        self.config, self.classes = config, classes
        if not config.root.is_dir():
            raise UserError(f"{config.root}: no such folder (root of the {config.layout} data)")
        self.items = self._chosen(self._found())
        self.names = [item.name for item in self.items]

    def __len__(self) -> int:
        return len(self.items)

    def image(self, index: int) -> np.ndarray:
        """Return an image in the configured size, (H, W, 3) uint8 RGB.

        Raises:
            UserError: If the file is missing or damaged.
        """
        return self.fit(self.native_image(index))

    def native_image(self, index: int) -> np.ndarray:
        """Return an image as it is on disk, (H, W, 3) uint8 RGB."""
        return read_image(self.items[index].image)

    def fit(self, image: np.ndarray) -> np.ndarray:
        """Return an image, (H, W, 3) uint8, in the configured size."""
        return resize_image(image, self.config.size) if self.config.size else image

    def has_label(self, index: int) -> bool:
        """Whether an image has a label."""
        raise NotImplementedError

    def inspect_label(self, index: int, size: tuple[int, int]) -> np.ndarray:
        """Read the label of an image of ``size`` (width, height); return how often each class is in it, int64.

        Raises:
            UserError: If it cannot be read, or does not fit the image.
        """
        raise NotImplementedError

    def missing_image_hint(self) -> str:
        """Return what to do when listed images are missing."""
        raise NotImplementedError

    def missing_label_hint(self, index: int) -> str:
        """Return where the label of an image is missed, and what to do."""
        raise NotImplementedError

    def resized(self, size: Size) -> Self:
        """Return the same dataset with images in another size; shares the file lists."""
        return self._with(size=tuple(size))

    def fingerprint(self) -> str:
        """Return a digest of the files (names, sizes, times of change) and of every option that changes the pixels."""
        return sha256(json.dumps([self.content, self._pixel_options()]).encode()).hexdigest()

    @cached_property
    def content(self) -> str:
        """Digest of the files and of the meaning of their labels, whatever the size."""
        digest = sha256(self._meaning())
        for item in self.items:
            for source in (item.image, item.label):
                digest.update(f"{item.name}|{_state(source)}\n".encode())
        return digest.hexdigest()

    def _found(self) -> list[Item]:
        """Return all images that the configuration names, before it leaves some of them out."""
        raise NotImplementedError

    def _meaning(self) -> bytes:
        """Return what tells how the labels are to be read."""
        raise NotImplementedError

    def _pixel_options(self) -> dict:
        """Return the options that change the pixels."""
        return {"size": self.config.size}

    def _with(self, **options: Any) -> Self:
        """Return the same dataset under other options; shares the file lists."""
        other = copy.copy(self)
        other.config = self.config.model_copy(update=options)
        return other

    def _of(self, items: Sequence[Item]) -> Self:
        """Return the same dataset with these images alone."""
        other = copy.copy(self)
        other.__dict__.pop("content", None)
        other.items, other.names = list(items), [item.name for item in items]
        return other

    def _chosen(self, items: list[Item]) -> list[Item]:
        """Keep every n-th item, or all others, as the configuration says."""
        config = self.config
        chosen = [item for i, item in enumerate(items) if (i % config.every == config.offset) != config.invert_every]
        if config.offset >= config.every or not chosen:
            raise UserError(
                f"every: {config.every} with offset: {config.offset} keeps no image; offset must be below every"
            )
        return chosen


def _state(source: Path | int | None) -> tuple[int, int] | int | None:
    """Return what changes when a file does; a label that is no file stands for itself."""
    if not isinstance(source, Path):
        return source
    stat = source.stat() if source.is_file() else None
    return stat and (stat.st_size, stat.st_mtime_ns)
