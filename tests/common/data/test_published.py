"""Published data as it comes: official lists told by their digest, CIFAR's Python 2 pickles."""

import json
import pickle
import struct
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from common.data import official_lists
from common.data.cifar import write_folders
from common.data.class_folders import ClassFolders
from common.data.files import read_image
from common.errors import UserError
from common.schema import ClassificationDatasetConfig
from convert.formats.values import read_values

REFERENCE = Path(__file__).parents[2] / "reference/s3d/split_lists.json"


def test_the_table_is_the_reference() -> None:
    """All 66 lists."""
    wanted = {name: (facts["lines"], facts["sha256"]) for name, facts in json.loads(REFERENCE.read_text()).items()}
    assert official_lists.official_lists() == wanted and len(wanted) == 66


def test_copies_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal, of other length, of the same length with other lines; what is not there counts for nothing."""
    text = b"real/a/1.jpg 0\nreal/b/2.jpg 1\n"
    table = {f"multi/{name}.txt": (2, sha256(text).hexdigest()) for name in ("same", "short", "other", "absent")}
    monkeypatch.setattr(official_lists, "official_lists", lambda: table)
    (tmp_path / "multi").mkdir()
    for name, content in (("same", text), ("short", text[:15]), ("other", text.replace(b"2", b"3"))):
        (tmp_path / "multi" / f"{name}.txt").write_bytes(content)
    assert list(official_lists.differing_lists(tmp_path)) == [
        ("multi/same.txt", ""),
        ("multi/short.txt", "1 lines, the official list has 2"),
        ("multi/other.txt", "as many lines as the official list, but other ones"),
    ]
    with pytest.raises(UserError, match="holds no official list, such as multi/"):
        list(official_lists.differing_lists(tmp_path / "multi"))


def python2(value: object) -> bytes:
    """Return a pickle as Python 2 wrote it (protocol 2): texts are byte strings, arrays hold theirs."""
    if isinstance(value, str | bytes):
        raw = value.encode() if isinstance(value, str) else value
        return b"T" + struct.pack("<i", len(raw)) + raw
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, list):
        return b"](" + b"".join(map(python2, value)) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(python2(key) + python2(item) for key, item in value.items()) + b"u"
    dtype = b"cnumpy\ndtype\n(" + python2("u1") + b"K\x00K\x01tR"
    shape = b"(" + b"".join(python2(side) for side in value.shape) + b"t"
    begun = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + python2("b") + b"tR"
    return begun + b"(K\x01" + shape + dtype + b"\x89" + python2(value.tobytes()) + b"tb"


@pytest.fixture
def cifar(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """Write CIFAR-100's files with three classes; return folder and training pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3072), dtype=np.uint8)
    labels = [2, 0, 1, 0, 2]
    for name, content in {
        "meta": {"fine_label_names": ["apple", "bear", "castle"]},
        "train": {"data": pixels, "fine_labels": labels},
        "test": {"data": pixels[:3], "fine_labels": labels[:3]},
    }.items():
        (tmp_path / name).write_bytes(b"\x80\x02" + python2(content) + b".")
    return tmp_path, pixels


def test_cifar_becomes_class_folders(cifar: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    """Red, green and blue planes become images; classes keep the order of their names."""
    root, pixels = cifar
    done = list(write_folders(root, tmp_path / "out", read_values))
    assert [line.split(": ")[1] for line in done] == ["5 images of 3 classes", "3 images of 3 classes"]
    first = read_image(tmp_path / "out/train/castle/00000.png")
    assert np.array_equal(first, pixels[0].reshape(3, 32, 32).transpose(1, 2, 0))
    layout = ClassificationDatasetConfig(layout="class_folders", root=tmp_path / "out/train")
    assert ClassFolders.class_names(layout) == ("apple", "bear", "castle")


def test_nothing_in_a_pickle_is_executed(cifar: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    """A file that names a function is refused; so are one that lacks a key, and a folder without any."""
    root, _ = cifar
    (root / "train").write_bytes(b"\x80\x02cos\nsystem\n(U\x0etouch executedtR.")
    with pytest.raises(UserError, match=r"train: .*os\.system"):
        list(write_folders(root, tmp_path / "out", read_values))
    assert not Path("executed").exists()
    (root / "train").write_bytes(pickle.dumps({"fine_labels": [1]}))
    with pytest.raises(UserError, match="train: has no 'data'; not a file of CIFAR"):
        list(write_folders(root, tmp_path / "out", read_values))
    with pytest.raises(UserError, match="holds neither CIFAR-100"):
        list(write_folders(tmp_path / "out", tmp_path / "x", read_values))
