"""The self-check: what is missing, of another size, unknown or damaged, and what repairs it."""

from pathlib import Path

import numpy as np
import pytest

from common.config import Config
from common.data import check as checking
from common.data.check import check, check_all
from common.data.files import read_ids
from common.data.roles import open_roles
from common.errors import UserError
from tests.common.data.trees import C16, C19, SIZE, cityscapes, gta5, ids, opened, save, synthia


def test_a_sound_dataset_is_counted(tmp_path: Path) -> None:
    """Counts, sizes and class frequencies are those of the files."""
    report = check(opened("gta5", gta5(tmp_path)))
    assert (report.images, report.labels, report.read, dict(report.sizes)) == (4, 4, 4, {SIZE: 4})
    assert report.counts.sum() == 4 * 240 and set(np.flatnonzero(report.counts)) == {0, 2, 13, 255}
    assert report.line() == "4 images (20x12), 4 labels; read 4"


def test_missing_labels_name_their_repair(tmp_path: Path) -> None:
    """Only the images that must have labels count; the command belongs to the layout."""
    data = opened("cityscapes", cityscapes(tmp_path), label_ids="train_ids")
    with pytest.raises(UserError, match=rf"4 of 4 labels are missing.*prepare_data\.py trainids {tmp_path}$"):
        check(data)
    assert check(data, labelled=[]).labels == 0
    data = opened("synthia", synthia(tmp_path / "s", parsed=True), C16)
    data.items[1].label.unlink()
    with pytest.raises(UserError, match=r"1 of 3 labels.*0000001\.png.*prepare_data\.py synthia"):
        check(data)
    assert check(data, labelled=[0, 2]).read == 3


def test_missing_images_of_a_list(tmp_path: Path) -> None:
    """A list that names what is not there."""
    (gta5(tmp_path) / "l.txt").write_text("00001.png\n00009.png\n")
    with pytest.raises(UserError, match=r"1 of 2 listed images are missing, first .*00009\.png.* lists gta5"):
        check(opened("gta5", tmp_path, list="l.txt"))


def test_unknown_ids_damage_and_sizes_are_all_found(tmp_path: Path) -> None:
    """A full check goes on after a fault and names every file; the check at the start stops at the first."""
    data = opened("gta5", gta5(tmp_path, 5))
    label = read_ids(data.items[0].label)
    label[0, 0] = 77
    save(data.items[0].label, label)
    image = data.items[2].image
    image.write_bytes(image.read_bytes()[:80])
    save(data.items[3].label, ids(3, (7, 8), (10, 6)))
    report = check_all(data)
    parts = ("ids [77]", "truncated", "10x6, but its image is 20x12")
    assert len(report.problems) == 3 and all(part in line for part, line in zip(parts, report.problems))
    assert sorted(Path(line.split(": ")[0]).name for line in report.problems) == ["00001.png", "00003.png", "00004.png"]
    with pytest.raises(UserError):
        check(data)
    assert not [line for line in check_all(data.resized((8, 8))).problems if "but its image" in line]


def test_a_method_that_fits_labels_to_images_takes_any_size(tmp_path: Path) -> None:
    """IAST enlarges labels itself, as those of some GTA5 images need; its baselines and other methods do not."""
    street, town = gta5(tmp_path / "gta5"), cityscapes(tmp_path / "c")
    save(street / "labels/00002.png", ids(3, (7, 8), (10, 6)))
    roles = {"source": {"layout": "gta5", "root": street}, "target": {"layout": "cityscapes", "root": town}}
    for role in ("target", "val"):
        roles[role] = {"layout": "cityscapes", "root": town, "split": "train"}

    def opened_for(method: str, **more) -> object:
        tree = {"name": "x", "data": roles, "method": {"name": method}, "network": {"name": "deeplabv2"}, **more}
        return open_roles(Config.model_validate(tree))

    assert check_all(opened_for("iast").source).problems == []
    for method, more in (("supervised", {}), ("iast", {"baselines": ["source_only"]})):
        with pytest.raises(UserError, match=r"data\.source: .*00002\.png: 10x6, but its image is 20x12"):
            opened_for(method, **more)


def test_the_start_reads_a_spread_sample_of_large_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The budget bounds what is read, and at least one pair is."""
    data = opened("gta5", gta5(tmp_path, 9))
    monkeypatch.setattr(checking, "BUDGET", 3 * 480)
    assert check(data).read == 3
    monkeypatch.setattr(checking, "BUDGET", 0)
    assert check(data).read == 1
    assert check_all(data).read == 9
    for count in (1, 2, 7, 8, 100):
        order = checking._spread(count)
        assert sorted(order) == list(range(count))
    assert checking._spread(8)[:4] == [0, 4, 2, 6]


def test_labels_that_say_nothing(tmp_path: Path) -> None:
    """SYNTHIA labels that a tool reduced to zeros, or a wrong map, leave no labelled pixel."""
    root = synthia(tmp_path, parsed=True)
    for i in range(3):
        save(root / f"parsed_LABELS/{i:07d}.png", np.zeros((12, 20), np.uint8))
    with pytest.raises(UserError, match="every labelled pixel is ignored"):
        check(opened("synthia", root, C16))


def test_roles_are_checked_under_their_keys(tmp_path: Path) -> None:
    """Source and val need all labels, the target those of its labelled images; messages begin with the key."""
    gta5(tmp_path / "g")
    cityscapes(cityscapes(tmp_path / "c"), "val")
    target = {"layout": "cityscapes", "root": tmp_path / "c"}
    data = {"source": {"layout": "gta5", "root": tmp_path / "g"}, "target": target, "val": {**target, "split": "val"}}
    data["labelled"] = {"count": 2}
    config = Config.model_validate({"name": "x", "data": data, "method": {"name": "supervised"}})
    roles = open_roles(config)
    assert len(roles.labelled) == 2 and roles.classes is C19 and len(roles.val) == 4
    unlabelled = next(i for i in range(4) if i not in roles.labelled)
    roles.target.items[unlabelled].label.unlink()
    assert open_roles(config).labelled == roles.labelled
    roles.target.items[roles.labelled[1]].label.unlink()
    with pytest.raises(UserError, match=r"^data\.target: .*1 of 2 labels are missing"):
        open_roles(config)
    assert open_roles(config, checked=False).labelled == roles.labelled
    roles.val.items[0].image.write_bytes(b"")
    with pytest.raises(UserError, match=r"^data\.(target|val): "):
        open_roles(config)
