"""Datasets for segmentation: images and label maps by index, from the files that a configuration names.

A family (``gta5``, ``synthia``, ``cityscapes``, ``folders``) is a subclass that says where the files lie and what
the ids mean; all the rest is here. Sizes are (width, height).
"""

from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np

from common.data import iast_lists
from common.data.cache import Cache
from common.data.dataset import ImageDataset, Item
from common.data.files import read_image
from common.data.labels import IGNORE, ClassSet
from common.data.layout import Ids, Layout, colours_of, official_ids
from common.data.lists import read_list, read_numbers, scan
from common.data.transforms import resize_label
from common.errors import UserError
from common.schema import DatasetConfig, Size


class SegmentationDataset(ImageDataset):
    """Images with label maps of train ids."""

    task = "segmentation"
    ignored = (IGNORE,)

    def __init__(self, config: DatasetConfig, classes: ClassSet):
        """Find the files; reads none of them but the list.

        Raises:
            UserError: If the root, the list or the images are not there, or the options contradict each other.
        """
        self.colours = colours_of(config, classes)
        self.ids: Ids | None = None if self.colours else self.id_table(config, classes)
        self.files = self.layout(config)
        super().__init__(config, classes)
        self.cache = Cache(config.cache) if config.cache else None

    def layout(self, config: DatasetConfig) -> Layout:
        """Return where the family keeps its files."""
        raise NotImplementedError

    def id_table(self, config: DatasetConfig, classes: ClassSet) -> Ids:
        """Return the meaning of the ids in label files; Cityscapes' unless the family has its own."""
        return official_ids(config, classes)

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

    def has_label(self, index: int) -> bool:
        """Whether the label file of an image is there."""
        path = self.items[index].label
        return path is not None and path.is_file()

    def inspect_label(self, index: int, size: tuple[int, int]) -> np.ndarray:
        """Return the pixels of each train id in the label of an image of ``size`` (width, height), int64 (256,).

        Raises:
            UserError: If it cannot be read, or has another size than its image where nothing resizes them.
        """
        label = self.native_label(index)
        if label.shape != size[::-1] and not (self.config.label_size or self.config.size or self.fits_labels):
            own = f"{label.shape[1]}x{label.shape[0]}"
            path = self.items[index].label
            raise UserError(f"{path}: {own}, but its image is {size[0]}x{size[1]}; set size to resize")
        return np.bincount(label.ravel(), minlength=256)

    def missing_image_hint(self) -> str:
        """Return what to do when listed images are missing."""
        again = f"python scripts/prepare_data.py lists {self.config.layout} {self.config.root}"
        return f"fetch them, or write the list anew: {again}"

    def missing_label_hint(self, index: int) -> str:
        """Return where the label of an image is missed, and what to do."""
        path = self.items[index].label
        place = f"first {path}" if path else "the layout names no label folder (labels)"
        repair = self.files.repair or "python scripts/prepare_data.py check CONFIG, which names all"
        return f"{place}; run: {repair}"

    def truth(self, name: str) -> np.ndarray | None:
        """Return the label map of the image of that name as ``label`` does; None where it has none."""
        index = self._place.get(name)
        return self.label(index) if index is not None and self.has_label(index) else None

    def resized(self, size: Size) -> "SegmentationDataset":
        """Return the same dataset with images and labels in another size; shares the file lists."""
        return self._with(size=tuple(size), label_size=None)

    def uncached(self) -> "SegmentationDataset":
        """Return the same dataset, read from the full-size files."""
        other = self._with()
        other.cache = None
        return other

    def _chosen(self, items: list[Item]) -> list[Item]:
        """Keep the items whose number is not left out, then as every dataset does."""
        if self.config.left_out:
            numbers = read_numbers(self.config.left_out)
            items = [item for item in items if _number(item.image) not in numbers]
        return super()._chosen(items)

    def _found(self) -> list[Item]:
        return self._listed() if self.config.list else self._scanned()

    def _pixel_options(self) -> dict:
        return {"size": self.config.size, "label_size": self.config.label_size}

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
        """Items of the list file: a lone name is relative to the image folder, or to the root if it begins with it.

        A name without an ending has the layout's.
        """
        path = self.config.root / self.config.list
        path = path if path.is_file() else self.config.list
        if path.name in iast_lists.LISTS and not path.is_file():
            write = f"python scripts/prepare_data.py iast-lists --out {path.parent}"
            raise UserError(f"{path}: no such list file; it is the order of IAST's official runs, written by: {write}")
        entries = read_list(path)
        folder = f"{self.files.images}/"
        items = []
        for image, label in entries:
            if label is not None:
                name = image.removeprefix(folder)
                items.append(Item(name, self.config.root / image, self.config.root / label))
            else:
                items.append(self._item(self.files.image_name(image.removeprefix(folder))))
        return items

    def _item(self, name: str) -> Item:
        root, files = self.config.root, self.files
        label = root / files.labels / files.label_name(name) if files.labels is not None else None
        return Item(name, root / files.images / name, label)


def _number(image: Path) -> int:
    """Return the number in an image's name; -1 where there is none."""
    return int("".join(filter(str.isdecimal, image.stem)) or -1)
