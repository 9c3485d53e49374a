"""Optimizers of both twins on the same gradients, which span 1e-8 to 1, and their state moved between them."""


import numpy as np
import pytest

from common.draws import generator
from common.errors import UserError
from common.schema import OptimConfig
from convert import optimizer as moving
from tests.compare import assert_close
from tests.tolerances import OPTIMIZER
from tests.twins import need_both, twin

SHAPES = {"bn.gamma": (40,), "conv.weight": (8, 4, 3, 3), "bn.beta": (40,), "head.bias": (1,)}  # gamma, beta: a trap
HEAD = ("head.",)
STEPS, LR = 10, 1e-2
RULES = {
    "sgd": {"name": "sgd"},
    "sgd-nesterov": {"name": "sgd", "nesterov": True},
    "sgd-plain": {"name": "sgd", "momentum": 0.0, "weight_decay": 0.0},
    "adam": {"name": "adam"},
    "adam-no-decay": {"name": "adam", "weight_decay": 0.0, "betas": (0.5, 0.99)},
    "adamw": {"name": "adamw", "weight_decay": 0.05, "head_lr_mult": 3.0, "backbone_lr_mult": 2.0},
    "ranger": {"name": "ranger", "betas": (0.95, 0.999), "eps": 1e-5, "lookahead_steps": 3},
    "adam-floor": {"name": "adam", "backbone_lr_mult": 0.1, "lr": 2e-2, "floor": 1e-3},
}


def initial() -> dict[str, np.ndarray]:
    """Small weights, so that their own rounding does not hide the updates'."""
    return {name: generator(1, name).standard_normal(shape, np.float32) / 100 for name, shape in SHAPES.items()}


def gradients(step: int) -> list[np.ndarray]:
    """Gradients of a step; within each parameter they span eight orders of magnitude."""
    draws = [generator(step, "gradients", name) for name in SHAPES]
    return [
        (one.standard_normal(shape) * 10.0 ** one.uniform(-8, 0, shape)).astype(np.float32)
        for one, shape in zip(draws, SHAPES.values())
    ]


def overwrite(run: "Run", weights: dict[str, np.ndarray]) -> None:
    """Give the parameters of a run other values."""
    for name, value in weights.items():
        tensor = run.side.tensor(value)
        if run.side.name == "torch":
            run.parameters[name].data.copy_(tensor)
        else:
            run.parameters[name].set_data(tensor)


class Run:
    """An optimizer of a twin with its parameters."""

    def __init__(self, side, rule: str, compile: bool = False):
        self.side = side
        self.parameters = {name: side.parameter(value, name) for name, value in initial().items()}
        groups = {"backbone": {}, "head": {}}
        for name, parameter in self.parameters.items():
            groups["head" if name.startswith(HEAD) else "backbone"][name] = parameter
        self.optimizer = side.module("optim").Optimizer(groups, OptimConfig(**RULES[rule]), compile)

    def steps(self, first: int, last: int) -> "Run":
        for step in range(first, last):
            lr = LR * (1 - step / 20)
            self.optimizer.step([self.side.tensor(one) for one in gradients(step)], lr)
        return self

    def weights(self) -> dict[str, np.ndarray]:
        return {name: self.side.numpy(parameter) for name, parameter in self.parameters.items()}

    def changes(self) -> dict[str, np.ndarray]:
        return {name: value.astype(np.float64) - initial()[name] for name, value in self.weights().items()}

    def slots(self) -> dict[str, dict[str, np.ndarray]]:
        """Moments by the canonical name of their kind."""
        _, state = moving.split(self.optimizer.state(), self.side.name)
        return {kind: arrays for kind, arrays in state.slots.items() if kind != moving.FRESH}


@pytest.mark.parametrize("compile", [False, True], ids=["op-by-op", "compiled"])
@pytest.mark.parametrize("rule", RULES)
def test_ten_steps_agree(rule, compile):
    need_both()
    want, got = Run(twin("torch"), rule).steps(0, STEPS), Run(twin("mindspore"), rule, compile).steps(0, STEPS)
    for name, change in want.changes().items():
        assert np.abs(change).max() > 0
        assert_close(f"{rule} {name}", got.changes()[name], change, OPTIMIZER)
    assert got.slots().keys() == want.slots().keys()
    for kind, arrays in want.slots().items():
        for name, value in arrays.items():
            assert_close(f"{rule} {kind}.{name}", got.slots()[kind][name], value, OPTIMIZER)


@pytest.mark.parametrize("rule", ["sgd", "adam", "adamw", "ranger"])
@pytest.mark.parametrize(("source", "target"), [("torch", "mindspore"), ("mindspore", "torch")])
def test_state_moves_between_the_twins(source, target, rule):
    """Three steps, state and weights moved, three more: as if one framework had done all six."""
    need_both()
    before, after = Run(twin(source), rule).steps(0, 3), Run(twin(target), rule)
    _, state = moving.split(before.optimizer.state(), source)
    names = {name: name for name in SHAPES}
    moved, lost = moving.translate(state, names, target, OptimConfig(**RULES[rule]).betas)
    after.optimizer.load_state(moved.flat(target))
    overwrite(after, before.weights())
    assert set(lost) <= {"beta1_power", "beta2_power"}
    whole = Run(twin(target), rule).steps(0, 6)
    for name, change in after.steps(3, 6).changes().items():
        assert_close(f"{rule} {name}", change, whole.changes()[name], OPTIMIZER)


@pytest.mark.parametrize("rule", ["sgd", "adamw", "ranger"])
def test_saved_state_goes_on_to_the_bit(side, rule):
    whole, cut = Run(side, rule).steps(0, 6), Run(side, rule).steps(0, 3)
    again = Run(side, rule)
    again.optimizer.load_state(cut.optimizer.state())
    overwrite(again, cut.weights())
    again.steps(3, 6)
    for name, value in whole.weights().items():
        assert np.array_equal(again.weights()[name], value), name
    for name, value in whole.optimizer.state().items():
        assert np.array_equal(again.optimizer.state()[name], value), name


def test_every_parameter_is_decayed(side):
    """Also those called beta and gamma, which MindSpore's own optimizers pass over."""
    run = Run(side, "adamw")
    run.optimizer.step([side.tensor(np.zeros(shape, np.float32)) for shape in SHAPES.values()], LR)
    for name, value in run.weights().items():
        factor = 1 - LR * (3.0 if name.startswith(HEAD) else 2.0) * 0.05
        assert_close(name, value, initial()[name] * factor, OPTIMIZER)


def test_a_state_that_does_not_fit_is_refused_whole(side):
    run = Run(side, "sgd").steps(0, 2)
    before = run.optimizer.state()
    state = {name: np.ones_like(value) for name, value in before.items()}
    first, *_ = state
    state["extra"] = state.pop(first)
    with pytest.raises(UserError, match=rf"missing \(1\): {first}; unexpected \(1\): extra"):
        run.optimizer.load_state(state)
    assert all(np.array_equal(run.optimizer.state()[name], value) for name, value in before.items())


@pytest.mark.parametrize("limit", [0.5, 1e6])
def test_clipping_scales_all_gradients_alike(side, limit):
    arrays = gradients(0)
    norm = np.sqrt(sum(np.square(one, dtype=np.float64).sum() for one in arrays))
    clipped = side.module("optim").clip_by_global_norm([side.tensor(one) for one in arrays], limit)
    factor = min(1.0, limit / (norm + 1e-6))
    assert factor == 1.0 or limit < norm
    for got, one in zip(clipped, arrays):
        assert_close("clipped", side.numpy(got), one * factor, OPTIMIZER)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_overflow_is_seen(side, value):
    arrays = gradients(0)
    all_finite = side.module("optim").all_finite
    assert all_finite([side.tensor(one) for one in arrays])
    arrays[2][7] = value
    assert not all_finite([side.tensor(one) for one in arrays])
