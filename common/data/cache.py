"""The optional cache of resized images and labels, which training reads instead of the full-size files.

    CACHE/<content>/images_1024x512/NAME.png    RGB, resized
    CACHE/<content>/labels_1024x512/NAME.png    train ids, resized

``content`` is the beginning of the dataset's digest: other files, maps or classes make another folder, so that a
stale cache is never read. PNG loses nothing: pixels are equal to the bit to the uncached path.
"""

from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from common.data.files import read_ids
from common.errors import UserError
from common.pseudo.folder import write_whole
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
        path = self._path(dataset, kind, size, index)
        if not path.is_file():
            raise UserError(
                f"{self.folder}: the cache holds no {size[0]}x{size[1]} {kind} of the present {dataset.config.root} "
                f"(first '{dataset.names[index]}'); run: python scripts/prepare_data.py cache CONFIG, or unset cache"
            )
        return path

    def place(self, dataset: "SegmentationDataset", kind: str, size: Size) -> Path:
        """Return the folder of one kind ("images", "labels") in one size."""
        return self.folder / dataset.content[:16] / f"{kind}_{size[0]}x{size[1]}"

    def write(self, dataset: "SegmentationDataset", index: int, sizes: list[Size], label_sizes: list[Size]) -> int:
        """Write what is missing of one image; return how many files were written.

        Args:
            dataset: Read from its full-size files.
            index: Which image.
            sizes: Sizes of the image.
            label_sizes: Sizes of the label; none is written for an image without one.
        Raises:
            UserError: If a file is missing or damaged, or a label holds an unknown id.
        """
        plain, written = dataset.uncached(), 0
        wanted = [("images", size) for size in sizes]
        wanted += [("labels", size) for size in label_sizes if dataset.has_label(index)]
        for kind, size in wanted:
            path = self._path(dataset, kind, size, index)
            if not path.is_file():
                sized = plain.resized(size)
                pixels = sized.image(index) if kind == "images" else sized.label(index)
                save = partial(Image.fromarray(pixels).save, format="PNG", compress_level=1)  # little, for speed
                write_whole(path, save)
                written += 1
        return written

    def _path(self, dataset: "SegmentationDataset", kind: str, size: Size, index: int) -> Path:
        return self.place(dataset, kind, size) / PurePosixPath(dataset.names[index]).with_suffix(".png")
