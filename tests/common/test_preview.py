"""Pictures of batches: every image beside its label, whatever the stage."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from common.data.labels import CLASS_SETS
from common.preview import batch_sheet
from tests.common.methods.ddm_batches import builder
from tests.common.methods.worlds import config

ROOT = Path(__file__).resolve().parents[2]
CLASSES = CLASS_SETS["cityscapes19"]


@pytest.mark.parametrize(("kind", "columns"), [("region", 3), ("sample", 6), ("student", 4)])
def test_every_stage_can_be_shown(kind: str, columns: int) -> None:
    """Images of different sizes share a row; a domain without labels has one column."""
    batch = builder(config(), f"round1/{kind}")(0)
    widths = [
        array.shape[-1] * (3 if key[:-6] + "_label" in batch else 1) for key, array in batch.items() if "image" in key
    ]
    heights = [array.shape[-2] for key, array in batch.items() if "image" in key]
    picture = batch_sheet(batch, CLASSES)
    assert picture.dtype == np.uint8 and picture.shape[1] == sum(widths) + 4 * (columns + 1)
    assert picture.shape[0] == 18 + 2 * max(heights) + 4 * 3


def test_what_is_no_class_is_ignored() -> None:
    """255 and ids beyond the classes are black in the label, and the bare image in the overlay."""
    image = np.full((1, 3, 4, 6), 90, np.uint8)
    label = np.array([[[0, 255, -1, 19, 1, 0]] * 4])
    picture = batch_sheet({"x_image": image, "x_label": label}, CLASSES)
    painted, both = picture[18:22, 14:20], picture[18:22, 24:30]
    assert painted[0].tolist() == [
        list(CLASSES.colours[0]),
        *[[0] * 3] * 3,
        list(CLASSES.colours[1]),
        list(CLASSES.colours[0]),
    ]
    assert (both[:, 1:4] == 90).all() and not (both[:, 0] == 90).all()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--stage", "round1/teacher"], "no such stage with batches; there are: baselines/source_only"),
        (["--stage", "round9/pseudo"], "no such stage"),
    ],
)
def test_script_names_the_stages(tmp_path: Path, arguments: list[str], line: str) -> None:
    """One line, and nothing written."""
    command = [sys.executable, "scripts/show_batches.py", "ddm/gta5_to_cityscapes_100", "--out", str(tmp_path / "o")]
    done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and line in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "o").exists()
