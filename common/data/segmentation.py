"""Datasets for segmentation: images and label maps by index, from the files that a configuration names.

A family (``gta5``, ``synthia``, ``cityscapes``, ``folders``) is a subclass that says where the files lie and what
the ids mean; all the rest is here. Sizes are (width, height).
"""

import copy
import json
from functools import cached_property
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from common.data.cache import Cache
from common.data.files import read_image
from common.data.labels import ClassSet
from common.data.layout import Ids, Layout, colours_of, official_ids
from common.data.lists import read_list, scan
from common.data.transforms import resize_image, resize_label
from common.errors import UserError
from common.schema import DatasetConfig, Size


class Item(NamedTuple):
    """One image: its name below the image folder, its file, and where its label is or would be."""

    name: str
    image: Path
    label: Path | None


class SegmentationDataset:
    """Images with label maps of train ids.

    Attributes:
        config: The section of the configuration.
        classes: The classes of the task.
        names: Names of the images relative to the image folder, in order of the list or of the alphabet.
        items: The files behind the names.
        role: Key of the section in the configuration ("data.source"), where there is one; begins messages.
    """

    role = ""

    def __init__(self, config: DatasetConfig, classes: ClassSet):
        """Find the files; reads none of them but the list.

        Raises:
            UserError: If the root, the list or the images are not there, or the options contradict each other.
        """
        self.config, self.classes = config, classes
        self.colours = colours_of(config, classes)
        self.ids: Ids | None = None if self.colours else self.id_table(config, classes)
        self.files = self.layout(config)
        if not config.root.is_dir():
            raise UserError(f"{config.root}: no such folder (root of the {config.layout} data)")
        self.items = self._chosen(self._listed() if config.list else self._scanned())
        self.names = [item.name for item in self.items]
        self.cache = Cache(config.cache) if config.cache else None

    def layout(self, config: DatasetConfig) -> Layout:
        """Return where the family keeps its files."""
        raise NotImplementedError

    def id_table(self, config: DatasetConfig, classes: ClassSet) -> Ids:
        """Return the meaning of the ids in label files; Cityscapes' unless the family has its own."""
        return official_ids(config, classes)

    def __len__(self) -> int:
        return len(self.items)

    def image(self, index: int, folder: Path | None = None) -> np.ndarray:
        """Return an image in the configured size, (H, W, 3) uint8 RGB.

        Args:
            index: Which image.
            folder: Take the picture of that name from this folder instead, as ``prepare_data.py translate`` wrote it.
        Raises:
            UserError: If the file is missing or damaged.
        """
        if folder is not None:
            return self.fit(read_image(folder / PurePosixPath(self.names[index]).with_suffix(".png")))
        if self.cache and self.config.size:
            return read_image(self.cache.image(self, index))
        return self.fit(self.native_image(index))

    def label(self, index: int) -> np.ndarray:
        """Return the label map in the configured size, (H, W) uint8 train ids, 255 ignored.

        Raises:
            UserError: If the image has no label, or the file is missing, damaged or holds an unknown id.
        """
        size = self.config.label_size or self.config.size
        if self.cache and size:
            return self.cache.label(self, index)
        label = self.native_label(index)
        return resize_label(label, size) if size else label

    def native_image(self, index: int) -> np.ndarray:
        """Return an image as it is on disk, (H, W, 3) uint8 RGB."""
        return read_image(self.items[index].image)

    def native_label(self, index: int) -> np.ndarray:
        """Return the label map in the size it has on disk, (H, W) uint8 train ids, 255 ignored.

        Raises:
            UserError: As ``label``.
        """
        path = self.items[index].label
        if path is None:
            raise UserError(f"{self.names[index]}: has no label; the dataset at {self.config.root} names none for it")
        if self.colours:
            return self.colours.train_ids_of(read_image(path), path)
        raw = self.files.read_ids(path)
        if unknown := self.ids.unknown(raw):
            raise UserError(
                f"{path}: holds ids {unknown[:8]} that no map knows; add them to class_map or ignore, "
                "or set strict_ids: false to ignore them all"
            )
        return self.ids.table[raw]

    def fit(self, image: np.ndarray) -> np.ndarray:
        """Return an image, (H, W, 3) uint8, in the configured size."""
        return resize_image(image, self.config.size) if self.config.size else image

    def has_label(self, index: int) -> bool:
        """Whether the label file of an image is there."""
        path = self.items[index].label
        return path is not None and path.is_file()

    def truth(self, name: str) -> np.ndarray | None:
        """Return the label map of the image of that name as ``label`` does; None where it has none."""
        index = self._place.get(name)
        return self.label(index) if index is not None and self.has_label(index) else None

    def resized(self, size: Size) -> "SegmentationDataset":
        """Return the same dataset with images and labels in another size; shares the file lists."""
        other = copy.copy(self)
        other.config = self.config.model_copy(update={"size": tuple(size), "label_size": None})
        return other

    def uncached(self) -> "SegmentationDataset":
        """Return the same dataset, read from the full-size files."""
        other = copy.copy(self)
        other.cache = None
        return other

    def fingerprint(self) -> str:
        """Return a digest of the files (names, sizes, times of change) and of every option that changes the pixels."""
        options = {"size": self.config.size, "label_size": self.config.label_size}
        return sha256(json.dumps([self.content, options]).encode()).hexdigest()

    @cached_property
    def content(self) -> str:
        """Digest of the files and of the meaning of their ids, whatever the size."""
        digest = sha256(self._meaning())
        for item in self.items:
            for path in (item.image, item.label):
                stat = path.stat() if path is not None and path.is_file() else None
                digest.update(f"{item.name}|{stat and (stat.st_size, stat.st_mtime_ns)}\n".encode())
        return digest.hexdigest()

    def _meaning(self) -> bytes:
        tables = (self.colours.codes, self.colours.train_ids) if self.colours else (self.ids.table, self.ids.known)
        return b"".join(table.tobytes() for table in tables) + self.classes.name.encode()

    @cached_property
    def _place(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.names)}

    def _scanned(self) -> list[Item]:
        folder = self.config.root / self.files.images
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; the {self.config.layout} layout keeps its images there")
        names = [name for name in scan(folder, self.files.image_suffix) if not self._is_label(name)]
        if not names:
            wanted = f"'*{self.files.image_suffix}'" if self.files.image_suffix else "image files"
            raise UserError(f"{folder}: holds no {wanted} (image_suffix); check root, split and images")
        return [self._item(name) for name in names]

    def _is_label(self, name: str) -> bool:
        """Whether a file below the image folder is a label: labels may lie below the images or among them."""
        files = self.files
        if files.labels is None:
            return False
        if PurePosixPath(files.labels) == PurePosixPath(files.images):
            return files.image_suffix is None and name.endswith(files.label_suffix)
        return (PurePosixPath(files.images) / name).is_relative_to(PurePosixPath(files.labels))

    def _listed(self) -> list[Item]:
        """Items of the list file: a lone name is relative to the image folder, or to the root if it begins with it."""
        path = self.config.root / self.config.list
        entries = read_list(path if path.is_file() else self.config.list)
        folder = f"{self.files.images}/"
        items = []
        for image, label in entries:
            if label is not None:
                name = image.removeprefix(folder)
                items.append(Item(name, self.config.root / image, self.config.root / label))
            else:
                items.append(self._item(image.removeprefix(folder)))
        return items

    def _item(self, name: str) -> Item:
        root, files = self.config.root, self.files
        label = root / files.labels / files.label_name(name) if files.labels is not None else None
        return Item(name, root / files.images / name, label)

    def _chosen(self, items: list[Item]) -> list[Item]:
        """Keep every n-th item, or all others, as the configuration says."""
        config = self.config
        chosen = [item for i, item in enumerate(items) if (i % config.every == config.offset) != config.invert_every]
        if config.offset >= config.every or not chosen:
            raise UserError(
                f"every: {config.every} with offset: {config.offset} keeps no image; offset must be below every"
            )
        return chosen
