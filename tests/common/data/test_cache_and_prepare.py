"""The cache, and what prepare_data.py writes."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from common.data.cache import Cache
from common.data.check import check
from common.data.files import read_ids, read_image
from common.data.labels import cityscapes_table
from common.data.lists import read_list
from common.data.roles import open_dataset
from common.errors import UserError
from common.schema import DatasetConfig
from tests.common.data.trees import C16, C19, cityscapes, gta5, picture, rgb16, synthia

ROOT = Path(__file__).resolve().parents[3]
CONFIG = """
name: cached
data:
  source: {{layout: gta5, root: {0}/g, size: [12, 8]}}
  target: {{layout: cityscapes, root: {0}/c, size: [10, 6]}}
  val: {{layout: cityscapes, root: {0}/c, size: [10, 6], label_size: [20, 12]}}
  labelled: {{count: 2}}
method: {{name: ddm}}
"""


def prepare(*words: object) -> None:
    """Run prepare_data.py as a user would."""
    sys.argv = ["prepare_data.py", *map(str, words)]
    runpy.run_path(str(ROOT / "scripts/prepare_data.py"))["main"]()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with GTA5, Cityscapes and a configuration over them."""
    monkeypatch.setattr(sys, "argv", [])
    gta5(tmp_path / "g")
    cityscapes(tmp_path / "c")
    (tmp_path / "x.yaml").write_text(CONFIG.format(tmp_path))
    return tmp_path


def test_cached_pixels_are_equal_to_the_bit(world: Path, capsys: pytest.CaptureFixture) -> None:
    """Every size that the configuration reads is in the cache; running again writes nothing."""
    prepare("cache", world / "x.yaml", "--folder", world / "cache")
    sections = {
        "source": DatasetConfig(layout="gta5", root=world / "g", size=(12, 8)),
        "val": DatasetConfig(layout="cityscapes", root=world / "c", size=(10, 6), label_size=(20, 12)),
    }
    for role, section in sections.items():
        plain = open_dataset(section, C19)
        cached = open_dataset(section.model_copy(update={"cache": world / "cache"}), C19)
        check(cached)
        sizes = [plain, plain.resized((10, 6))] if role == "source" else [plain]  # the region teacher's size too
        for want, got in zip(sizes, [cached, cached.resized((10, 6))]):
            assert all(np.array_equal(want.image(i), got.image(i)) for i in range(4))
            assert all(np.array_equal(want.label(i), got.label(i)) for i in range(4))
    capsys.readouterr()
    prepare("cache", world / "x.yaml", "--folder", world / "cache")
    assert capsys.readouterr().out.count(" 0 files written") == 3


def test_the_cache_is_what_is_read(world: Path) -> None:
    """Training reads the cache and not the full-size files; native pixels still come from those."""
    section = DatasetConfig(layout="gta5", root=world / "g", size=(12, 8), cache=world / "cache")
    data = open_dataset(section, C19)
    for i in range(4):
        assert Cache(world / "cache").write(data, i, [(12, 8)], [(12, 8)]) == 2
    want = data.image(0)
    stat = data.items[0].image.stat()
    data.items[0].image.write_bytes(b"gone")
    assert np.array_equal(data.image(0), want)
    with pytest.raises(UserError, match="not an image"):
        data.native_image(0)
    assert stat.st_size != 4
    with pytest.raises(UserError, match=r"holds no 12x8 images of the present .*prepare_data\.py cache"):
        check(open_dataset(section, C19))  # the file has changed, so the cache is stale
    with pytest.raises(UserError, match="holds no 12x8 images"):
        open_dataset(section, C16).image(0)


def test_train_ids_are_written_once(world: Path, capsys: pytest.CaptureFixture) -> None:
    """The files hold the official 19 train ids."""
    prepare("trainids", world / "c")
    prepare("trainids", world / "c")
    assert "4 written" in capsys.readouterr().out.splitlines()[0]
    data = open_dataset(DatasetConfig(layout="cityscapes", root=world / "c", label_ids="train_ids"), C19)
    raw = open_dataset(DatasetConfig(layout="cityscapes", root=world / "c"), C19)
    for i in range(4):
        assert np.array_equal(read_ids(data.items[i].label), cityscapes_table(C19)[read_ids(raw.items[i].label)])
    with pytest.raises(UserError, match="holds no label ids of Cityscapes"):
        prepare("trainids", world / "g")


def test_synthia_labels_are_parsed(tmp_path: Path, world: Path) -> None:
    """parsed_LABELS takes the place of the 16 bit files with equal train ids; an id beyond SYNTHIA's is refused."""
    root = synthia(tmp_path / "s")
    want = [open_dataset(DatasetConfig(layout="synthia", root=root), C16).label(i) for i in range(3)]
    prepare("synthia", root)
    data = open_dataset(DatasetConfig(layout="synthia", root=root), C16)
    assert data.items[0].label == root / "parsed_LABELS/0000000.png"
    assert all(np.array_equal(data.label(i), want[i]) for i in range(3))
    rgb16(root / "GT/LABELS/0000009.png", np.full((4, 4, 3), 99, np.uint16))
    with pytest.raises(UserError, match=r"0000009\.png: holds id 99"):
        prepare("synthia", root)


def test_lists_and_splits_feed_each_other(world: Path) -> None:
    """The written list is the official one; pairs are read back as pairs; splits draw from the list."""
    prepare("lists", "cityscapes", world / "c", "--split", "train")
    scanned = open_dataset(DatasetConfig(layout="cityscapes", root=world / "c"), C19)
    assert [name for name, _ in read_list(world / "c/train.txt")] == scanned.names
    prepare("lists", "gta5", world / "g", "--pairs", "--out", world / "pairs.txt")
    listed = open_dataset(DatasetConfig(layout="gta5", root=world / "g", list=world / "pairs.txt"), C19)
    assert listed.items == open_dataset(DatasetConfig(layout="gta5", root=world / "g"), C19).items
    prepare("splits", world / "c/train.txt", "--counts", 1, 3, "--out", world / "s")
    assert len(read_list(world / "s/labelled_3.txt")) == 3
    (world / "g/labels/00002.png").unlink()
    with pytest.raises(UserError, match=r"00002\.png: the label is missing"):
        prepare("lists", "gta5", world / "g", "--pairs", "--out", world / "pairs.txt")


def test_translations_are_read_in_place_of_the_images(world: Path) -> None:
    """Each source image has a translation of its own size, which ``image`` fits as it does the image."""
    prepare("translate", world / "x.yaml", "--folder", world / "t")
    data = open_dataset(DatasetConfig(layout="gta5", root=world / "g", size=(12, 8)), C19)
    assert read_image(world / "t/00001.png").shape == picture(0).shape
    assert np.array_equal(data.image(0, folder=world / "t"), data.fit(read_image(world / "t/00001.png")))
    assert not np.array_equal(data.image(0, folder=world / "t"), data.image(0))


def test_check_prints_every_problem(world: Path, capsys: pytest.CaptureFixture) -> None:
    """The command reads everything, names each fault under its key and ends with status 2."""
    sys.argv = ["prepare_data.py", "check", str(world / "x.yaml")]
    main = runpy.run_path(str(ROOT / "scripts/prepare_data.py"))["main"]
    sys.argv = ["prepare_data.py", "check", str(world / "x.yaml")]
    assert main() == 0
    assert "data.source: 4 images (20x12), 4 labels; read 4" in capsys.readouterr().out
    (world / "g/images/00002.png").write_bytes(b"")
    (world / "g/labels/00003.png").unlink()
    assert main() == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("data.source:")]
    assert len(lines) == 2 and "00003.png" in lines[0] and "00002.png" in lines[1]
