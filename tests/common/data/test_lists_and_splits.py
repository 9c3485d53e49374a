"""List files, folder scans and labelled splits."""

import random
from pathlib import Path

import pytest

from common.data.lists import read_list, read_names, scan, write_list
from common.data.splits import labelled_positions, labelled_split, write_split
from common.errors import UserError
from common.schema import SplitConfig
from tests.common.data.trees import cityscapes


def test_lists_go_to_disk_and_back(tmp_path: Path) -> None:
    """Names with blanks are written with tabs; a byte order mark, CRLF and blank lines do not matter."""
    for entries in ([("a.png",), ("b/c.png",)], [("a b.png", "l b.png")]):
        assert write_list(tmp_path / "sub/l.txt", entries) == len(entries)
        assert read_list(tmp_path / "sub/l.txt") == [(e[0], e[1] if len(e) == 2 else None) for e in entries]
    (tmp_path / "w.txt").write_bytes(b"\xef\xbb\xbfa.png la.png\r\n\r\nb.png lb.png\r\n")
    assert read_names(tmp_path / "w.txt") == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "the list is empty"),
        (b"a.png b.png c.png\n", ":1: 3 names"),
        (b"ok.png\n../../etc/x.png\n", r":2: '\.\./\.\./etc/x\.png' leaves"),
        (b"/etc/passwd\n", ":1: '/etc/passwd' leaves"),
        (b"\xff\xfe\x00\x01", "not a list file"),
    ],
)
def test_bad_lists_are_refused(tmp_path: Path, text: bytes, message: str) -> None:
    """The line names the file and the place."""
    path = tmp_path / "l.txt"
    path.write_bytes(text)
    with pytest.raises(UserError, match=message):
        read_list(path)


def test_missing_list(tmp_path: Path) -> None:
    """A missing list and a folder in its place are told apart from damage."""
    with pytest.raises(UserError, match="no such list file"):
        read_list(tmp_path / "l.txt")
    with pytest.raises(UserError, match="not a list file"):
        read_list(tmp_path)


def test_scan_is_alphabetical_like_the_official_list(tmp_path: Path) -> None:
    """City by city, name by name; hidden files and other endings are passed over."""
    root = cityscapes(tmp_path, cities=("ulm", "aachen"))
    folder = root / "leftImg8bit/train"
    (folder / "ulm/.ulm_part_leftImg8bit.png").touch()
    (folder / "ulm/notes.txt").touch()
    names = scan(folder, "_leftImg8bit.png")
    assert names == sorted(names) and len(names) == 4 and names[0].startswith("aachen/")
    assert scan(folder, None) == names


def test_split_is_the_official_draw() -> None:
    """``random.seed; random.sample`` over the list; 200 begins with the 100; the global generator is untouched."""
    random.seed(1234)
    want = random.sample(range(2975), 200)
    random.seed(5)
    before = random.getstate()
    assert labelled_positions(2975, 200) == want
    assert labelled_positions(2975, 100) == want[:100]
    assert sorted(labelled_positions(2975, 2975)) == list(range(2975))
    assert random.getstate() == before
    with pytest.raises(UserError, match="only 50 training images"):
        labelled_positions(50, 100)


def test_own_split(tmp_path: Path) -> None:
    """A list of names chooses in its own order, repeated names once; what a split wrote is read back."""
    names = [f"c/{i}.png" for i in range(9)]
    (tmp_path / "l.txt").write_text("c/5.png\nc/2.png\nc/5.png\n")
    assert labelled_split(SplitConfig(list=tmp_path / "l.txt"), names) == [5, 2]
    write_split(tmp_path / "s/w.txt", names, labelled_positions(9, 4))
    assert labelled_split(SplitConfig(list=tmp_path / "s/w.txt"), names) == labelled_positions(9, 4)
    assert labelled_split(SplitConfig(count=4), names) == labelled_positions(9, 4)
    assert labelled_split(None, names) == []
    with pytest.raises(UserError, match=r"1 of 2 images are not in the target set, first 'c/5\.png'"):
        labelled_split(SplitConfig(list=tmp_path / "l.txt"), names[:4])
    for config in (SplitConfig(), SplitConfig(count=1, list=tmp_path / "l.txt")):
        with pytest.raises(UserError, match="one of count, shots and list"):
            labelled_split(config, names)
