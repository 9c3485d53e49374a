"""The folder of pseudo-labels: ``CITY/NAME_pseudo_trainIds.png`` (uint8, 255 ignored) and ``thresholds.json``."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from common.data.files import DAMAGE
from common.errors import UserError

THRESHOLDS = "thresholds.json"
SUFFIX = "_pseudo_trainIds.png"


def pseudo_label_path(folder: Path, name: str) -> Path:
    """Return where the pseudo-label of an image lies.

    Args:
        folder: Root of the pseudo-labels.
        name: Name of the image below its dataset, for example ``aachen/aachen_000000_000019_leftImg8bit.png``.
    """
    image = Path(name)
    return folder / image.parent / (image.stem.removesuffix("_leftImg8bit") + SUFFIX)


def check_names(names: Sequence[str]) -> None:
    """Raise a UserError if two images would share a pseudo-label file."""
    seen: dict[Path, str] = {}
    for name in names:
        other = seen.setdefault(pseudo_label_path(Path(), name), name)
        if other != name:
            raise UserError(f"{name} and {other} would share a pseudo-label file: rename one of them")


def write_pseudo_label(folder: Path, name: str, label: np.ndarray) -> None:
    """Write a pseudo-label, (H, W) uint8, so that the file appears whole or not at all.

    A palette PNG of greys, as IAST's code writes: whether a reader takes indices or grey values, it gets train ids.
    """
    picture = Image.fromarray(label, "L").convert("P")
    write_whole(pseudo_label_path(folder, name), lambda file: picture.save(file, "PNG"))


def read_pseudo_label(folder: Path, name: str, shape: tuple[int, int]) -> np.ndarray:
    """Return the pseudo-label of an image, (H, W) uint8.

    Args:
        folder: Root of the pseudo-labels.
        name: Name of the image below its dataset.
        shape: (H, W) of the image in training, which the label must have.
    Raises:
        UserError: If the file is missing, damaged or of another size.
    """
    path = pseudo_label_path(folder, name)
    label = _read(path, folder)
    if label.shape != shape or label.dtype != np.uint8:
        raise UserError(
            f"{path}: pseudo-label has shape {label.shape}, the image {shape}; remove {folder} and run again"
        )
    return label


def read_any_pseudo_label(folder: Path, name: str) -> np.ndarray:
    """Return the pseudo-label of an image, (H, W) uint8 of any size, under our name or that of IAST's official code.

    The official code writes all labels into one folder: ``STEM_pseudo_label.png``.

    Raises:
        UserError: If the file is missing, damaged or holds no ids.
    """
    path, flat = pseudo_label_path(folder, name), folder / f"{Path(name).stem}_pseudo_label.png"
    label = _read(flat if flat.is_file() else path, folder)
    if label.ndim != 2 or label.dtype != np.uint8:
        raise UserError(f"{path}: no label map of 8 bit ids; remove {folder} and run the stage again")
    return label


def _read(path: Path, folder: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            return np.array(image)
    except FileNotFoundError:
        raise UserError(f"{path}: pseudo-label is missing; remove {folder} and run the stage again") from None
    except DAMAGE as error:
        raise UserError(f"{path}: damaged ({error}); remove {folder} and run the stage again") from None


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let ``write(file)`` fill a file beside ``path``, then move it there in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            write(file)
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
