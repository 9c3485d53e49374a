"""Stages that differ from the run in some settings, and weights of a moment that later stages refer to."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from common import checkpoint
from common.checkpoint import read_json
from common.run_folder import RunFolder
from common.stage import Stage, reference
from common.stop import Stopped
from tests.common.engine_runs import config, final_state, losses, run, stage_batches
from tests.fake_backend import FakeBackend


def stages(lr: float = 0.05, snapshot: int = 4) -> list[Stage]:
    """A teacher with a snapshot, and a student of another rate and batch size that starts from the end of it."""
    source, target = partial(stage_batches, role="source"), partial(stage_batches, role="target")
    changes = {"optim": {"lr": lr}, "train": {"batch_size": 1}}
    frozen = {"generator": f"teacher@{snapshot}"}
    return [
        Stage("teacher", "teacher", "fake", 8, source, snapshots=(snapshot, 6)),
        Stage("student", "student", "fake", 8, target, start="teacher@last", frozen=frozen, changes=changes),
    ]


def test_reference() -> None:
    """A stage alone, and a stage with a choice of its weights."""
    assert reference("round1/train") == ("round1/train", None, None)
    assert reference("warmup@best") == ("warmup", "best", None)
    assert reference("learn:generator") == ("learn", None, "generator")
    assert reference("learn@40:generator") == ("learn", "40", "generator")
    assert Stage("x", "x", start="a@best", frozen={"g": "b@12"}, reads=("a",)).upstream() == ("a", "b")


def test_changes_are_checked_and_leave_the_run_alone() -> None:
    """Only the sections named change, by the rules of the schema."""
    whole = config()
    changed = Stage("x", "x", changes={"optim": {"lr": 0.5}}).configured(whole)
    assert (changed.optim.lr, whole.optim.lr) == (0.5, 0.1) and changed.train == whole.train
    with pytest.raises(ValueError, match="lr"):
        Stage("x", "x", changes={"optim": {"lr": -1.0}}).configured(whole)


def test_a_stage_runs_under_its_own_settings(tmp_path: Path) -> None:
    """The student's rate is its own; the frozen weights are those of the snapshot."""
    run(tmp_path, plan=stages())
    rates = {row[0]: row[5] for row in losses(tmp_path) if row[5] is not None and row[1] == 4}
    assert rates["student"] == pytest.approx(rates["teacher"] / 2)
    made = read_json(tmp_path / "stages/teacher/done.json")["outputs"]
    assert set(made["snapshots"]) == {"4", "6"} and made["snapshots"]["4"] != made["last"]
    inputs = read_json(tmp_path / "stages/student/done.json")["inputs"]
    assert inputs["upstream"]["frozen"]["generator"] == made["snapshots"]["4"]
    assert inputs["upstream"]["start"] == made["last"] and inputs["config"]["images_a_step"] == 1


def test_changes_and_snapshots_run_only_what_they_touch_again(tmp_path: Path) -> None:
    """Another rate of the student leaves the teacher alone; another snapshot makes both run again."""
    run(tmp_path, plan=stages())
    assert run(tmp_path, plan=stages(lr=0.02)).steps_run == 8
    assert run(tmp_path, plan=stages(lr=0.02, snapshot=5)).steps_run == 16


def test_cut_between_snapshots_it_ends_the_same(tmp_path: Path) -> None:
    """A stage that was stopped and resumed keeps the same snapshots as one that was not."""
    run(tmp_path / "whole", plan=stages())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("common.stop.StopSignal.asked", lambda self, together=True: self._count() == 5)
        patch.setattr("common.stop.StopSignal._count", _counter(), raising=False)
        with pytest.raises(Stopped):
            run(tmp_path / "cut", plan=stages())
    run(tmp_path / "cut", plan=stages())
    assert final_state(tmp_path / "cut") == final_state(tmp_path / "whole")


def _counter():
    calls = iter(range(1, 10_000))
    return lambda self: next(calls)


def test_half_precision_is_for_training_alone(tmp_path: Path) -> None:
    """A pass predicts in float32; a teacher that takes part in a step computes as the step does."""
    built = []

    class Recording(FakeBackend):
        def build(self, config, objective, frozen=None):
            built.append((config.train.precision, sorted(frozen or {})))
            return super().build(config, objective, frozen)

    run(tmp_path, config(train__precision="fp16"), backend=Recording())
    assert built == [("fp16", []), ("fp16", ["teacher"]), ("fp32", ["teacher"]), ("fp16", [])]
    markers = {name: read_json(tmp_path / f"stages/{name}/done.json")["inputs"] for name in ("student", "labels")}
    assert [markers[name]["config"]["train"]["precision"] for name in markers] == ["fp16", "fp32"]


def test_a_missing_snapshot_is_one_line(tmp_path: Path) -> None:
    """A snapshot that is gone is named."""
    run(tmp_path, plan=stages())
    checkpoint.remove(tmp_path / "stages/teacher/snapshots/step-000004")
    with pytest.raises(Exception, match="step-000004: no such snapshot"):
        RunFolder(tmp_path).stage("teacher").handed_on("4")


def test_a_stage_without_steps_hands_on_the_weights_it_was_given(tmp_path: Path) -> None:
    """As imported networks need: it is saved and scored like any other, and not run again."""
    target = partial(stage_batches, role="target")
    plan = [Stage("model", "model", "fake"), Stage("student", "student", "fake", 4, target, start="model")]
    assert run(tmp_path, plan=plan).steps_run == 4
    marker = read_json(tmp_path / "stages/model/done.json")
    assert "last" in marker["outputs"] and marker["scores"]["last"]["step"] == 0
    assert (tmp_path / "stages/model/checkpoints/step-000000/manifest.json").exists()
    assert run(tmp_path, plan=plan).steps_run == 0


@pytest.mark.parametrize("part", ["model", "ema"])
def test_a_pass_may_use_another_network_of_a_stage(tmp_path: Path, part: str) -> None:
    """By its part of the state, such as the teacher beside a student; the predictor then has those weights."""
    seen = []

    def produce(context, predictor) -> dict:
        seen.append(predictor.weights)
        return {}

    run(tmp_path, plan=[*stages()[:1], Stage("labels", "", produce=produce, frozen={"network": f"teacher:{part}"})])
    place = RunFolder(tmp_path).stage("teacher").handed_on("last")
    parts, _ = checkpoint.load(FakeBackend(), place)
    assert all(np.array_equal(seen[0][name], array) for name, array in parts[part].items())
    assert not np.array_equal(parts["model"]["weight"], parts["ema"]["weight"])
