"""The engine on a backend without a framework: stages, resuming to the bit, runs that must not go on."""

from pathlib import Path

import numpy as np
import pytest

from common import checkpoint
from common.checkpoint import read_json
from common.errors import UserError
from common.log import read_journal
from common.pictures import read_png
from common.run_folder import RunFolder
from tests.common.engine_runs import STEPS, final_state, losses, run
from tests.fake_backend import FakeBackend


class Killed(BaseException):
    """Stands for kill -9 inside a test: nothing gets to clean up."""


def test_a_run_trains_scores_and_produces(whole: Path) -> None:
    """The folder holds what its description promises."""
    student = whole / "stages" / "student"
    assert [p.name for p in checkpoint.steps(student / "checkpoints")] == ["step-000012"]
    parts, info = checkpoint.load(FakeBackend(), student / "checkpoints" / "step-000012")
    assert set(parts) == {"model", "optimizer", "ema", "memory"}
    assert (info["step"], info["stage"], info["backend"], info["world"]) == (12, "student", "fake", 1)
    last, best = (read_json(student / "done.json")["scores"][which] for which in ("last", "best"))
    assert last["value"] > 60 and best["value"] >= last["value"]
    assert set(last["iou"]) == {"red", "green", "blue"}
    assert len(list((whole / "stages" / "labels" / "files" / "city").iterdir())) == 7
    assert read_json(whole / "stages" / "labels" / "done.json")["made"] == {"kept": 0.5, "precision": None}
    folders = student / "examples/val", whole / "examples/val/truth"
    shown, truth = (read_png(next(folder.iterdir())) for folder in folders)
    assert shown.shape == truth.shape
    steps = [entry["step"] for entry in read_journal(whole / "metrics.jsonl") if entry["stage"] == "student"]
    assert steps == [4, 5, 8, 10, 12, 12]
    assert not list(whole.rglob(".*.part"))


@pytest.mark.parametrize("cut", [*range(1, STEPS + 3), 18, 23, 24, 25, 30, 35])
def test_resumed_at_any_step_it_ends_the_same_to_the_bit(whole: Path, tmp_path: Path, cut: int) -> None:
    """Killed in the middle of step ``cut``, of whatever stage, then resumed."""

    class Mortal(FakeBackend):
        def numpy(self, value):
            return np.array(value)

        @property
        def steps_run(self) -> int:
            return self._count

        @steps_run.setter
        def steps_run(self, count: int) -> None:
            self._count = count
            if count == cut:
                raise Killed

    with pytest.raises(Killed):
        run(tmp_path, backend=Mortal())
    backend = run(tmp_path)
    assert backend.steps_run < 3 * STEPS - cut + 4  # at most an interval between checkpoints is done twice
    assert final_state(tmp_path) == final_state(whole)
    assert losses(tmp_path) == losses(whole)


def test_only_the_stages_asked_for(tmp_path: Path) -> None:
    """What they need must be finished; a pattern that fits nothing lists the stages."""
    with pytest.raises(UserError, match="student needs teacher, not finished"):
        run(tmp_path, wanted="student")
    assert run(tmp_path, wanted="teacher").steps_run == STEPS
    assert run(tmp_path, wanted="st*").steps_run == STEPS
    with pytest.raises(UserError, match="no such stage; the stages are: teacher, student, labels, again"):
        run(tmp_path, wanted="teacher,round1")
    assert run(tmp_path, wanted="teacher,labels,student").steps_run == 0
    assert run(tmp_path).steps_run == STEPS


@pytest.mark.parametrize("poison_at", [0, 2, STEPS - 1])
def test_a_loss_that_is_not_finite_stops_the_run_and_is_named(tmp_path: Path, poison_at: int) -> None:
    """Nothing is saved after it; resumed without the cause, the run ends as if nothing had been."""
    with pytest.raises(UserError, match=r"teacher, step \d+: a loss is not finite: loss nan, main nan, scale finite"):
        run(tmp_path, poison_at=poison_at)
    saved = [int(p.name[5:]) for p in checkpoint.steps(tmp_path / "stages" / "teacher" / "checkpoints")]
    assert all(step <= poison_at for step in saved)


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    """Even when the losses were: the last step's gradient shows in no loss."""

    class Poisoned(FakeBackend):
        def build(self, *args, **kwargs):
            objective = super().build(*args, **kwargs)
            whole = objective.state
            objective.state = lambda: {**whole(), "model": {"weight": np.full((3, 3), np.inf)}}
            return objective

    with pytest.raises(UserError, match=r"model 'weight' holds values that are not finite"):
        run(tmp_path, backend=Poisoned())
    assert not list((tmp_path / "stages").rglob("*.npz"))


def test_a_damaged_checkpoint_is_passed_over(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """With a warning, and to the same end."""
    with pytest.raises(UserError):
        run(tmp_path, poison_at=10)
    newest = checkpoint.steps(tmp_path / "stages" / "teacher" / "checkpoints")[-1]
    (newest / "optimizer.npz").write_bytes(b"x")
    run(tmp_path)
    assert "step-000009/optimizer.npz: damaged" in capsys.readouterr().out
    assert final_state(tmp_path) == final_state(whole)


def test_an_existing_run_is_not_touched_unasked(tmp_path: Path) -> None:
    """The line names the three ways on."""
    run(tmp_path, wanted="teacher")
    with pytest.raises(UserError, match=r"holds a run; add --resume to continue it, --overwrite or another --out"):
        run(tmp_path, resume=False)
    folder = RunFolder(tmp_path)
    folder.open("new", "command", resume=False, overwrite=True)
    assert not (tmp_path / "stages").exists() and (tmp_path / "config.yaml").read_text() == "new"
    other = RunFolder(tmp_path)
    with pytest.raises(UserError, match="another process is training in this folder"):
        other.open("new", "command", resume=True, overwrite=False)
    folder.close()
    other.open("new", "command", resume=True, overwrite=False)
    other.close()
