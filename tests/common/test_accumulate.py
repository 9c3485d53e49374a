"""Steps of several micro-batches: what they see, and that the engine takes a step of them for one."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from common import checkpoint
from common.accumulate import counted, micro_batches, parts, steps
from common.config import load_config
from common.errors import UserError
from common.methods import stages as stages_of
from common.stage import Stage, StageContext
from tests.common.engine_runs import config, final_state, losses, run, stage_batches
from tests.common.methods.worlds import config as ddm_config
from tests.fake_backend import FakeObjective

MICRO, STEPS = 3, 5


def plan() -> list[Stage]:
    """One stage."""
    return [Stage("teacher", "teacher", "fake", STEPS, partial(stage_batches, role="source"))]


class Averaging(FakeObjective):
    """The fake objective, which takes several micro-batches for one batch of all their images."""

    seen: list[int] = []

    def step(self, batch, lr: float) -> dict:
        each = parts(batch)
        self.seen.append(len(each))
        return super().step({key: np.concatenate([one[key] for one in each]) for key in ("image", "label")}, lr)


@pytest.fixture
def averaging(monkeypatch):
    monkeypatch.setattr("tests.fake_backend.FakeObjective", Averaging)
    monkeypatch.setattr(Averaging, "seen", [])
    return Averaging.seen


def test_a_micro_batch_is_the_batch_of_a_further_rank():
    """On two ranks with three micro-batches each: what six ranks see, in order."""
    of = ddm_config({"name": "ddm"})
    numbers = Stage("numbers", "", batches=lambda context: lambda step: {"at": np.array(context.positions(step, 2))})
    of = of.model_copy(update={"train": of.train.model_copy(update={"accumulate": MICRO})})
    found = np.zeros((4, MICRO, 2, 2), int)
    for rank in range(2):
        build = micro_batches(numbers, StageContext(of, None, "numbers", Path(), {}, rank=rank, world=2))
        for number in range(4 * MICRO):
            found[number // MICRO, number % MICRO, rank] = build(number)["at"]
    assert found.ravel().tolist() == list(range(4 * MICRO * 2 * 2))


def test_labelled_pixels_are_counted_over_the_step():
    labels = [np.array([[[0, 255], [-1, 2]]], np.int32), np.array([[[0, 1], [1, 2]]], np.int32)]
    batches = [{"x_label": one, "y_label": np.array([1], np.int32), "x_image": one} for one in labels]
    first, second = counted(batches)
    assert first["x_count"] == second["x_count"] == 3.0
    assert first["x_count"].dtype == np.float32
    assert sorted(first) == ["x_count", "x_image", "x_label", "y_label"]
    assert "x_count" not in batches[0]


def test_without_accumulation_batches_pass_as_they_are():
    batches = [{"a": np.zeros(1)}, {"a": np.ones(1)}]
    assert [one is other for one, other in zip(steps(iter(batches), 1), batches)] == [True, True]


def test_the_engine_counts_steps_not_micro_batches(tmp_path, averaging):
    whole = config(train__accumulate=MICRO)
    backend = run(tmp_path / "whole", whole, plan())
    assert (backend.steps_run, averaging) == (STEPS, [MICRO] * STEPS)
    (last, *_) = reversed(checkpoint.steps(tmp_path / "whole/stages/teacher/checkpoints"))
    assert checkpoint.read_json(last / checkpoint.STATE)["accumulate"] == MICRO


def test_a_cut_run_goes_on_with_the_same_micro_batches(tmp_path, averaging):
    """Cut after step 4, between two checkpoints."""
    settings = config(train__accumulate=MICRO)
    run(tmp_path / "whole", settings, plan())
    with pytest.raises(UserError, match="not finite"):
        run(tmp_path / "cut", settings, plan(), poison_at=3)
    run(tmp_path / "cut", settings, plan())
    assert final_state(tmp_path / "cut") == final_state(tmp_path / "whole")
    assert losses(tmp_path / "cut")[-1] == losses(tmp_path / "whole")[-1]


def test_stages_may_have_their_own():
    """IAST's parts, with half the micro-batches in the warm-up."""
    of = load_config("iast/toy", ["train.accumulate=4", "method.warmup.accumulate=2"])
    train = {one.name: one.configured(of).train.accumulate for one in stages_of(of) if one.objective}
    assert train == {name: 2 if name == "warmup" else 4 for name in train}
