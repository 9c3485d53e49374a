"""Gradients of micro-batches, averaged: one step is what one batch of all their images does (BatchNorm frozen)."""

import numpy as np
import pytest

from common.accumulate import counted
from common.backends import open_backend
from tests.compare import assert_change, assert_close
from tests.parity import small_diga, test_augkd
from tests.parity.rank_worker import started
from tests.parity.small import batch, build, configuration
from tests.parity.test_precision import rescale
from tests.tolerances import GRADIENT
from tests.twins import twin

STEPS = 2
STATISTICS = ("running_mean", "running_var", "num_batches_tracked", "moving_mean", "moving_variance")
SLOW, EXHAUSTIVE = pytest.mark.slow, pytest.mark.exhaustive
CASES = [
    pytest.param("torch", "ddm_region"),
    pytest.param("torch", "ddm_student", marks=SLOW),
    pytest.param("torch", "iast_warmup"),
    pytest.param("torch", "iast_self_training"),
    pytest.param("torch", "diga_warmup", marks=SLOW),
    pytest.param("torch", "diga_selftraining", marks=SLOW),
    pytest.param("torch", "supervised_classes"),
    pytest.param("torch", "mme"),
    pytest.param("mindspore", "ddm_region", marks=SLOW),
    pytest.param("mindspore", "iast_warmup", marks=SLOW),
    pytest.param("mindspore", "iast_self_training", marks=EXHAUSTIVE),
    pytest.param("mindspore", "diga_selftraining", marks=EXHAUSTIVE),
    pytest.param("mindspore", "mme", marks=SLOW),
]

TWICE = [
    pytest.param("torch", "ape"),
    pytest.param("torch", "diga_translator"),
    pytest.param("torch", "augkd_datafree"),
    pytest.param("mindspore", "diga_translator", marks=EXHAUSTIVE),
    pytest.param("mindspore", "augkd_datafree", marks=EXHAUSTIVE),
]


def halves(arrays: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """Return the micro-batches of one image each of a batch of two."""
    return counted([small_diga.of_rank(arrays, number) for number in range(2)])


@pytest.mark.parametrize(("backend", "objective"), CASES)
def test_micro_batches_equal_one_batch(backend, objective):
    """Losses, weights, moments, averaged copies and memories; labels of the two images are ignored in other parts."""
    opened = open_backend(backend, device="cpu", compile=False)
    runs = []
    for form in (dict, halves):
        model, batches, lr = started(opened, objective, frozen=True)
        before = model.state()
        losses = [model.step(form(one), lr) for one in batches[:STEPS]]
        runs.append((np.array([[float(opened.numpy(v)) for v in one.values()] for one in losses]), model.state()))
    (want_losses, want), (losses, state) = runs
    assert_close("losses", losses, want_losses, GRADIENT)
    for part, arrays in want.items():
        for key, value in arrays.items():
            assert_change(f"{part} {key}", state[part][key], value, before[part][key], GRADIENT)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "objective"), TWICE)
def test_a_batch_twice_is_that_batch_once(name, objective):
    """To the bit, where a step's updates follow one another or its losses have kinks; running statistics move twice."""
    states = []
    for count in (1, 2):
        if objective == "augkd_datafree":
            config = test_augkd.configuration({}, test_augkd.SMOOTH)
            model, _ = test_augkd.build(twin(name), config, objective)
            one, lr = test_augkd.batch(config, objective), test_augkd.LR
        else:
            model, (one, *_), lr = started(open_backend(name, device="cpu", compile=False), objective, frozen=True)
        before = model.state()
        model.step(counted([one] * count) if count > 1 else one, 0.1 * lr)
        states.append(model.state())
    moved = 0
    for part, arrays in states[0].items():
        for key, value in arrays.items():
            if not key.endswith(STATISTICS):
                assert np.array_equal(states[1][part][key], value), f"{part} {key}"
                moved += not np.array_equal(before[part][key], value)
    assert moved > len(states[0]["model"]) // 2


@pytest.mark.slow
def test_overflow_is_looked_for_once_a_step(side):
    """The scale counts steps; a step with one overflowing micro-batch is skipped as a whole."""
    backend = open_backend(side.name, device="cpu", compile=False)
    model = build(backend, "ddm_region", configuration("ddm_region", train={"precision": "fp16"}))
    rescale(model, 2.0**10)
    model.step(halves(batch("ddm_region")), 0.05)
    assert int(model.state()["scaler"]["good_steps"]) == 1
    state = rescale(model, 2.0**64)
    model.step(halves(batch("ddm_region")), 0.05)
    after = model.state()
    assert float(after["scaler"]["scale"]) == 2.0**63
    assert np.array_equal(after["model"]["conv1.weight"], state["model"]["conv1.weight"])
