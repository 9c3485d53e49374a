"""The optional cache of resized images and labels, which training reads instead of the full-size files.

    CACHE/<content>/images_1024x512/NAME.png    RGB, resized
    CACHE/<content>/labels_1024x512/NAME.png    train ids, resized

``content`` is the beginning of the dataset's digest: other files, maps or classes make another folder, so that a
stale cache is never read. PNG loses nothing: pixels are equal to the bit to the uncached path.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from common.data.files import read_ids
from common.errors import UserError
from common.schema import Size

if TYPE_CHECKING:
    from common.data.segmentation import SegmentationDataset


class Cache:
    """Reads a cache folder that may serve several datasets and sizes."""

    def __init__(self, folder: Path):
        """Remember the folder; nothing is read."""
        self.folder = folder

    def image(self, dataset: "SegmentationDataset", index: int) -> Path:
        """Return the file of a resized image.

        Raises:
            UserError: If the cache does not hold it.
        """
        return self._file(dataset, "images", dataset.config.size, index)

    def label(self, dataset: "SegmentationDataset", index: int) -> np.ndarray:
        """Return a resized label map, (H, W) uint8 train ids.

        Raises:
            UserError: If the cache does not hold it, or its file is damaged.
        """
        return read_ids(self._file(dataset, "labels", dataset.config.label_size or dataset.config.size, index))

    def _file(self, dataset: "SegmentationDataset", kind: str, size: Size, index: int) -> Path:
        path = self.place(dataset, kind, size) / PurePosixPath(dataset.names[index]).with_suffix(".png")
        if not path.is_file():
            raise UserError(
                f"{self.folder}: the cache holds no {size[0]}x{size[1]} {kind} of the present {dataset.config.root} "
                f"(first '{dataset.names[index]}'); run: python scripts/prepare_data.py cache CONFIG, or unset cache"
            )
        return path

    def place(self, dataset: "SegmentationDataset", kind: str, size: Size) -> Path:
        """Return the folder of one kind ("images", "labels") in one size."""
        return self.folder / dataset.content[:16] / f"{kind}_{size[0]}x{size[1]}"

    def write(self, dataset: "SegmentationDataset", sizes: list[Size], label_sizes: list[Size]) -> Iterator[Path]:
        """Write what is missing, one file after the other; yields each file when it is there.

        Args:
            dataset: Read without its cache.
            sizes: Sizes of the images.
            label_sizes: Sizes of the labels; images without a label are passed over.
        """
        plain = dataset.uncached()
        for index in range(len(dataset)):
            wanted = [("images", size) for size in sizes]
            wanted += [("labels", size) for size in label_sizes if dataset.has_label(index)]
            for kind, size in wanted:
                path = self.place(dataset, kind, size) / PurePosixPath(dataset.names[index]).with_suffix(".png")
                if not path.is_file():
                    _save(path, getattr(plain.resized(size), kind[:-1])(index))
                yield path


def _save(path: Path, pixels: np.ndarray) -> None:
    """Write a PNG that appears whole or not at all; compressed little, for speed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        Image.fromarray(pixels).save(part, "PNG", compress_level=1)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
