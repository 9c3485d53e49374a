"""The embedded benchmark: equal classes, a gap in appearance, the official layouts, the same pixels every time."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from common.data.check import check_all
from common.data.labels import cityscapes_table
from common.data.roles import open_dataset
from common.data.toy_look import MOODS
from common.data.toy_streets import STAMP, ToyStreets, draw, generate
from common.errors import UserError
from common.schema import DatasetConfig
from tests.common.data.trees import C19

FEW = ToyStreets(source=6, train=6, val=5, size=(128, 64))


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small drawn benchmark."""
    root = tmp_path_factory.mktemp("toy") / "streets"
    assert generate(root, FEW)
    return root


def opened(root: Path, layout: str, split: str | None = None):
    """Open one part of the benchmark with the real loader."""
    return open_dataset(DatasetConfig(layout=layout, root=root / layout, split=split), C19)


def test_the_real_loaders_read_it(toy: Path) -> None:
    """Counts and names are those of the official layouts, and every file passes the full check."""
    source, train, val = opened(toy, "gta5"), opened(toy, "cityscapes", "train"), opened(toy, "cityscapes", "val")
    assert [len(part) for part in (source, train, val)] == [6, 6, 5]
    assert source.names[0] == "00001.png" and train.names[0] == "altmarkt/altmarkt_000000_000019_leftImg8bit.png"
    for part in (source, train, val):
        report = check_all(part)
        assert not report.problems and report.labels == len(part) and dict(report.sizes) == {(128, 64): len(part)}
    assert not {Path(name).parts[0] for name in train.names} & {Path(name).parts[0] for name in val.names}


def test_a_picture_depends_on_its_position_alone() -> None:
    """Drawn twice, in any order, it is equal to the bit; another index, seed or domain draws another street."""
    first = {i: draw("camera", 3, i, (64, 32)) for i in (0, 1)}
    again = {i: draw("camera", 3, i, (64, 32)) for i in (1, 0)}
    assert all(np.array_equal(first[i][k], again[i][k]) for i in (0, 1) for k in (0, 1))
    others = [draw("camera", 3, 1, (64, 32)), draw("camera", 4, 0, (64, 32)), draw("game", 3, 0, (64, 32))]
    assert all(not np.array_equal(first[0][0], other[0]) for other in others)
    image, label = first[0]
    assert image.shape == (32, 64, 3) and label.shape == (32, 64) and image.dtype == label.dtype == np.uint8


def test_both_domains_have_the_same_ten_classes() -> None:
    """At least eight of the 19, the same in both; none is rare enough to vanish at half the size."""
    shares = {}
    for domain in ("game", "camera"):
        labels = np.stack([cityscapes_table(C19)[draw(domain, 0, i)[1]] for i in range(24)])
        shares[domain] = np.bincount(labels[:, ::2, ::2].ravel(), minlength=256)[:19] / labels[:, ::2, ::2].size
    assert [np.flatnonzero(share).tolist() for share in shares.values()] == [[0, 1, 2, 5, 7, 8, 9, 10, 11, 13]] * 2
    assert min(share[share > 0].min() for share in shares.values()) > 0.002


def test_the_gap_is_in_appearance_and_layout() -> None:
    """The camera is darker and paler than the game, noisier on the road, and its horizon is lower."""
    views = {domain: [draw(domain, 1, i) for i in range(12)] for domain in ("game", "camera")}

    def measure(of) -> dict[str, float]:
        images = [image.astype(np.float32) for image, _ in of]
        road = [np.abs(np.diff(image[label == 7][:, 1])).mean() for image, (_, label) in zip(images, of)]
        sky = [np.flatnonzero((label == 23).any(1)).max(initial=0) / len(label) for _, label in of]
        return {
            "light": float(np.mean(images)),
            "colour": float(np.mean([np.ptp(image, axis=2).mean() for image in images])),
            "noise": float(np.median(road)),
            "horizon": float(np.mean(sky)),
        }

    game, camera = measure(views["game"]), measure(views["camera"])
    assert game["light"] > 1.2 * camera["light"] and game["colour"] > 1.4 * camera["colour"]
    assert camera["noise"] > 1.5 * game["noise"] and camera["horizon"] > game["horizon"]


def test_every_mood_looks_different() -> None:
    """The same street has other colours in other weather, and the same labels."""
    views = {mood: draw("camera", 0, 5, (64, 32), mood) for mood in MOODS}
    means = np.array([image.mean((0, 1)) for image, _ in views.values()])
    gaps = np.abs(means[:, None] - means[None]).max(2)[np.triu_indices(len(means), 1)]
    assert gaps.min() > 4
    labels = [label for _, label in views.values()]
    assert all(np.array_equal(label, labels[0]) for label in labels[1:])


def test_drawing_again_changes_nothing(toy: Path) -> None:
    """The second call leaves every file alone; another seed or count is refused; an older version is redrawn."""
    before = {path: path.stat().st_mtime_ns for path in toy.rglob("*.png")}
    assert not generate(toy, FEW)
    with pytest.raises(UserError, match="holds something else"):
        generate(toy, ToyStreets(source=7, train=6, val=5, size=(128, 64)))
    assert before == {path: path.stat().st_mtime_ns for path in toy.rglob("*.png")}
    stamp = json.loads((toy / STAMP).read_text())
    (toy / STAMP).write_text(json.dumps({**stamp, "version": 0}))
    pixels = (toy / "gta5/images/00001.png").read_bytes()
    assert generate(toy, FEW) and json.loads((toy / STAMP).read_text()) == stamp
    assert (toy / "gta5/images/00001.png").read_bytes() == pixels


def test_a_folder_of_the_user_is_never_touched(tmp_path: Path) -> None:
    """A folder that holds anything else is refused as it is; an empty one is filled."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("x")
    with pytest.raises(UserError, match="holds something else"):
        generate(tmp_path / "mine", FEW)
    assert os.listdir(tmp_path / "mine") == ["thesis.txt"]
    (tmp_path / "empty").mkdir()
    assert generate(tmp_path / "empty", ToyStreets(1, 1, 1, (32, 32)))
    with pytest.raises(UserError, match="at least one picture"):
        generate(tmp_path / "none", ToyStreets(source=0))


def test_it_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drawing that breaks off leaves no folder behind."""
    calls = []

    def breaks(*args):
        calls.append(args)
        if len(calls) == 4:
            raise OSError(28, "No space left on device")
        return draw(*args)

    monkeypatch.setattr("common.data.toy_streets.draw", breaks)
    with pytest.raises(UserError, match="No space left"):
        generate(tmp_path / "toy", FEW)
    assert os.listdir(tmp_path) == []
