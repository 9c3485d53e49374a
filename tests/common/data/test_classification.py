"""Datasets for classification: lists, class folders, parts, views, and the roles they play."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.config import load_config
from common.data.augment import augment
from common.data.check import check, check_all
from common.data.labels import class_set
from common.data.lists import read_class_list, write_list
from common.data.roles import open_dataset, open_roles
from common.data.splits import parse_ratios, part_sizes, shots_of_each
from common.data.transforms import centre_crop, crop, flip, pad, resize_image
from common.draws import generator
from common.errors import UserError
from common.schema import AugmentConfig, ClassesConfig, ClassificationDatasetConfig
from tests.common.data.trees import picture, save

REFERENCE = Path(__file__).parents[2] / "reference/s3d/split_lists.json"
NAMES = ("TV", "Table", "bed")
CLASSES = class_set(ClassesConfig(set="custom", names=NAMES))


def folders(root: Path, count: int = 4, names=NAMES) -> Path:
    """Write class folders, one image of each class in a folder of its own."""
    for label, name in enumerate(names):
        for i in range(count):
            save(root / name / ("deep" if i == 0 else ".") / f"{i}.png", picture(10 * label + i))
    return root


def opened(layout: str, root: Path, classes=CLASSES, **keys):
    """Open one dataset."""
    return open_dataset(ClassificationDatasetConfig(layout=layout, root=root, **keys), classes, "data.val")


def test_class_folders(tmp_path: Path) -> None:
    """Classes are folders in byte order, images lie below them at any depth; several domains follow each other."""
    data = opened("class_folders", folders(tmp_path))
    assert data.names[:5] == ["TV/1.png", "TV/2.png", "TV/3.png", "TV/deep/0.png", "Table/1.png"]
    assert [data.label(i) for i in (0, 4, 8)] == [0, 1, 2] and np.array_equal(data.image(8), picture(21))
    assert data.class_names(data.config) == NAMES
    folders(tmp_path / "x/amazon"), folders(tmp_path / "x/dslr", 1)
    both = opened("class_folders", tmp_path / "x", domains=("dslr", "amazon"))
    assert len(both) == 15 and both.names[0] == "dslr/TV/deep/0.png" and both.names[3].startswith("amazon/TV")


def test_folders_that_are_no_class(tmp_path: Path) -> None:
    """A folder that no class is called by stops the run, or is left out on demand."""
    folders(tmp_path, names=(*NAMES, "zebra"))
    with pytest.raises(UserError, match=r"data\.val: .*1 folders are none of classes\.names, first 'zebra'"):
        opened("class_folders", tmp_path)
    assert len(opened("class_folders", tmp_path, strict=False)) == 12
    with pytest.raises(UserError, match="holds no images in class folders, such as 'TV'"):
        opened("class_folders", tmp_path / "TV", strict=False)


def test_image_list(tmp_path: Path) -> None:
    """Order and labels are the list's; rejected pseudo-labels and bare names are images without a label."""
    folders(tmp_path)
    (tmp_path / "l.txt").write_text("bed/1.png 2\nTV/2.png 0\nTV/1.png -1\nTable/1.png\n")
    data = opened("image_list", tmp_path, list="l.txt")
    assert data.names[0] == "bed/1.png" and [data.has_label(i) for i in range(4)] == [True, True, False, False]
    assert data.label(0) == 2 and np.array_equal(data.image(1), picture(2))
    with pytest.raises(UserError, match=r"TV/1\.png: has no label"):
        data.label(2)
    with pytest.raises(UserError, match=r"data\.val: .*2 of 4 labels are missing, first that of TV/1\.png"):
        check(data)
    assert check(data, labelled=[]).labels == 2
    (tmp_path / "l.txt").write_text("bed/1.png 3\n")
    with pytest.raises(UserError, match=r"bed/1\.png: label 3, but there are 3 classes"):
        opened("image_list", tmp_path, list="l.txt")


@pytest.mark.parametrize(
    ("line", "message"),
    [("Real World/a.jpg 1", r"l\.txt:1: 'World/a.jpg' is not a label.*tab"), ("../a.jpg 1", "leaves the dataset")],
)
def test_damaged_lists(tmp_path: Path, line: str, message: str) -> None:
    """A line that is not a path with a label names its place."""
    (tmp_path / "l.txt").write_text(line)
    with pytest.raises(UserError, match=message):
        read_class_list(tmp_path / "l.txt")


def test_names_with_blanks_need_a_tab(tmp_path: Path) -> None:
    """What is written is read again."""
    entries = [("Real World/a b.jpg", "1"), ("c.jpg", "0")]
    write_list(tmp_path / "l.txt", entries)
    assert read_class_list(tmp_path / "l.txt") == [("Real World/a b.jpg", 1), ("c.jpg", 0)]


def test_official_lists_are_told_by_their_digest(tmp_path: Path) -> None:
    """A list of the official form, read and written again, keeps its bytes, by whose digest copies are known."""
    official = json.loads(REFERENCE.read_text())
    first, last = (official["multi/labeled_source_images_real.txt"][key] for key in ("first", "last"))
    text = f"{first}\n{last}\n"
    (tmp_path / "a.txt").write_text(text)
    entries = read_class_list(tmp_path / "a.txt")
    write_list(tmp_path / "b.txt", [(path, str(label)) for path, label in entries])
    assert hashlib.sha256((tmp_path / "b.txt").read_bytes()).digest() == hashlib.sha256(text.encode()).digest()
    assert [label for _, label in entries] == [0, 125]


def test_size_filter_and_middle(tmp_path: Path) -> None:
    """Images are resized with the named filter, of which the middle is cut; both change the fingerprint."""
    folders(tmp_path)
    whole = opened("class_folders", tmp_path, size=(9, 8), resize="nearest")
    data = opened("class_folders", tmp_path, size=(9, 8), resize="nearest", crop=(4, 5))
    want = np.array(Image.fromarray(picture(1)).resize((9, 8), Image.Resampling.NEAREST))
    assert np.array_equal(whole.image(0), want)
    assert np.array_equal(data.image(0), want[2:7, 2:6])  # offsets 1.5 and 2.5 both go to 2
    assert len({one.fingerprint() for one in (data, whole, whole.resized((9, 7)), whole.subset([0, 1]))}) == 4
    with pytest.raises(UserError, match="an image of 9x8 is smaller than the crop 10x5"):
        opened("class_folders", tmp_path, size=(9, 8), crop=(10, 5)).image(0)


def test_views() -> None:
    """Training views are mirrored before the crop, or behind it where a border is added."""
    image = picture(0)
    mirrored, _ = augment(image, None, AugmentConfig(flip=1.0, crop=(20, 12)), generator(0))
    assert np.array_equal(mirrored, flip(image))
    found = {augment(image, None, AugmentConfig(crop=(18, 12)), generator(i))[0].tobytes() for i in range(40)}
    assert found == {crop(image, (18, 12), 0, left).tobytes() for left in range(3)}
    padded, _ = augment(image, None, AugmentConfig(pad=1, flip=1.0), generator(3))
    windows = [crop(pad(image, 1), (20, 12), top, left) for top in range(3) for left in range(3)]
    assert any(np.array_equal(padded, flip(window)) for window in windows)
    assert centre_crop(resize_image(image, (256, 256)), (227, 227)).shape == (227, 227, 3)


def test_parts_are_disjoint_and_whole(tmp_path: Path) -> None:
    """The parts of a random split cover every domain once; part and seed are checked."""
    folders(tmp_path, 7)
    parts = [opened("class_folders", tmp_path, ratios="8:1:1", part=i).names for i in range(3)]
    assert [len(part) for part in parts] == part_sizes(21, parse_ratios("8:1:1")) == [16, 2, 3]
    assert sorted(name for part in parts for name in part) == sorted(opened("class_folders", tmp_path).names)
    assert opened("class_folders", tmp_path, ratios="8:1:1", split_seed=1).names != parts[0]
    with pytest.raises(UserError, match="part: 3, but ratios '8:1:1' make the parts 0 to 2"):
        opened("class_folders", tmp_path, ratios="8:1:1", part=3)
    with pytest.raises(UserError, match="'8:x' is not of the form 8:1:1"):
        opened("class_folders", tmp_path, ratios="8:x")


def test_shots() -> None:
    """So many of each class, never those left out, another seed draws others; too few is an error."""
    labels = [0, 1] * 6 + [-1]
    drawn = shots_of_each(labels, 2)
    assert [labels[i] for i in drawn] == [0, 0, 1, 1] and drawn != shots_of_each(labels, 2, seed=1)
    assert not set(drawn) & set(shots_of_each(labels, 4, left_out=drawn))
    with pytest.raises(UserError, match="class 0 has only 4"):
        shots_of_each(labels, 5, left_out=drawn)
    with pytest.raises(UserError, match=r"class 0 \(cat\) has only 6"):
        shots_of_each(labels, 7, classes=("cat", "dog"))


CONFIG = """
name: own
task: classification
data:
  source: {{layout: class_folders, root: {root}}}
  target: {{layout: class_folders, root: {root}}}
  val: {{layout: class_folders, root: {root}, every: 2}}
  labelled: {labelled}
network: {{name: resnet}}
method: {{name: supervised}}
"""


def test_roles(tmp_path: Path) -> None:
    """Labelled target images are drawn from the target, which keeps the others, or are a list of their own."""
    folders(tmp_path / "d")
    (tmp_path / "shots.txt").write_text("d/TV/1.png 0\nd/bed/2.png 2\n")
    other = f"{{layout: image_list, root: {tmp_path}, list: {tmp_path}/shots.txt}}"
    for labelled, left, right in (("{shots: 1}", 3, 9), (other, 2, 12), ("all", 12, 12), ("null", None, 12)):
        (tmp_path / "c.yaml").write_text(CONFIG.format(root=tmp_path / "d", labelled=labelled))
        config = load_config(tmp_path / "c.yaml")
        assert config.classes.names == NAMES and len(class_set(config.classes)) == 3
        roles = open_roles(config)
        assert (roles.labelled_target and len(roles.labelled_target), len(roles.target)) == (left, right)
    assert list(roles.named()) == ["source", "target", "val"] and check_all(roles.val).counts.sum() == 6


def test_data_that_is_not_there(tmp_path: Path) -> None:
    """The folder is named, not the classes that would have come from it."""
    (tmp_path / "c.yaml").write_text(CONFIG.format(root=tmp_path / "nowhere", labelled="null"))
    with pytest.raises(UserError, match=r"data\.source: .*nowhere: no such folder; classes\.names is to be taken"):
        open_roles(load_config(tmp_path / "c.yaml"))


def test_one_task(tmp_path: Path) -> None:
    """A layout or a method of the other task is told in one line with its place."""
    text = CONFIG.format(root=tmp_path, labelled="null")
    for old, new, message in (
        (
            "name: supervised",
            "name: ddm",
            r"method 'ddm' is not for task 'classification'; for it there are: .*supervised",
        ),
        ("task: classification\n", "", r"c\.yaml:2: network 'resnet' is not for task 'segmentation'.*deeplabv2"),
        (
            "{layout: class_folders, root: ROOT}",
            "{layout: folders, root: ROOT}",
            r"data\.source: layout 'folders' is not for task 'classification'",
        ),
        (
            "method:",
            "evaluate: {scales: [0.5, 1]}\nmethod:",
            r"evaluate\.scales and evaluate\.window are for segmentation",
        ),
        ("  labelled:", "  colour: {mode: online}\n  labelled:", r"data\.colour is for segmentation"),
        ("method:", "classes: {absent: zero}\nmethod:", r"classes\.absent is for segmentation"),
        ("every: 2", "evry: 2", r"c\.yaml:7: data\.val has no key 'evry'\. Did you mean 'every'\?"),
        (
            "labelled: null",
            "labelled: {shotz: 2}",
            r"c\.yaml:8: data\.labelled has no key 'shotz'. Did you mean 'shots'",
        ),
    ):
        (tmp_path / "c.yaml").write_text(text.replace(old.replace("ROOT", str(tmp_path)), new.replace("ROOT", "x")))
        with pytest.raises(UserError, match=message):
            load_config(tmp_path / "c.yaml")
