"""CIFAR-10 and CIFAR-100 as class folders: what their published pickles hold, written as PNG files.

    cifar-100-python/{train,test,meta}                                -> train/apple/00007.png, test/...
    cifar-10-batches-py/{data_batch_1..5,test_batch,batches.meta}     -> train/airplane/00007.png, test/...

The pickles are read by whoever calls (Krizhevsky, 2009): this file sees plain arrays and executes nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from common.data.prepare import write_png
from common.errors import UserError

_SIDE = 32


class Edition(NamedTuple):
    """The files of one edition, and the keys of labels and names in them."""

    meta: str
    names: str
    labels: str
    parts: Mapping[str, tuple[str, ...]]  # split -> files


EDITIONS = (
    Edition("meta", "fine_label_names", "fine_labels", {"train": ("train",), "test": ("test",)}),
    Edition(
        "batches.meta",
        "label_names",
        "labels",
        {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)},
    ),
)


def write_folders(root: Path, target: Path, read: Callable[[Path], Mapping[str, Any]]) -> Iterator[str]:
    """Write the images of an edition as ``SPLIT/CLASS/NUMBER.png``; yield a line for each split.

    Args:
        root: Folder of the pickles.
        target: Made if it is not there.
        read: Reads one pickle into plain values: text keys, lists and arrays.
    Raises:
        UserError: If the folder holds neither edition, or a file is not as published.
    """
    edition = next((one for one in EDITIONS if (root / one.meta).is_file()), None)
    if edition is None:
        raise UserError(f"{root}: holds neither CIFAR-100 ('meta') nor CIFAR-10 ('batches.meta'), as Python pickles")
    names = [str(name) for name in _field(read(root / edition.meta), edition.names, root / edition.meta)]
    for split, files in edition.parts.items():
        number = 0
        for file in files:
            content = read(root / file)
            labels = np.asarray(_field(content, edition.labels, root / file))
            for pixels, label in zip(_images(content, len(labels), root / file), labels):
                write_png(target / split / names[int(label)] / f"{number:05d}.png", pixels)
                number += 1
        yield f"{target / split}: {number} images of {len(names)} classes"


def _images(content: Mapping[str, Any], count: int, place: Path) -> np.ndarray:
    """Return (N, 32, 32, 3) uint8 of rows of 3,072 numbers: red, green and blue planes."""
    pixels = np.asarray(_field(content, "data", place))
    if pixels.dtype != np.uint8 or pixels.shape != (count, 3 * _SIDE**2):
        raise UserError(f"{place}: 'data' is {pixels.dtype} {pixels.shape}, not uint8 ({count}, {3 * _SIDE**2})")
    return np.ascontiguousarray(pixels.reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1))


def _field(content: Mapping[str, Any], key: str, place: Path) -> Any:
    if not isinstance(content, Mapping) or key not in content:
        raise UserError(f"{place}: has no '{key}'; not a file of CIFAR as published")
    return content[key]
