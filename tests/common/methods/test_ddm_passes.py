"""What DDM writes between its train stages: pseudo-labels of a round, logits of its teachers."""

from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from common.methods import stages
from common.pseudo.folder import THRESHOLDS, read_pseudo_label
from common.stage import StageContext
from tests.common.methods.ddm_batches import builder, drawn, same, stage_of
from tests.common.methods.worlds import config, context, world


class Student:
    """Sees the class in the red channel; surer the brighter the green one."""

    def scores(self, images: np.ndarray, size: tuple[int, int], output: str) -> np.ndarray:
        """Return probabilities of 19 classes."""
        assert images.dtype == np.uint8 and images.shape[1:] == (3, *size) and output == "coarse_probabilities"
        sure = 0.5 + images[:, 1].astype(np.float32) / 600
        scores = np.repeat((1 - sure)[:, None] / 18, 19, axis=1)
        np.put_along_axis(scores, images[:, :1].astype(np.int64) - 200, sure[:, None], axis=1)
        return scores


@pytest.mark.parametrize("without", [False, True])
def test_pseudo_labels_of_a_round(tmp_path: Path, without: bool) -> None:
    """All target images count in the thresholds; the next round reads the files."""
    of = config({"name": "ddm", "rounds": 2, "exclude_labelled": without}, evaluate={"batch_size": 3})
    folder = tmp_path / "files"
    made = stage_of(of, "round1/pseudo").produce(context(of, "round1/pseudo", folder), Student())
    names = [n for i, n in enumerate(world().target.names) if not (without and i in (2, 5))]
    assert len(list(folder.rglob("*.png"))) == len(names) and (folder / THRESHOLDS).exists()
    assert made["portion"] == 0.5 and 0.5 <= made["kept"] < 0.6 and made["precision"] == 1.0
    label = read_pseudo_label(folder, names[0], (8, 16))
    assert set(np.unique(label)) == {0, 255} and sorted(p.name for p in tmp_path.iterdir()) == ["files"]
    assert drawn(builder(of, "round2/sample", folder), "target_label", 3)


class Teacher:
    """Gives every image logits that tell the image and the teacher."""

    def __init__(self, offset: float):
        self.offset = offset

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return (N, 19, 2, 3) float32."""
        return np.ones((1, 19, 2, 3), np.float32) * images[:, :1, :1, :1].astype(np.float32) + self.offset


def test_cached_teachers(tmp_path: Path) -> None:
    """Each teacher predicts every unlabelled image once; the student's batches carry both, region level first."""
    of = config({"name": "ddm", "rounds": 1, "cache_teachers": True}, evaluate={"batch_size": 3})
    names = [stage.name for stage in stages(of)]
    cached = ("round1/region_logits", "round1/sample_logits")
    assert names == ["round1/region", "round1/sample", *cached, "round1/student"]
    folders = {name: tmp_path / name for name in cached}
    for name, offset in zip(cached, (0.25, 0.5)):
        stage = stage_of(of, name)
        assert stage.frozen == {"teacher": name.removesuffix("_logits")} and not stage.score
        assert stage.produce(context(of, name, folders[name]), Teacher(offset)) == {"images": 8}
    student = stage_of(of, "round1/student")
    assert student.frozen == {} and student.reads == cached
    build = student.batches(StageContext(of, world(), student.name, tmp_path, folders))
    plain = builder(config({"name": "ddm", "rounds": 1}), "round1/student")
    for step in range(4):
        batch, logits = plain(step), build(step)["teacher_logits"]
        assert logits.shape == (2, 2, 19, 2, 3) and logits.dtype == np.float16
        red = batch["unlabelled_image"][:, 0, :1, :1, None, None].astype(float)
        assert np.array_equal(logits[:, :1], red + 0.25 + np.zeros((1, 1, 19, 2, 3)))
        assert np.array_equal(logits[:, 1:], red + 0.5 + np.zeros((1, 1, 19, 2, 3)))
        assert same({key: build(step)[key] for key in batch}, batch)


def test_cached_teachers_have_limits(tmp_path: Path) -> None:
    """Images must stay as they are, and logits fit float16; a lost file is named."""
    with pytest.raises(UserError, match=r"cache_teachers.*augment"):
        stages(config({"name": "ddm", "cache_teachers": True}, data={"augment": {"flip": 0.5}}))
    of = config({"name": "ddm", "rounds": 1, "cache_teachers": True})
    stage = stage_of(of, "round1/region_logits")
    with pytest.raises(UserError, match=r"camera_000.*do not fit float16"):
        stage.produce(context(of, stage.name, tmp_path), Teacher(1e5))
    student = stage_of(of, "round1/student")
    with pytest.raises(UserError, match=r"npy: unreadable.*run it again"):
        student.batches(StageContext(of, world(), student.name, tmp_path, dict.fromkeys(student.reads, tmp_path)))(0)
