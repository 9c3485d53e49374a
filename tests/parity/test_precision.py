"""Half precision: weights and losses stay float32, small gradients survive by scaling, overflow skips a step."""

import numpy as np
import pytest

from common.backends import open_backend
from common.errors import UserError
from common.loss_scale import LossScale
from tests.parity.small import batch, build, configuration

LR = 0.05
NEAR = {"bf16": 2e-2, "fp16": 5e-3}  # relative, of losses of a small network


def make(side, precision: str, **train):
    backend = open_backend(side.name, device="cpu", compile=False)
    model = build(backend, "ddm_region", configuration("ddm_region", train={"precision": precision, **train}))
    if precision == "fp16":
        rescale(model, 2.0**10)  # the first steps would only look for a scale that fits
    return model


def rescale(model, scale: float) -> dict:
    """Change the scale of the loss; return the state."""
    state = model.state()
    state["scaler"] = {"scale": np.array(scale, np.float32), "good_steps": np.array(0, np.int64)}
    model.load_state(state)
    return state


def losses(model, count: int) -> list[float]:
    return [float(model.backend.numpy(model.step(batch("ddm_region"), LR)["loss"])) for _ in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_learns_as_float32_does(side, precision):
    if (side.name, precision) == ("mindspore", "bf16"):
        with pytest.raises(UserError, match="no bf16 convolution on the CPU"):
            make(side, precision)
        return
    whole, half = make(side, "fp32"), make(side, precision)
    want, got = losses(whole, 3), losses(half, 3)
    assert got == pytest.approx(want, rel=NEAR[precision])
    assert got != want
    state = half.state()
    assert {value.dtype.kind for value in state["model"].values()} <= {"f", "i"}
    assert all(value.dtype == np.float32 for value in state["model"].values() if value.ndim)
    logits = half.backend.numpy(half.predict(batch("ddm_region")["mixed_image"]))
    assert np.isfinite(logits.astype(np.float32)).all()


def test_overflow_skips_the_step_and_halves_the_scale(side):
    model = make(side, "fp16")
    state = rescale(model, 2.0**64)
    assert np.isfinite(losses(model, 1)).all()
    after = model.state()
    assert float(after["scaler"]["scale"]) == 2.0**63
    for name, value in state["optimizer"].items():
        assert np.array_equal(after["optimizer"][name], value)
    assert np.array_equal(after["model"]["conv1.weight"], state["model"]["conv1.weight"])
    rescale(model, 2.0**10)
    losses(model, 1)
    assert not np.array_equal(model.state()["model"]["conv1.weight"], state["model"]["conv1.weight"])


@pytest.mark.slow
def test_the_scale_is_part_of_the_state(side):
    whole, cut, again = (make(side, "fp16") for _ in range(3))
    want = losses(whole, 3)
    losses(cut, 2)
    again.load_state(cut.state())
    assert losses(again, 1) == want[2:]
    assert int(again.state()["scaler"]["good_steps"]) == 3


def test_batch_norm_over_ranks_needs_a_device_that_can(side):
    with pytest.raises(UserError, match="sync_bn"):
        make(side, "fp32", sync_bn=True)


def test_recomputing_changes_no_result(side):
    want, got = make(side, "fp32"), make(side, "fp32", recompute=True)
    assert losses(got, 2) == pytest.approx(losses(want, 2), rel=1e-6)


def test_loss_scale_grows_slowly_and_shrinks_at_once():
    scale = LossScale()
    first = scale.scale
    for _ in range(1999):
        scale.update(finite=True)
    assert (scale.scale, scale.good_steps) == (first, 1999)
    scale.update(finite=True)
    assert (scale.scale, scale.good_steps) == (2 * first, 0)
    scale.update(finite=True)
    scale.update(finite=False)
    assert (scale.scale, scale.good_steps) == (first, 0)
    for _ in range(100):
        scale.update(finite=False)
    assert scale.scale == 1.0
    other = LossScale()
    other.load_state(scale.state())
    assert (other.scale, other.good_steps) == (1.0, 0)
    with pytest.raises(UserError, match="missing"):
        other.load_state({"scale": np.array(1.0)})


def test_synchronised_batch_norm_keeps_every_name_and_number(side):
    """Whatever the device, the network that trains over ranks saves and predicts as the plain one."""
    model = make(side, "fp32")
    network, images = model.network, model.normalise(model.backend.tensor(batch("ddm_region")["mixed_image"]))
    before = side.weights.get_weights(network)
    trainable = side.training.parameter_groups(network)
    want = side.numpy(side.predict.main_logits(network, images))
    device = {"torch": "cuda:0", "mindspore": "ascend"}[side.name]
    network = side.module("execution").synchronise(network, device)
    kinds = set(side.weights.layer_kinds(network).values())
    assert "SyncBatchNorm" in kinds
    assert "BatchNorm2d" not in kinds
    after = side.weights.get_weights(network)
    assert list(after) == list(before)
    assert all(np.array_equal(after[name], value) for name, value in before.items())
    groups = side.training.parameter_groups(network)
    assert {name: list(group) for name, group in groups.items()} == {n: list(g) for n, g in trainable.items()}
    assert np.array_equal(side.numpy(side.predict.main_logits(network, images)), want)


@pytest.mark.slow
@pytest.mark.parametrize("train", [{"precision": "fp16"}, {"recompute": True}], ids=["fp16", "recompute"])
@pytest.mark.parametrize("objective", ["iast_warmup", "iast_self_training"])
def test_iast_trains_in_less_memory(side, objective, train):
    """Half precision and recomputing change a step of IAST, with its discriminator, by rounding alone."""
    found = []
    for options in ({}, train):
        backend = open_backend(side.name, device="cpu", compile=False)
        model = build(backend, objective, configuration(objective, train=options))
        if options.get("precision"):
            rescale(model, 2.0**10)
        steps = [model.step(batch(objective), 0.01) for _ in range(2)]
        found.append([float(backend.numpy(value)) for losses in steps for value in losses.values()])
    assert found[1] == pytest.approx(found[0], rel=NEAR["fp16"], abs=1e-3)
