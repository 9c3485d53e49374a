"""The pass that writes a pseudo-label folder: what is in it, how often it predicts, and that it can be cut short."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from common.pseudo import bdl, cbst
from common.pseudo.folder import THRESHOLDS, pseudo_label_path, read_pseudo_label, write_pseudo_label
from common.pseudo.produce import PseudoSettings, label_and_confidence, write_pseudo_labels
from tests.common.pseudo.test_rules import CLASSES, probabilities

NAMES = ("aachen/aachen_000000_000019_leftImg8bit.png", "aachen/aachen_000001_000019_leftImg8bit.png", "ulm/x.png")
MAPS = dict(zip(NAMES, probabilities(11)))

BDL = PseudoSettings()


class Student:
    """Predicts stored probabilities, counts, and can be killed after some images."""

    def __init__(self, maps: dict[str, np.ndarray] = MAPS, dies_after: int | None = None):
        self.maps, self.dies_after, self.asked = maps, dies_after, []

    def __call__(self, names):
        for name in names:
            if len(self.asked) == self.dies_after:
                raise KeyboardInterrupt
            self.asked.append(name)
            yield name, self.maps[name]


def produce(folder: Path, student: Student, settings: PseudoSettings = BDL, **options) -> dict:
    """Run the pass with the scratch folder beside the result."""
    return write_pseudo_labels(folder / "files", folder / "scratch", NAMES, student, CLASSES, settings, **options)


def files(folder: Path) -> dict[str, bytes]:
    """Return the content of every file by its relative path."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_bdl_folder(tmp_path: Path) -> None:
    """Labels, thresholds and statistics; every image predicted once; nothing left behind."""
    student = Student()
    report = produce(tmp_path, student)
    images = [label_and_confidence(name, MAPS[name]) for name in NAMES]
    found = bdl.thresholds(lambda: images, CLASSES)
    limits = bdl.capped(found.values, 0.9)
    for name, image in zip(NAMES, images):
        assert np.array_equal(read_pseudo_label(tmp_path / "files", name, (14, 9)), bdl.select(*image, limits))
    assert student.asked == list(NAMES)
    assert sorted(files(tmp_path)) == [
        "files/aachen/aachen_000000_000019_pseudo_trainIds.png",
        "files/aachen/aachen_000001_000019_pseudo_trainIds.png",
        f"files/{THRESHOLDS}",
        "files/ulm/x_pseudo_trainIds.png",
    ]
    assert json.loads((tmp_path / "files" / THRESHOLDS).read_text()) == report
    assert report["thresholds"] == limits.tolist() and report["class_counts"] == found.counts.tolist()
    kept = np.concatenate([bdl.select(*image, limits).ravel() for image in images])
    assert report["kept"] == pytest.approx((kept != 255).mean())
    assert report["class_kept"][0] == pytest.approx((kept == 0).sum() / found.counts[0])
    assert report["class_kept"][4] is None and report["precision"] is None


@pytest.mark.parametrize("form", ["crst", "mxnet"])
def test_cbst_folder(tmp_path: Path, form: str) -> None:
    """Portion of the round; every image predicted twice."""
    student = Student()
    report = produce(tmp_path, student, PseudoSettings(rule="cbst", form=form, every=2), number=3)
    sample = [cbst.subsample(*label_and_confidence(name, MAPS[name]), 2) for name in NAMES]
    limits = cbst.thresholds(lambda: sample, CLASSES, 0.2 + 0.05 * 2, form).values
    for name in NAMES:
        assert np.array_equal(read_pseudo_label(tmp_path / "files", name, (14, 9)), cbst.select(MAPS[name], limits))
    assert report["portion"] == pytest.approx(0.3) and student.asked == list(NAMES) * 2


def test_precision_counts_known_truth_only(tmp_path: Path) -> None:
    """Where a true label exists, pixels that it knows are judged."""
    best = {name: maps.argmax(axis=0).astype(np.uint8) for name, maps in MAPS.items()}
    truth = best[NAMES[0]].copy()
    truth[:7] = 255
    truth[7:10] = (truth[7:10] + 1) % CLASSES
    report = produce(tmp_path, Student(), truth=lambda name: truth if name == NAMES[0] else None)
    label = read_pseudo_label(tmp_path / "files", NAMES[0], (14, 9))
    judged = (label[7:] != 255).sum()
    assert report["precision"] == pytest.approx((label[10:] != 255).sum() / judged)


@pytest.mark.parametrize("rule", ["bdl", "cbst"])
@pytest.mark.parametrize("dies_after", [0, 1, 2, 3, 4])
def test_a_pass_cut_short_goes_on(tmp_path: Path, rule: str, dies_after: int) -> None:
    """The same bytes as an uninterrupted pass, and no image is predicted a second time for nothing."""
    settings = PseudoSettings(rule=rule)
    produce(tmp_path / "whole", Student(), settings)
    try:
        produce(tmp_path / "cut", Student(dies_after=dies_after), settings)
        cut = False
    except KeyboardInterrupt:
        cut = True
    assert cut == (dies_after < (3 if rule == "bdl" else 6))
    if cut:
        again = Student()
        produce(tmp_path / "cut", again, settings)
        first = list(NAMES[dies_after:])
        assert again.asked == (first if rule == "bdl" else [*first, *NAMES])
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


def test_order_and_batching_of_images_do_not_matter(tmp_path: Path) -> None:
    """Thresholds are those of the set."""
    produce(tmp_path / "a", Student())
    write_pseudo_labels(tmp_path / "b/files", tmp_path / "b/s", NAMES[::-1], Student(), CLASSES, BDL)
    assert files(tmp_path / "a/files") == files(tmp_path / "b/files")


def test_a_broken_student_is_named(tmp_path: Path) -> None:
    """A NaN anywhere stops the pass with the image's name."""
    broken = MAPS[NAMES[1]].copy()
    broken[2, 3, 4] = np.nan
    with pytest.raises(UserError, match=r"aachen_000001.*not finite"):
        produce(tmp_path, Student({**MAPS, NAMES[1]: broken}))
    assert not (tmp_path / "files").exists()


def test_nothing_to_label(tmp_path: Path) -> None:
    """An empty list is a mistake."""
    with pytest.raises(UserError, match="no unlabelled image"):
        write_pseudo_labels(tmp_path / "f", tmp_path / "s", [], Student(), CLASSES, BDL)


def test_names_that_would_collide(tmp_path: Path) -> None:
    """Two images that differ in their suffix only."""
    with pytest.raises(UserError, match=r"a/b.jpg.*a/b.png|a/b.png.*a/b.jpg"):
        write_pseudo_labels(
            tmp_path / "f", tmp_path / "s", ["a/b.png", "a/b.jpg"], Student(), CLASSES, PseudoSettings()
        )


def test_reading_says_what_is_wrong(tmp_path: Path) -> None:
    """Missing, damaged and misshapen files, each in one line with the way out."""
    with pytest.raises(UserError, match="missing"):
        read_pseudo_label(tmp_path, "a.png", (4, 6))
    write_pseudo_label(tmp_path, "a.png", np.zeros((4, 6), np.uint8))
    assert Image.open(pseudo_label_path(tmp_path, "a.png")).mode == "P"
    with pytest.raises(UserError, match=r"\(4, 6\).*\(4, 7\)"):
        read_pseudo_label(tmp_path, "a.png", (4, 7))
    path = pseudo_label_path(tmp_path, "a.png")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError, match="damaged"):
        read_pseudo_label(tmp_path, "a.png", (4, 6))
    path.write_bytes(b"")
    with pytest.raises(UserError, match="damaged"):
        read_pseudo_label(tmp_path, "a.png", (4, 6))


def test_damaged_scratch_is_named(tmp_path: Path) -> None:
    """A confidence file that a crash of the machine left empty."""
    with pytest.raises(KeyboardInterrupt):
        produce(tmp_path, Student(dies_after=2))
    kept = next(iter(sorted((tmp_path / "scratch").rglob("*.npz"))))
    kept.write_bytes(b"")
    with pytest.raises(UserError, match=r"npz: damaged.*remove it"):
        produce(tmp_path, Student())
