"""What is run again when something changed since the last run, and what is not."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from common.checkpoint import read_json
from common.stage import Stage
from tests.common.engine_runs import STEPS, config, data, run, stage_batches, stages
from tests.fake_backend import FakeDataset


@pytest.mark.parametrize(
    ("change", "stages_run"),
    [
        ({"settings": config(optim__lr=0.05)}, 3),
        ({"settings": config(train__batch_size=3)}, 3),
        ({"settings": config(train__evaluate_every=4, train__log_every=7, train__checkpoint_every=1)}, 0),
        ({"settings": config(data__workers=3)}, 0),
        ({"settings": config(train__hand_on="best")}, None),
        ({"plan": stages(settings={"lambda": 2})}, 1),  # the objective here ignores it: equal weights, no more to do
        ({"plan": [*stages()[:3], Stage("again", "x", "fake", 6, partial(stage_batches, role="target"))]}, 0.5),
        ({"roles": SimpleNamespace(**{**vars(data()), "source": FakeDataset(9, 77)})}, 3),
    ],
)
def test_what_changed_is_run_again_with_all_that_follows(tmp_path: Path, change: dict, stages_run) -> None:
    """A stage's inputs are its settings, its data and what the stages upstream handed on."""
    run(tmp_path)
    backend = run(tmp_path, **change)
    if stages_run is None:  # chosen by score: every stage's inputs now hold the validation set too
        assert backend.steps_run > 0
    else:
        assert backend.steps_run == stages_run * STEPS
    assert run(tmp_path, **change).steps_run == 0


def test_the_reason_for_running_again_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """By the name of what changed."""
    run(tmp_path)
    capsys.readouterr()
    run(tmp_path, settings=config(optim__lr=0.05))
    printed = capsys.readouterr().out
    assert "[1/4] teacher: runs again, changed: config.optim.lr" in printed
    assert "[2/4] student: runs again, changed: config.optim.lr, upstream.frozen.teacher, upstream.start" in printed


def test_a_new_way_of_scoring_scores_again_without_training(tmp_path: Path) -> None:
    """And leaves the weights alone."""
    run(tmp_path)
    marker = tmp_path / "stages" / "student" / "done.json"
    before = read_json(marker)
    assert run(tmp_path, settings=config(classes__left_out=["red"], evaluate__batch_size=2)).steps_run == 0
    after = read_json(marker)
    assert after["outputs"] == before["outputs"]
    for which in ("last", "best"):
        green_and_blue = [after["scores"][which]["iou"][name] for name in ("green", "blue")]
        assert after["scores"][which]["value"] == pytest.approx(np.mean(green_and_blue), abs=0.006)
        assert after["scores"][which]["iou"] == before["scores"][which]["iou"]


def test_what_is_finished_and_unchanged_is_not_run_again(whole: Path) -> None:
    """Not a step, not a file touched."""
    before = {path: path.stat().st_mtime_ns for path in (whole / "stages").rglob("*")}
    assert run(whole).steps_run == 0
    assert {path: path.stat().st_mtime_ns for path in (whole / "stages").rglob("*")} == before
