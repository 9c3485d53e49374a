"""The meaning of ids and colours in label files."""

from pathlib import Path

import numpy as np
import pytest

from common.data.labels import class_set
from common.data.layout import Layout, colours_of, official_ids
from common.errors import UserError
from common.schema import ClassesConfig, DatasetConfig
from tests.common.data.trees import C16, C19

HERE = Path("label.png")
TWO = class_set(ClassesConfig(set="custom", names=("a", "b")))


def section(**keys) -> DatasetConfig:
    """Return a dataset section."""
    return DatasetConfig(layout="folders", root="x", **keys)


def test_a_class_map_takes_the_place_of_the_family_table() -> None:
    """Only the named and the ignored ids are known; ignore wins over the map."""
    ids = official_ids(section(class_map={5: 0, 6: 1, 9: 255}, ignore=(6, 40)), TWO)
    assert np.flatnonzero(ids.table != 255).tolist() == [5] and ids.table[5] == 0
    assert ids.unknown(np.array([[5, 6], [9, 40]])) == []
    assert ids.unknown(np.array([[255, 7], [0, 5]])) == [0, 7]
    assert official_ids(section(class_map={5: 0}, strict_ids=False), TWO).unknown(np.arange(256)) == []


def test_official_ids_and_train_ids() -> None:
    """Label ids 0..34 are known; with train ids the 19 official ones, whatever the classes."""
    assert official_ids(section(), C19).unknown(np.arange(256)) == list(range(35, 255))
    ids = official_ids(section(label_ids="train_ids"), C16)
    assert ids.unknown(np.arange(256)) == list(range(19, 255))
    assert C16.names[ids.table[10]] == C19.names[10] and ids.table[9] == 255


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"class_map": {5: 2}}, r"train id 2, but there are 2 classes \(0\.\.1\)"),
        ({"class_map": {5: 0}, "ignore": (256,)}, "ignore has 256"),
        ({}, "need class_map"),
    ],
)
def test_maps_that_cannot_be(keys: dict, message: str) -> None:
    """Train ids beyond the classes and ids beyond a byte are refused."""
    with pytest.raises(UserError, match=message):
        official_ids(section(**keys), TWO)


def test_colours_become_train_ids() -> None:
    """Each colour maps by itself; an unknown one is named, or ignored when that is allowed."""
    palette = {"255,0,0": 1, "0, 0, 255": 0, "0,0,0": 255}
    picture = np.array([[[255, 0, 0], [0, 0, 255], [0, 0, 0]]], np.uint8)
    colours = colours_of(section(label_ids="palette", palette=palette), TWO)
    assert colours.train_ids_of(picture, HERE).tolist() == [[1, 0, 255]]
    picture[0, 2] = 1, 2, 3
    with pytest.raises(UserError, match=r"label\.png: colour 1,2,3 is not in the palette"):
        colours.train_ids_of(picture, HERE)
    loose = colours_of(section(label_ids="palette", palette=palette, strict_ids=False), TWO)
    assert loose.train_ids_of(picture, HERE).tolist() == [[1, 0, 255]]
    assert loose.train_ids_of(np.full((1, 1, 3), 255, np.uint8), HERE).tolist() == [[255]]  # beyond the largest code


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"label_ids": "palette"}, "belong together"),
        ({"palette": {"0,0,0": 0}}, "belong together"),
        ({"label_ids": "palette", "palette": {}}, "empty"),
        ({"label_ids": "palette", "palette": {"0,0": 0}}, "'0,0', which is not"),
        ({"label_ids": "palette", "palette": {"0,0,256": 0}}, "'0,0,256', which is not"),
        ({"label_ids": "palette", "palette": {"0,0,1": 2}}, "maps '0,0,1' to 2, but there are 2 classes"),
    ],
)
def test_palettes_that_cannot_be(keys: dict, message: str) -> None:
    """The entry that is wrong is named."""
    with pytest.raises(UserError, match=message):
        colours_of(section(**keys), TWO)


def test_label_names() -> None:
    """The suffix is exchanged; without one, whatever the image ends with."""
    assert Layout("i", "l", "_a.png", "_b.png").label_name("x/n_a.png") == "x/n_b.png"
    assert Layout("i", "l", None, ".png").label_name("x/n.jpg") == "x/n.png"
    with pytest.raises(UserError, match=r"'n\.png' does not end with '_a\.png'"):
        Layout("i", "l", "_a.png", "_b.png").label_name("n.png")
