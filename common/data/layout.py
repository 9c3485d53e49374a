"""What tells one dataset family from another: folders, names, and the meaning of the ids in its label files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.data.files import read_ids
from common.data.labels import IGNORE, ClassSet, cityscapes_table, lookup, train_id_table
from common.data.lists import IMAGE_SUFFIXES
from common.errors import UserError
from common.schema import DatasetConfig


@dataclass(frozen=True)
class Layout:
    """Where a family keeps its files.

    Attributes:
        images: Folder of the images below the root.
        labels: Folder of the labels below the root; None when there are none.
        image_suffix: End of an image's name; None takes every image file.
        label_suffix: What stands in its place in the label's name.
        read_ids: Reads a label file into (H, W) uint8 raw ids.
        repair: Shell command that makes missing labels; empty when only the user can.
    """

    images: str
    labels: str | None
    image_suffix: str | None
    label_suffix: str
    read_ids: Callable[[Path], np.ndarray] = read_ids
    repair: str = ""

    def image_name(self, entry: str) -> str:
        """Return the image that an entry of a list file means: one without an ending has ``image_suffix``.

        The official lists of BDD100K and Mapillary hold such bare names.
        """
        whole = self.image_suffix is None or entry.lower().endswith(IMAGE_SUFFIXES)
        return entry if whole else entry + self.image_suffix

    def label_name(self, image: str) -> str:
        """Return the name of an image's label, relative to the label folder.

        Raises:
            UserError: If the image's name does not end as the layout says.
        """
        suffix = self.image_suffix if self.image_suffix is not None else Path(image).suffix
        if not image.endswith(suffix):
            raise UserError(f"'{image}' does not end with '{suffix}' (image_suffix), so its label cannot be found")
        return image.removesuffix(suffix) + self.label_suffix


@dataclass(frozen=True)
class Ids:
    """The meaning of raw ids.

    Attributes:
        table: (256,) uint8, raw id -> train id, 255 ignored.
        known: (256,) bool, the raw ids that may occur.
    """

    table: np.ndarray
    known: np.ndarray

    def unknown(self, raw: np.ndarray) -> list[int]:
        """Return the ids of a label that may not occur, in ascending order."""
        found = np.bincount(raw.ravel(), minlength=256) > 0
        return np.flatnonzero(found & ~self.known).tolist()


@dataclass(frozen=True)
class Colours:
    """The meaning of colours in label files: ``codes`` (K,) int32 ascending, ``red << 16 | green << 8 | blue``."""

    codes: np.ndarray
    train_ids: np.ndarray
    strict: bool

    def train_ids_of(self, picture: np.ndarray, path: Path) -> np.ndarray:
        """Turn (H, W, 3) uint8 colours into (H, W) uint8 train ids.

        Raises:
            UserError: If a colour is not in the palette and unknown colours are not to be ignored.
        """
        red, green, blue = (picture[:, :, channel].astype(np.int32) for channel in range(3))
        code = red << 16 | green << 8 | blue
        place = np.minimum(np.searchsorted(self.codes, code), len(self.codes) - 1)
        found = self.codes[place] == code
        if self.strict and not found.all():
            first = int(code[~found][0])
            colour = f"{first >> 16},{first >> 8 & 255},{first & 255}"
            raise UserError(
                f"{path}: colour {colour} is not in the palette; add it ('{colour}': train id, 255 ignores), "
                "or set strict_ids: false"
            )
        return np.where(found, self.train_ids[place], np.uint8(IGNORE))


def ids_of(config: DatasetConfig, classes: ClassSet, table: Callable[[ClassSet], np.ndarray], known: range) -> Ids:
    """Return the meaning of the ids in a dataset's label files.

    Args:
        config: ``label_ids``, ``class_map``, ``ignore`` and ``strict_ids`` are obeyed.
        classes: The classes of the task.
        table: The family's own table.
        known: The family's raw ids.
    Raises:
        UserError: If the map names a train id beyond the classes, or custom classes have no map.
    """
    if config.class_map is not None:
        mapping, names = lookup(config.class_map), set(config.class_map)
        wrong = [train for train in config.class_map.values() if train >= len(classes) and train != IGNORE]
        if wrong:
            raise UserError(
                f"class_map has train id {wrong[0]}, but there are {len(classes)} classes (0..{len(classes) - 1})"
            )
    elif config.label_ids == "train_ids":
        mapping = train_id_table(classes)
        names = set(range(len(classes) if classes.name == "custom" else 19))
    else:
        mapping, names = table(classes), set(known)
    if outside := [raw for raw in config.ignore if not 0 <= raw <= 255]:
        raise UserError(f"ignore has {outside[0]}, but label ids are within 0..255")
    mapping = mapping.copy()
    mapping[[*config.ignore]] = IGNORE
    allowed = np.full(256, not config.strict_ids)
    allowed[[*names, *config.ignore, IGNORE]] = True
    return Ids(mapping, allowed)


def colours_of(config: DatasetConfig, classes: ClassSet) -> Colours | None:
    """Return the palette of a dataset whose label files hold colours; None for those that hold ids.

    Raises:
        UserError: If the palette is missing, superfluous, or has an entry that is not "red,green,blue": train id.
    """
    if (config.label_ids == "palette") != (config.palette is not None):
        raise UserError("label_ids: palette and a palette ('red,green,blue': train id) belong together; one is missing")
    if config.palette is None:
        return None
    entries = sorted((_code(colour), _train_id(colour, train, classes)) for colour, train in config.palette.items())
    if not entries:
        raise UserError("palette is empty")
    codes, train_ids = zip(*entries)
    return Colours(np.array(codes, np.int32), np.array(train_ids, np.uint8), config.strict_ids)


def _code(colour: str) -> int:
    parts = [part.strip() for part in colour.split(",")]
    if len(parts) != 3 or not all(part.isdecimal() and int(part) <= 255 for part in parts):
        raise UserError(f"palette has '{colour}', which is not 'red,green,blue' with values 0..255")
    red, green, blue = map(int, parts)
    return red << 16 | green << 8 | blue


def _train_id(colour: str, train: int, classes: ClassSet) -> int:
    if not (0 <= train < len(classes) or train == IGNORE):
        raise UserError(f"palette maps '{colour}' to {train}, but there are {len(classes)} classes (255 ignores)")
    return train


def official_ids(config: DatasetConfig, classes: ClassSet) -> Ids:
    """Return the meaning of Cityscapes label ids, which GTA5 shares (0..34)."""
    return ids_of(config, classes, cityscapes_table, range(35))
