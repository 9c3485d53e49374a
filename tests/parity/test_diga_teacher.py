"""The BatchNorm statistics of DiGA's teacher: its own in training, an average of the student's in evaluation."""

import numpy as np
import pytest

from common.backends import open_backend
from tests.compare import assert_close
from tests.parity.small_diga import batch, configuration
from tests.tolerances import OPTIMIZER
from tests.twins import TWINS

BACKENDS = [
    pytest.param(name, marks=[pytest.mark.slow, *[pytest.mark.exhaustive] * (name == "mindspore")]) for name in TWINS
]
STATISTICS = ("running_mean", "running_var", "moving_mean", "moving_variance")


def started(name: str, objective: str, mode: str):
    """Return an objective, op by op, whose teacher is asked for in a mode."""
    backend = open_backend(name, device="cpu", compile=False, threads=1)
    return backend.build(configuration("plain", {"teacher_mode": mode}), objective)


def statistics(state: dict, part: str) -> dict[str, np.ndarray]:
    """Return the running statistics of a part of a state."""
    return {key: value for key, value in state[part].items() if key.endswith(STATISTICS)}


@pytest.mark.parametrize("name", BACKENDS)
def test_the_statistics_of_an_evaluated_teacher_follow_the_students(name):
    model = started(name, "diga_selftraining", "eval")
    batches = [batch(model.config, step, model.network.feature_channels) for step in range(2)]
    first = model.state()
    model.step(batches[0], 0.05)  # the first momentum is 0: the teacher is the student
    second = model.state()
    assert all(np.array_equal(second["teacher"][key], value) for key, value in first["model"].items())
    model.step(batches[1], 0.05)
    found, share = statistics(model.state(), "teacher"), float(batches[1]["momentum"])
    assert found and 0 < share < 1
    for key, value in found.items():
        before, student = (second[part][key].astype(np.float64) for part in ("teacher", "model"))
        assert not np.array_equal(before, student)
        assert_close(key, value, share * before + (1 - share) * student, OPTIMIZER)


@pytest.mark.parametrize("name", BACKENDS)
def test_the_teacher_of_the_warmup_trains_whatever_self_training_asks_for(name):
    asked, plain = (started(name, "diga_warmup", mode) for mode in ("eval", "train"))
    before = statistics(plain.state(), "teacher")
    for model in (asked, plain):
        model.step(batch(model.config, 0, 1), 0.05)
    found, want = (statistics(model.state(), "teacher") for model in (asked, plain))
    for key, value in want.items():
        assert not np.array_equal(value, before[key]), key
        assert_close(key, found[key], value, OPTIMIZER)
