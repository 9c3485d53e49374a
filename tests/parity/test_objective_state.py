"""What an objective keeps: its state goes on to the bit, loads strictly, and inspection leaves it alone."""

import numpy as np
import pytest

from common.backends import open_backend
from common.errors import UserError
from tests.compare import assert_close
from tests.parity.small import SIZE, batch, build, configuration
from tests.tolerances import OPTIMIZER

LR, MOMENTUM = 0.05, 0.9
EMA = {"train": {"ema": MOMENTUM}}


def make(side, objective: str = "ddm_region", **sections):
    """Return an objective, run op by op."""
    return build(open_backend(side.name, device="cpu", compile=False), objective, configuration(objective, **sections))


def steps(model, first: int, last: int, objective: str = "ddm_region") -> list[float]:
    """Train on the batches of some steps; return the losses."""
    losses = [model.step(batch(objective, seed=step), LR)["loss"] for step in range(first, last)]
    return [float(model.backend.numpy(loss)) for loss in losses]


def assert_identical(got: dict, want: dict) -> None:
    assert got.keys() == want.keys()
    for part, arrays in want.items():
        assert got[part].keys() == arrays.keys()
        for name, value in arrays.items():
            assert got[part][name].dtype == value.dtype
            assert np.array_equal(got[part][name], value), f"{part} {name}"


@pytest.mark.slow
@pytest.mark.parametrize("optim", [{"name": "sgd"}, {"name": "adamw"}], ids=["sgd", "adamw"])
def test_a_saved_state_goes_on_to_the_bit(side, optim, tmp_path):
    """Through native files, as a run that is cut and resumed."""
    whole, cut, again = (make(side, optim=optim, **EMA) for _ in range(3))
    losses = steps(whole, 0, 4)
    steps(cut, 0, 2)
    backend, saved = cut.backend, {}
    for part, arrays in cut.state().items():
        backend.save(arrays, tmp_path / f"{part}{backend.suffix}")
        saved[part] = backend.load(tmp_path / f"{part}{backend.suffix}")
    again.load_state(saved)
    assert steps(again, 2, 4) == losses[2:]
    assert_identical(again.state(), whole.state())


def test_looking_changes_nothing(side):
    """Predictions and gradients between two steps leave the next step as it would have been."""
    plain, watched = make(side), make(side)
    steps(plain, 0, 2)
    steps(watched, 0, 1)
    before = watched.state()
    watched.predict(batch("ddm_region")["mixed_image"])
    watched.gradients(batch("ddm_region", seed=9))
    assert_identical(watched.state(), before)
    steps(watched, 1, 2)
    assert_identical(watched.state(), plain.state())


def test_a_state_is_a_copy(side):
    model = make(side)
    before = model.state()
    copied = {part: {name: value.copy() for name, value in arrays.items()} for part, arrays in before.items()}
    steps(model, 0, 1)
    assert_identical(before, copied)


def test_the_averaged_copy_follows_weights_and_statistics(side):
    model = make(side, **EMA)
    start = model.state()["model"]
    assert_identical({"ema": model.state()["ema"]}, {"ema": start})
    steps(model, 0, 1)
    state = model.state()
    for name, value in state["ema"].items():
        if value.dtype == np.float32:
            want = MOMENTUM * start[name].astype(np.float64) + (1 - MOMENTUM) * state["model"][name]
            assert_close(name, value, want, OPTIMIZER)
    images = batch("ddm_region")["mixed_image"]
    averaged = model.backend.numpy(model.predict(images))
    other = make(side)
    other.load_weights(state["ema"])
    assert_close("logits", averaged, other.backend.numpy(other.predict(images)), 0.0)


def test_loaded_weights_start_the_averaged_copy(side):
    model, other = make(side, **EMA), make(side, **EMA)
    steps(other, 0, 1)
    optimizer = model.state()["optimizer"]
    model.load_weights(other.state()["model"])
    state = model.state()
    assert_identical({"model": state["ema"]}, {"model": state["model"]})
    assert_identical({"optimizer": state["optimizer"]}, {"optimizer": optimizer})


def test_what_does_not_fit_is_refused(side):
    model = make(side)
    state = model.state()
    with pytest.raises(UserError, match=r"missing \(1\): optimizer"):
        model.load_state({"model": state["model"]})
    with pytest.raises(UserError, match=r"unexpected \(1\): ema"):
        model.load_state({**state, "ema": state["model"]})
    weights = dict(state["model"])
    weights["elsewhere"] = weights.pop("conv1.weight")
    with pytest.raises(UserError, match=r"missing \(1\): conv1.weight; unexpected \(1\): elsewhere"):
        model.load_weights(weights)
    assert_identical(model.state(), state)
    model.load_weights(weights, may_miss=("conv1.",), may_exceed=("else",))


def test_initial_weights_come_from_the_file_of_the_configuration(side, tmp_path):
    """But for what it may miss; the fixed networks have weights of their own."""
    first = make(side)
    steps(first, 0, 1)
    weights = first.state()["model"]
    body = {name: value for name, value in weights.items() if not name.startswith("layer6.")}
    path = tmp_path / f"body{first.backend.suffix}"
    first.backend.save({**body, "old.head": np.ones(3, np.float32)}, path)
    network = {"weights": str(path), "may_miss": ["layer6."], "may_exceed": ["old."]}
    loaded, drawn = make(side, network=network).state()["model"], make(side).state()["model"]
    for name, value in loaded.items():
        assert np.array_equal(value, (body if name in body else drawn)[name]), name
    with pytest.raises(UserError, match=r"body.*missing \(8\): layer6"):
        make(side, network={"weights": str(path)})


def test_a_student_needs_its_teachers_or_their_logits(side):
    backend = open_backend(side.name, device="cpu", compile=False)
    model = backend.build(configuration("ddm_student"), "ddm_student")
    with pytest.raises(UserError, match="needs both teachers"):
        model.step(batch("ddm_student"), LR)


def test_a_batch_without_a_valid_pixel_costs_nothing(side):
    model = make(side, optim={"weight_decay": 0.0})
    arrays = batch("ddm_region")
    arrays["mixed_label"][:] = 255
    before = model.state()["model"]
    losses = {key: float(model.backend.numpy(value)) for key, value in model.step(arrays, LR).items()}
    assert losses == {"loss": 0.0, "main": 0.0, "aux": 0.0}
    after = model.state()["model"]
    assert all(np.array_equal(after[name], value) for name, value in before.items() if name.endswith("conv1.weight"))


def test_a_loss_that_is_not_finite_is_returned_as_it_is(side):
    model = make(side)
    weights = model.state()["model"]
    weights["conv1.weight"][0, 0, 0, 0] = np.nan
    model.load_weights(weights)
    assert all(np.isnan(float(model.backend.numpy(v))) for v in model.step(batch("ddm_region"), LR).values())


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_images_are_normalised_on_the_device(side, order):
    """(image * scale, reordered, minus mean) / std, in float32."""
    section = {"order": order, "scale": 0.5, "mean": (10.0, 20.0, 30.0), "std": (1.0, 2.0, 4.0)}
    model = make(side, input=section)
    images = np.arange(2 * 3 * SIZE[0] * SIZE[1]).reshape(2, 3, *SIZE).astype(np.uint8)
    want = images[:, ::-1] if order == "bgr" else images
    want = (want.astype(np.float32) * 0.5 - np.array([[[[10.0]], [[20.0]], [[30.0]]]])) / [[[[1.0]], [[2.0]], [[4.0]]]]
    got = model.backend.numpy(model.normalise(model.backend.tensor(images)))
    assert got.dtype == np.float32
    assert_close("input", got, want, 0.0)
