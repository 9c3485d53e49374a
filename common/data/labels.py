"""Label maps: raw ids of the datasets, train ids of the networks, names and official colours.

A raw id is what a label file holds, a train id what a network predicts; 255 is ignored. Every map is a table
of 256 entries, filled with 255, so that no id can fall outside.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from common.errors import UserError

IGNORE = 255


class Label(NamedTuple):
    """One row of the official Cityscapes table (cityscapesscripts, ``helpers/labels.py``)."""

    name: str
    id: int
    train_id: int  # 255: not trained, not scored
    colour: tuple[int, int, int]


# fmt: off
CITYSCAPES_LABELS = (
    Label("unlabeled", 0, 255, (0, 0, 0)), Label("ego vehicle", 1, 255, (0, 0, 0)),
    Label("rectification border", 2, 255, (0, 0, 0)), Label("out of roi", 3, 255, (0, 0, 0)),
    Label("static", 4, 255, (0, 0, 0)), Label("dynamic", 5, 255, (111, 74, 0)), Label("ground", 6, 255, (81, 0, 81)),
    Label("road", 7, 0, (128, 64, 128)), Label("sidewalk", 8, 1, (244, 35, 232)),
    Label("parking", 9, 255, (250, 170, 160)), Label("rail track", 10, 255, (230, 150, 140)),
    Label("building", 11, 2, (70, 70, 70)), Label("wall", 12, 3, (102, 102, 156)),
    Label("fence", 13, 4, (190, 153, 153)), Label("guard rail", 14, 255, (180, 165, 180)),
    Label("bridge", 15, 255, (150, 100, 100)), Label("tunnel", 16, 255, (150, 120, 90)),
    Label("pole", 17, 5, (153, 153, 153)),
    Label("polegroup", 18, 255, (153, 153, 153)), Label("traffic light", 19, 6, (250, 170, 30)),
    Label("traffic sign", 20, 7, (220, 220, 0)), Label("vegetation", 21, 8, (107, 142, 35)),
    Label("terrain", 22, 9, (152, 251, 152)), Label("sky", 23, 10, (70, 130, 180)),
    Label("person", 24, 11, (220, 20, 60)),
    Label("rider", 25, 12, (255, 0, 0)), Label("car", 26, 13, (0, 0, 142)), Label("truck", 27, 14, (0, 0, 70)),
    Label("bus", 28, 15, (0, 60, 100)), Label("caravan", 29, 255, (0, 0, 90)), Label("trailer", 30, 255, (0, 0, 110)),
    Label("train", 31, 16, (0, 80, 100)), Label("motorcycle", 32, 17, (0, 0, 230)),
    Label("bicycle", 33, 18, (119, 11, 32)),
    Label("license plate", 34, 255, (0, 0, 142)),   # GTA5's number for the official -1
)
# fmt: on
_TRAINED = tuple(label for label in CITYSCAPES_LABELS if label.train_id != IGNORE)
_IN_16 = (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 15, 17, 18)  # train ids of the 19 that SYNTHIA knows, in order

# SYNTHIA raw ids: 0 void, 13 parking, 14 road work and 22 lane marking are known and always ignored.
# fmt: off
SYNTHIA_IDS = {
    3: 0, 4: 1, 2: 2, 21: 3, 5: 4, 7: 5, 15: 6, 9: 7, 6: 8, 16: 9, 1: 10, 10: 11, 17: 12, 8: 13, 18: 14, 19: 15,
    20: 16, 12: 17, 11: 18,
}
# fmt: on


@dataclass(frozen=True)
class ClassSet:
    """The classes of a task, in train id order.

    Attributes:
        name: "cityscapes19", "cityscapes16" or "custom".
        names: One name a class.
        colours: One RGB colour a class.
        label_ids: Official Cityscapes id of each class; empty for custom classes.
        subsets: Published scores over part of the classes: name -> train ids.
    """

    name: str
    names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]
    label_ids: tuple[int, ...] = ()
    subsets: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    def palette(self) -> np.ndarray:
        """Return uint8 (256, 3): the colour of each train id, black beyond the classes."""
        table = np.zeros((256, 3), np.uint8)
        table[: len(self)] = self.colours
        return table

    def to_label_ids(self, train_ids: np.ndarray) -> np.ndarray:
        """Turn uint8 train ids of any shape into official label ids; 255 becomes 0 (unlabeled).

        Raises:
            UserError: If the classes are custom and have no official ids.
        """
        if not self.label_ids:
            raise UserError("classes.set 'custom' has no Cityscapes label ids: only cityscapes19 and cityscapes16 have")
        table = np.zeros(256, np.uint8)
        table[: len(self)] = self.label_ids
        return table[train_ids]


def _cityscapes(name: str, train_ids: tuple[int, ...], **subsets: tuple[int, ...]) -> ClassSet:
    rows = [_TRAINED[i] for i in train_ids]
    return ClassSet(name, *(tuple(row[k] for row in rows) for k in (0, 3, 1)), subsets)


CLASS_SETS = {
    "cityscapes19": _cityscapes(
        "cityscapes19", tuple(range(19)), miou16=_IN_16, miou13=(0, 1, 2, 6, 7, 8, 10, 11, 12, 13, 15, 17, 18)
    ),
    "cityscapes16": _cityscapes("cityscapes16", _IN_16, miou13=(0, 1, 2, *range(6, 16))),
}


def class_set(config) -> ClassSet:
    """Return the classes that a ``ClassesConfig`` describes.

    Raises:
        UserError: If custom classes come without names, or with another number of colours than names.
    """
    if config.set != "custom":
        return CLASS_SETS[config.set]
    if not config.names:
        raise UserError(
            "classes.names is missing: custom classes need one name each, in train id order; classification takes them "
            "from its data, once that is there"
        )
    colours = config.colours or tuple(_spread(i) for i in range(len(config.names)))
    if len(colours) != len(config.names):
        raise UserError(f"classes.colours has {len(colours)} entries for {len(config.names)} names: give one a class")
    return ClassSet("custom", tuple(config.names), tuple(tuple(colour) for colour in colours))


def _spread(index: int) -> tuple[int, int, int]:
    """A colour for class ``index`` that differs from its neighbours': the bits of the index, as in Pascal VOC."""
    colour, number = [0, 0, 0], index + 1
    for bit in range(7, -1, -1):
        for channel in range(3):
            colour[channel] |= ((number >> channel) & 1) << bit
        number >>= 3
    return tuple(colour)


def lookup(pairs: Mapping[int, int]) -> np.ndarray:
    """Return a uint8 (256,) table from raw id to train id; what ``pairs`` does not name becomes 255.

    Raises:
        UserError: If a raw or train id is not within 0..255.
    """
    table = np.full(256, IGNORE, np.uint8)
    for raw, train in pairs.items():
        if not (0 <= raw <= 255 and 0 <= train <= 255):
            raise UserError(f"class_map has {raw}: {train}, but label ids and train ids are within 0..255")
        table[raw] = train
    return table


def train_id_table(classes: ClassSet) -> np.ndarray:
    """Return the uint8 (256,) table from the official 19 train ids to those of ``classes``."""
    if classes.name == "cityscapes16":
        return lookup({old: new for new, old in enumerate(_IN_16)})
    return lookup({i: i for i in range(len(classes))})


def cityscapes_table(classes: ClassSet) -> np.ndarray:
    """Return the uint8 (256,) table from Cityscapes (and GTA5) label ids to the train ids of ``classes``.

    Raises:
        UserError: For custom classes, which need a ``class_map``.
    """
    _official(classes)
    return lookup({label_id: train for train, label_id in enumerate(classes.label_ids)})


def synthia_table(classes: ClassSet) -> np.ndarray:
    """Return the uint8 (256,) table from SYNTHIA's raw ids to the train ids of ``classes``.

    Raises:
        UserError: For custom classes, which need a ``class_map``.
    """
    _official(classes)
    return train_id_table(classes)[lookup(SYNTHIA_IDS)]


def _official(classes: ClassSet) -> None:
    if not classes.label_ids:
        raise UserError("custom classes need class_map (raw id: train id) in the dataset's section")


def label_palette() -> list[int]:
    """Return the 768 numbers of a palette PNG that colours Cityscapes label ids, as GTA5's label files do."""
    table = np.zeros((256, 3), np.uint8)
    for label in CITYSCAPES_LABELS:
        table[label.id] = label.colour
    return table.ravel().tolist()
