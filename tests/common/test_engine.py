"""The engine on a backend without a framework: stages, resuming to the bit, what is run again and what is not."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from common import checkpoint
from common.checkpoint import read_json
from common.config import Config
from common.draws import generator
from common.engine import Engine
from common.errors import UserError
from common.log import RunLog, read_journal
from common.pictures import read_png, write_png
from common.run_folder import RunFolder
from common.stage import Stage
from common.stop import Stopped, StopSignal
from tests.fake_backend import FakeBackend, FakeDataset

ROOT = Path(__file__).resolve().parents[2]
STEPS = 12


def config(**changes) -> Config:
    """A configuration with the engine's settings and whatever else the schema asks for."""
    tree = {
        "name": "fake",
        "data": {"val": {"layout": "folders", "root": "nowhere"}, "workers": 0},
        "classes": {"set": "custom", "names": ["red", "green", "blue"]},
        "method": {"name": "supervised"},
        "optim": {"lr": 0.1},
        "train": {"log_every": 4, "checkpoint_every": 3, "evaluate_every": 5, "batch_size": 2},
    }
    for name, value in changes.items():
        section, key = name.split("__")
        tree.setdefault(section, {})[key] = value
    return Config.model_validate(tree)


def data(seed: int = 0) -> SimpleNamespace:
    """Datasets by role."""
    return SimpleNamespace(source=FakeDataset(9, seed), target=FakeDataset(7, seed + 1), val=FakeDataset(5, seed + 2))


def stage_batches(context, role: str):
    """Two images a step, drawn by position."""

    def batch(step: int) -> dict:
        dataset = getattr(context.data, role)
        rng = generator(context.config.seed, context.stage, step)
        picked = rng.integers(len(dataset), size=context.config.train.batch_size)
        images = np.stack([dataset.image(i).transpose(2, 0, 1) for i in picked])
        return {"image": images, "label": np.stack([dataset.label(i) for i in picked]).astype(np.int32)}

    return batch


def write_labels(context, predictor) -> dict:
    """Label the target set."""
    for index in range(len(context.data.target)):
        image = context.data.target.image(index)
        labels = predictor.labels(image.transpose(2, 0, 1)[None], image.shape[:2])[0]
        write_png(context.folder / "city" / f"{index}.png", labels)
    return {"kept": 0.5, "precision": None}


def stages(steps: int = STEPS, settings: dict | None = None) -> list[Stage]:
    """A teacher, a student beside the frozen teacher, a pass that labels, and a stage that reads the labels."""
    source, target = partial(stage_batches, role="source"), partial(stage_batches, role="target")
    return [
        Stage("teacher", "teacher", "fake", steps, source, settings=settings or {}),
        Stage("student", "student", "fake", steps, target, start="teacher", frozen={"teacher": "teacher"}),
        Stage("labels", "labels", produce=write_labels, frozen={"student": "student"}, score=False),
        Stage("again", "student again", "fake", steps, target, reads=("labels",)),
    ]


class Killed(BaseException):
    """Stands for kill -9 inside a test: nothing gets to clean up."""


def run(out: Path, settings: Config | None = None, plan: list[Stage] | None = None, **options) -> FakeBackend:
    """One run or its continuation; returns the backend, which counts its steps."""
    backend = options.pop("backend", None) or FakeBackend(poison_at=options.pop("poison_at", None))
    folder, settings = RunFolder(out), settings or config()
    folder.open("config: here", "command", resume=options.pop("resume", True), overwrite=False)
    try:
        roles = options.pop("roles", None) or data()
        engine = Engine(settings, backend, plan or stages(), roles, folder, RunLog(folder))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("common.examples.WIDTH", 40)  # pixels; these tests write thousands of pictures
            engine.run(options.pop("wanted", "*"))
    finally:
        folder.close()
    return backend


def final_state(out: Path) -> dict[str, bytes]:
    """Everything of a finished run that must not depend on how it was cut: weights, moments, memory, files, scores."""
    found = {}
    for path in sorted((out / "stages").rglob("*")):
        if path.suffix in (".npz", ".png"):
            found[str(path.relative_to(out))] = path.read_bytes()
        if path.name == "done.json":
            kept = {key: read_json(path)[key] for key in ("outputs", "scores", "digest")}
            found[str(path.relative_to(out))] = json.dumps(kept).encode()
    return found


def losses(out: Path) -> list[tuple]:
    """What metrics.jsonl says, without times."""
    kept = ("stage", "step", "loss", "main", "scale", "lr", "mIoU", "accuracy", "final")
    return [tuple(entry.get(key) for key in kept) for entry in read_journal(out / "metrics.jsonl")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never cut."""
    out = tmp_path_factory.mktemp("whole")
    run(out)
    return out


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


def test_what_is_finished_and_unchanged_is_not_run_again(whole: Path) -> None:
    """Not a step, not a file touched."""
    before = {path: path.stat().st_mtime_ns for path in (whole / "stages").rglob("*")}
    assert run(whole).steps_run == 0
    assert {path: path.stat().st_mtime_ns for path in (whole / "stages").rglob("*")} == before


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


def test_the_best_weights_are_handed_on_when_asked(tmp_path: Path) -> None:
    """To the stage that starts from them and as the frozen teacher; chosen on the validation set."""
    seen: list[dict] = []

    class Watched(FakeBackend):
        def build(self, *args, frozen=None):
            seen.append(frozen)
            return super().build(*args, frozen=frozen)

    settings = config(train__hand_on="best", train__evaluate_every=1, optim__lr=0.9)
    run(tmp_path, settings=settings, backend=Watched())
    scores = read_json(tmp_path / "stages" / "teacher" / "done.json")["scores"]
    assert scores["best"]["step"] < STEPS and scores["best"]["value"] > scores["last"]["value"]
    best, _ = checkpoint.load(FakeBackend(), tmp_path / f"stages/teacher/best/step-{scores['best']['step']:06d}")
    assert set(best) == {"model", "ema"}
    assert np.array_equal(seen[1]["teacher"]["weight"], best["ema"]["weight"])


def test_several_ranks_stop_together() -> None:
    """A signal to any of them counts, at a step at which all ask."""
    backend = FakeBackend()
    backend.world, backend.average = 2, lambda values: dict.fromkeys(values, 0.5)  # the other rank was told
    with StopSignal(backend) as stop, stop.at_next_step():
        assert stop.asked(together=False) == 0
        assert stop.asked(together=True) == signal.SIGTERM


def test_a_second_signal_stops_at_once() -> None:
    """As does one outside a step."""
    with StopSignal(FakeBackend()) as stop:
        with stop.at_next_step():
            os.kill(os.getpid(), signal.SIGINT)
            assert stop.asked(together=True) == signal.SIGINT
            with pytest.raises(Stopped):
                os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGTERM)


def test_only_the_stages_asked_for(tmp_path: Path) -> None:
    """What they need must be finished; a pattern that fits nothing lists the stages."""
    with pytest.raises(UserError, match="student needs teacher, not finished"):
        run(tmp_path, wanted="student")
    assert run(tmp_path, wanted="teacher").steps_run == STEPS
    assert run(tmp_path, wanted="st*").steps_run == STEPS
    with pytest.raises(UserError, match="no such stage; the stages are: teacher, student, labels, again"):
        run(tmp_path, wanted="round1")
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


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_stops(whole: Path, tmp_path: Path, signum: int) -> None:
    """After the step in which it came, at a step where no checkpoint was due."""

    class Signalled(FakeBackend):
        def memory_gib(self) -> float:  # called when step 4 is logged
            if self.steps_run == 4:
                os.kill(os.getpid(), signum)
            return 0.5

    with pytest.raises(Stopped, match=r"teacher: stopped and saved after step 5 of 12") as caught:
        run(tmp_path, backend=Signalled())
    assert caught.value.status == 128 + signum
    assert [p.name for p in checkpoint.steps(tmp_path / "stages/teacher/checkpoints")] == ["step-000003", "step-000005"]
    run(tmp_path)
    assert final_state(tmp_path) == final_state(whole)


@pytest.mark.parametrize("error", [28, 30])
def test_a_disk_that_refuses_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    """Full or read-only; what was saved stays, and the run goes on when there is room again."""
    calls = 0

    def write(self, part: dict, path: Path) -> None:
        nonlocal calls
        calls += 1
        if calls > 8:
            path.write_bytes(b"half")
            raise OSError(error, os.strerror(error), str(path))
        save(self, part, path)

    save = FakeBackend.save
    monkeypatch.setattr(FakeBackend, "save", write)
    with pytest.raises(UserError, match=rf"not written \({os.strerror(error)}\); what was saved before is untouched"):
        run(tmp_path)
    assert not list(tmp_path.rglob("*.part"))
    monkeypatch.setattr(FakeBackend, "save", save)
    assert run(tmp_path).steps_run < 3 * STEPS


VICTIM = """
import sys
from pathlib import Path
from tests.common.test_engine import run
from tests.fake_backend import FakeBackend
run(Path(sys.argv[1]), backend=FakeBackend(seconds=0.03))
"""


@pytest.mark.slow
def test_killed_at_random_moments_it_still_ends_the_same(whole: Path, tmp_path: Path) -> None:
    """kill -9 a process again and again until one comes to the end."""
    rng, kills = random.Random(7), 0
    command = [sys.executable, "-c", VICTIM, str(tmp_path)]
    while True:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        give_up = time.monotonic() + 60 if kills == 12 else time.monotonic() + rng.uniform(0.6, 1.4)
        while process.poll() is None and time.monotonic() < give_up:
            time.sleep(0.01)
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        kills += 1
        for folder in (tmp_path / "stages").rglob("step-*"):
            checkpoint.verify(folder)
    assert process.returncode == 0, process.stderr.read().decode()[-2000:]
    assert kills > 1
    assert final_state(tmp_path) == final_state(whole)
    assert losses(tmp_path) == losses(whole)
