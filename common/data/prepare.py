"""Files that datasets lack as they come: SYNTHIA's 8 bit labels, Cityscapes' train ids, list files."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from common.data.cityscapes import LABEL_IDS, TRAIN_IDS
from common.data.files import read_ids, read_ids_16bit
from common.data.labels import CLASS_SETS, cityscapes_table
from common.data.lists import scan
from common.data.roles import open_dataset
from common.data.synthia import ORIGINAL, PARSED, RAW_IDS
from common.errors import UserError
from common.pseudo.folder import write_whole
from common.schema import DatasetConfig


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write (H, W) or (H, W, 3) uint8 as a PNG that appears whole or not at all; compressed little, for speed."""
    write_whole(path, partial(Image.fromarray(pixels).save, format="PNG", compress_level=1))


def synthia_labels(root: Path) -> list[Path]:
    """Return SYNTHIA's original 16 bit label files.

    Raises:
        UserError: If there are none.
    """
    return _found(root / ORIGINAL, ".png", "SYNTHIA's original labels")


def parse_synthia_label(root: Path, path: Path) -> bool:
    """Write the first channel of an original label into ``parsed_LABELS``; return False if it was there.

    Raises:
        UserError: If the file is damaged, or holds an id that SYNTHIA does not have.
    """
    target = root / PARSED / path.relative_to(root / ORIGINAL)
    if target.is_file():
        return False
    ids = read_ids_16bit(path)
    if ids.size and ids.max() not in RAW_IDS:
        raise UserError(f"{path}: holds id {ids.max()}, but SYNTHIA's ids end at {RAW_IDS[-1]}")
    write_png(target, ids)
    return True


def cityscapes_labels(root: Path) -> list[Path]:
    """Return the labelIds files of all splits.

    Raises:
        UserError: If there are none.
    """
    return _found(root / "gtFine", LABEL_IDS, "label ids of Cityscapes")


def write_train_ids(path: Path) -> bool:
    """Write the 19-class train ids of a labelIds file beside it; return False if they were there.

    Raises:
        UserError: If the file is damaged.
    """
    target = path.with_name(path.name.removesuffix(LABEL_IDS) + TRAIN_IDS)
    if target.is_file():
        return False
    write_png(target, cityscapes_table(CLASS_SETS["cityscapes19"])[read_ids(path)])
    return True


def list_entries(config: DatasetConfig, pairs: bool) -> Iterator[tuple[str, ...]]:
    """Yield the lines of a dataset's list file, in alphabetical order of the images.

    Args:
        config: The dataset, without a list of its own.
        pairs: Whether a line holds image and label, both below the root; else the image's name alone, relative to
            the image folder, as the official lists have it.
    Raises:
        UserError: If the dataset has no images, or a pair lacks its label.
    """
    dataset = open_dataset(config, CLASS_SETS["cityscapes19"])
    for index, item in enumerate(dataset.items):
        if not pairs:
            yield (item.name,)
            continue
        if not dataset.has_label(index):
            raise UserError(f"{item.label or item.image}: the label is missing, so --pairs cannot list it")
        yield item.image.relative_to(config.root).as_posix(), item.label.relative_to(config.root).as_posix()


def _found(folder: Path, suffix: str, what: str) -> list[Path]:
    files = [folder / name for name in scan(folder, suffix)] if folder.is_dir() else []
    if not files:
        raise UserError(f"{folder}: holds no {what} (*{suffix})")
    return files
