"""Label maps against the official tables, and the way back."""

import numpy as np
import pytest
from cityscapesscripts.helpers.labels import labels as official

from common.data.labels import (
    CITYSCAPES_LABELS,
    IGNORE,
    cityscapes_table,
    class_set,
    label_palette,
    lookup,
    synthia_table,
    train_id_table,
)
from common.errors import UserError
from common.schema import ClassesConfig
from tests.common.data.trees import C16, C19

CUSTOM = class_set(ClassesConfig(set="custom", names=("a", "b", "c")))


def test_the_table_is_the_official_one() -> None:
    """Names, ids, train ids and colours equal those of cityscapesscripts; 34 is GTA5's licence plate, official -1."""
    rows = [(row.name, row.id, row.train_id, row.colour) for row in CITYSCAPES_LABELS[:-1]]
    assert rows == [(row.name, row.id, row.trainId, row.color) for row in official if row.id >= 0]
    assert CITYSCAPES_LABELS[-1].name == official[-1].name and CITYSCAPES_LABELS[-1].id == 34
    assert C19.names == tuple(row.name for row in official if row.trainId in range(19))
    assert np.array_equal(np.reshape(label_palette(), (256, 3))[:35], [row.colour for row in CITYSCAPES_LABELS])


def test_sixteen_classes_leave_three_out_without_gaps() -> None:
    """Terrain, truck and train are missing; the thirteen-class scores name the same classes in both numberings."""
    assert [name for name in C19.names if name not in C16.names] == ["terrain", "truck", "train"]
    assert [C19.names[i] for i in C19.subsets["miou16"]] == list(C16.names)
    thirteen = [C19.names[i] for i in C19.subsets["miou13"]]
    assert thirteen == [C16.names[i] for i in C16.subsets["miou13"]]
    assert set(C16.names) - set(thirteen) == {"wall", "fence", "pole"}


@pytest.mark.parametrize("classes", [C19, C16])
def test_train_ids_go_back_to_label_ids(classes) -> None:
    """Mapping to train ids and back keeps every id of the classes; all else becomes 0."""
    raw = np.arange(256, dtype=np.uint8)
    back = classes.to_label_ids(cityscapes_table(classes)[raw])
    assert np.array_equal(np.flatnonzero(back), sorted(classes.label_ids))
    assert all(back[i] == i for i in classes.label_ids)
    assert np.array_equal(cityscapes_table(classes)[back], cityscapes_table(classes)[raw])


def test_synthia_agrees_with_cityscapes_by_name() -> None:
    """Both class sets get the same class for the same SYNTHIA id, or ignore it; the void ids are ignored."""
    nineteen, sixteen = synthia_table(C19), synthia_table(C16)
    for raw in range(256):
        name = C19.names[nineteen[raw]] if nineteen[raw] != IGNORE else None
        assert (C16.names[sixteen[raw]] if sixteen[raw] != IGNORE else None) == (name if name in C16.names else None)
    assert all(nineteen[raw] == IGNORE for raw in (0, 13, 14, 22))  # void, parking, road work, lane marking
    assert np.count_nonzero(nineteen != IGNORE) == 19


def test_tables_cover_every_id() -> None:
    """No id can fall outside a table; train ids map to themselves, 255 stays ignored."""
    for table in (
        cityscapes_table(C19),
        cityscapes_table(C16),
        synthia_table(C16),
        train_id_table(C19),
        train_id_table(CUSTOM),
    ):
        assert table.shape == (256,) and table.dtype == np.uint8 and table[255] == IGNORE
    assert np.array_equal(train_id_table(C19)[:19], np.arange(19))
    assert np.array_equal(train_id_table(CUSTOM)[:4], [0, 1, 2, 255])
    with pytest.raises(UserError, match=r"class_map has 300: 1"):
        lookup({300: 1})


def test_custom_classes() -> None:
    """Custom classes get names and distinct colours; they have no official ids, and must have names."""
    assert len(CUSTOM) == 3 and len(set(CUSTOM.colours)) == 3 and CUSTOM.palette()[3:].max() == 0
    with pytest.raises(UserError, match="no Cityscapes label ids"):
        CUSTOM.to_label_ids(np.zeros((2, 2), np.uint8))
    with pytest.raises(UserError, match="need class_map"):
        cityscapes_table(CUSTOM)
    with pytest.raises(UserError, match=r"classes\.names is missing"):
        class_set(ClassesConfig(set="custom"))
    with pytest.raises(UserError, match="1 entries for 2 names"):
        class_set(ClassesConfig(set="custom", names=("a", "b"), colours=((0, 0, 0),)))
