"""Datasets of the four families: files, pixels, ids, and everything that names them."""

import os
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
from PIL import Image

from common.data.files import read_ids
from common.data.labels import cityscapes_table, class_set, synthia_table, train_id_table
from common.data.roles import open_dataset
from common.errors import UserError
from common.schema import ClassesConfig, DatasetConfig
from tests.common.data.trees import C16, C19, SIZE, cityscapes, gta5, ids, opened, picture, save, synthia

SMALL = (10, 6)


def test_gta5(tmp_path: Path) -> None:
    """Palette indices are label ids; images are read as they are, and resized with Pillow."""
    data = opened("gta5", gta5(tmp_path))
    assert data.names == [f"0000{i}.png" for i in (1, 2, 3, 4)] and len(data) == 4
    assert np.array_equal(data.image(2), picture(2))
    assert np.array_equal(data.label(2), cityscapes_table(C19)[ids(2, (0, 7, 11, 26, 34))])
    small = opened("gta5", tmp_path, size=SMALL, label_size=SIZE)
    assert np.array_equal(small.image(1), np.array(Image.fromarray(picture(1)).resize(SMALL, Image.Resampling.BICUBIC)))
    assert small.label(1).shape == (12, 20) and small.native_image(1).shape == (12, 20, 3)


def test_synthia_in_both_forms(tmp_path: Path) -> None:
    """Original 16 bit labels and parsed ones give the same train ids, with 16 and with 19 classes."""
    original, parsed = synthia(tmp_path / "a"), synthia(tmp_path / "b", parsed=True)
    for classes in (C16, C19):
        for i in range(3):
            want = synthia_table(classes)[ids(i, (0, 1, 3, 4, 16, 22))]
            assert np.array_equal(opened("synthia", original, classes).label(i), want)
            assert np.array_equal(opened("synthia", parsed, classes).label(i), want)


@pytest.mark.parametrize(
    ("layout", "images", "labels", "end"),
    [
        ("bdd", "images/val", "gtFine/val", "_train_id.png"),
        ("mapillary", "validation/images", "validation/labels", ".png"),
    ],
)
def test_lists_of_bare_names(tmp_path: Path, layout: str, images: str, labels: str, end: str) -> None:
    """The official lists name no ending; a name that has one stays, and a wrong one is refused."""
    for index, name in enumerate(("b1c66a42", "a.0")):
        save(tmp_path / images / f"{name}.jpg", picture(index))
        save(tmp_path / labels / f"{name}{end}", ids(index, (0, 6, 13)))
    (tmp_path / "val.txt").write_text(f"b1c66a42\n{images}/a.0\nb1c66a42.jpg\n")
    data = opened(layout, tmp_path, list="val.txt")
    assert data.names == ["b1c66a42.jpg", "a.0.jpg", "b1c66a42.jpg"]
    assert data.image(1).shape == picture(1).shape
    assert np.array_equal(data.label(0), data.ids.table[ids(0, (0, 6, 13))])
    (tmp_path / "val.txt").write_text("b1c66a42.png")
    with pytest.raises(UserError, match=r"does not end with '\.jpg'"):
        opened(layout, tmp_path, list="val.txt")


def test_cityscapes_and_its_train_ids(tmp_path: Path) -> None:
    """The split chooses the folders; labelTrainIds files hold the 19 train ids, also when 16 are asked for."""
    root = cityscapes(cityscapes(tmp_path), "val", ("lindau",), 1)
    data = opened("cityscapes", root)
    assert data.names[0] == "aachen/aachen_000000_000019_leftImg8bit.png" and len(data) == 4
    assert opened("cityscapes", root, split="val").names == ["lindau/lindau_000000_000019_leftImg8bit.png"]
    for item in data.items:
        save(
            item.label.with_name(item.label.name.replace("labelIds", "labelTrainIds")),
            cityscapes_table(C19)[read_ids(item.label)],
        )
    for classes in (C19, C16):
        from_train_ids = opened("cityscapes", root, classes, label_ids="train_ids")
        assert all(
            np.array_equal(from_train_ids.label(i), opened("cityscapes", root, classes).label(i)) for i in range(4)
        )
    assert train_id_table(C16)[9] == 255  # terrain occurs in the labels above and is no class of the 16
    with pytest.raises(UserError, match="set label_ids: train_ids"):
        opened("cityscapes", root, label_suffix="_gtFine_labelTrainIds.png")


def test_own_folders_by_configuration_alone(tmp_path: Path) -> None:
    """JPEG images, labels elsewhere under another ending, own classes, a map and ignored ids."""
    classes = class_set(ClassesConfig(set="custom", names=("ground", "thing")))
    for i in range(3):
        Image.fromarray(picture(i)).save(_made(tmp_path / f"photos/day/p{i}.jpg"), quality=100)
        save(tmp_path / f"masks/day/p{i}_m.png", ids(i, (3, 5, 9)))
    keys = {"images": "photos", "labels": "masks", "image_suffix": ".jpg", "label_suffix": "_m.png"}
    data = opened("folders", tmp_path, classes, **keys, class_map={3: 0, 5: 1}, ignore=(9,))
    assert data.names == ["day/p0.jpg", "day/p1.jpg", "day/p2.jpg"] and data.image(0).shape == (12, 20, 3)
    raw = ids(1, (3, 5, 9))
    assert np.array_equal(data.label(1), np.select([raw == 3, raw == 5], [0, 1], 255))
    with pytest.raises(UserError, match=r"p0_m\.png: holds ids \[9\] that no map knows"):
        opened("folders", tmp_path, classes, **keys, class_map={3: 0, 5: 1}).label(0)
    loose = opened("folders", tmp_path, classes, **keys, class_map={3: 0}, strict_ids=False)
    assert set(np.unique(loose.label(0))) == {0, 255}


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_colour_labels(tmp_path: Path) -> None:
    """Colours become train ids by the palette, before they are resized."""
    raw = ids(0, (0, 1))
    save(tmp_path / "i/a.png", picture(0))
    save(tmp_path / "l/a.png", np.array([[10, 20, 30], [200, 0, 0]], np.uint8)[raw])
    palette = {"10,20,30": 4, "200,0,0": 255}
    data = opened("folders", tmp_path, images="i", labels="l", label_ids="palette", palette=palette, size=SMALL)
    assert np.array_equal(data.native_label(0), np.where(raw == 0, 4, 255))
    assert data.label(0).shape == (6, 10) and set(np.unique(data.label(0))) <= {4, 255}


def test_labels_among_or_below_the_images_are_no_images(tmp_path: Path) -> None:
    """A label folder inside the image folder, and labels beside their images, are kept apart."""
    save(tmp_path / "a.jpg", picture(0))
    save(tmp_path / "labels/a.png", ids(0, (7, 8)))
    assert opened("folders", tmp_path, labels="labels").names == ["a.jpg"]
    save(tmp_path / "b/c.png", picture(1))
    save(tmp_path / "b/c_mask.png", ids(1, (7, 8)))
    beside = opened("folders", tmp_path, images="b", labels="b", label_suffix="_mask.png")
    assert beside.names == ["c.png"] and beside.has_label(0)


def test_lists(tmp_path: Path) -> None:
    """One name is relative to the image folder, or to the root if it begins with it; two are relative to the root."""
    root = cityscapes(tmp_path)
    name = "ulm/ulm_000001_000019_leftImg8bit.png"
    forms = [
        name,
        f"leftImg8bit/train/{name}",
        f"leftImg8bit/train/{name} gtFine/train/{name.replace('leftImg8bit', 'gtFine_labelIds')}",
    ]
    for form in forms:
        (root / "l.txt").write_text(form + "\n")
        data = opened("cityscapes", root, list="l.txt")
        assert data.names == [name] and np.array_equal(data.image(0), picture(11)) and data.has_label(0)
    (root / "l.txt").write_text("ulm/nothing.jpg\n")
    with pytest.raises(UserError, match="does not end with"):
        opened("cityscapes", root, list="l.txt")
    with pytest.raises(UserError, match="no such list file"):
        opened("cityscapes", root, list="none.txt")


def test_every_nth_image(tmp_path: Path) -> None:
    """``every`` keeps one in n, ``invert_every`` the others; together they are the whole."""
    root = gta5(tmp_path, 7)
    kept = opened("gta5", root, every=3, offset=1).names
    rest = opened("gta5", root, every=3, offset=1, invert_every=True).names
    assert kept == ["00002.png", "00005.png"] and sorted(kept + rest) == opened("gta5", root).names
    for keys in ({"every": 2, "offset": 2}, {"invert_every": True}):
        with pytest.raises(UserError, match="keeps no image"):
            opened("gta5", root, **keys)


def test_another_size_shares_the_files(tmp_path: Path) -> None:
    """``resized`` changes images and labels alike and leaves the dataset itself alone."""
    data = opened("gta5", gta5(tmp_path), size=SMALL, label_size=SIZE)
    other = data.resized((8, 4))
    assert other.image(0).shape == (4, 8, 3) and other.label(0).shape == (4, 8)
    assert data.image(0).shape == (6, 10, 3) and data.label(0).shape == (12, 20)
    assert other.fingerprint() != data.fingerprint() and other.content == data.content


def test_truth_and_missing_labels(tmp_path: Path) -> None:
    """An image may lack its label; asking for it is an error that names the file."""
    data = opened("gta5", gta5(tmp_path))
    data.items[1].label.unlink()
    assert data.has_label(0) and not data.has_label(1)
    assert np.array_equal(data.truth("00001.png"), data.label(0))
    assert data.truth("00002.png") is None and data.truth("no.png") is None
    with pytest.raises(UserError, match=r"labels/00002\.png: no such file"):
        data.label(1)
    with pytest.raises(UserError, match="has no label"):
        opened("folders", tmp_path, images="images").label(0)


def test_fingerprint_sees_files_and_options(tmp_path: Path) -> None:
    """A changed file, size, map or list changes it; opening again, another root and a cache do not."""
    data = opened("gta5", gta5(tmp_path / "a"))
    first = data.fingerprint()
    assert opened("gta5", tmp_path / "a", cache=tmp_path / "none").fingerprint() == first
    (tmp_path / "a").rename(tmp_path / "b")
    assert opened("gta5", tmp_path / "b").fingerprint() == first
    others = [opened("gta5", tmp_path / "b", **keys) for keys in ({"size": SMALL}, {"every": 2}, {"ignore": (7,)})]
    others.append(opened("gta5", tmp_path / "b", C16))
    os.utime(tmp_path / "b/labels/00003.png", ns=(1, 1))
    others.append(opened("gta5", tmp_path / "b"))
    assert len({first, *(other.fingerprint() for other in others)}) == 6


def test_datasets_travel_to_loader_processes(tmp_path: Path) -> None:
    """A pickled dataset reads the same pixels."""
    data = opened("synthia", synthia(tmp_path), C16, size=SMALL)
    there = cloudpickle.loads(cloudpickle.dumps(data))
    assert np.array_equal(there.image(1), data.image(1)) and np.array_equal(there.label(1), data.label(1))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"layout": "gta5", "root": "nothing"}, r"^data\.source: nothing: no such folder"),
        ({"layout": "cityscapes", "split": "test"}, "leftImg8bit/test: no such folder"),
        ({"layout": "folders", "images": "leftImg8bit", "image_suffix": ".tiff"}, r"holds no '\*\.tiff'"),
        ({"layout": "synthia"}, "RGB: no such folder"),
    ],
)
def test_wrong_places_are_named(tmp_path: Path, keys: dict, message: str) -> None:
    """The message begins with the key of the section."""
    root = cityscapes(tmp_path)
    with pytest.raises(UserError, match=message):
        open_dataset(DatasetConfig(**{"root": root, **keys}), C19, "data.source")
