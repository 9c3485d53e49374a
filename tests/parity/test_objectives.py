"""Rung P3: three steps of every objective in both twins; the change of each weight, statistic and moment agrees.

An objective is covered by its lines in ``small.METHODS`` and ``small.KEYS``; a further form of one is a line here.
"""

import shutil
from functools import partial

import numpy as np
import pytest

from common.accumulate import counted
from common.backends import open_backend
from convert import optimizer as moving
from tests.compare import assert_close
from tests.parity.small import METHODS, batch, build, configuration
from tests.tolerances import GRADIENT, LOGITS
from tests.twins import need_both, twin

STEPS, LR = 3, 0.05
WARM = {"temperature": 0.5}  # smaller gradients than 0.05: three steps of APE stay smooth
FORMS = {  # form -> (objective, sections of its configuration, learning rate large enough to see every change)
    **{objective: (objective, {}, LR) for objective in METHODS},
    "classes-averaged": ("supervised_classes", {"optim": {"nesterov": True}, "train": {"ema": 0.3}}, LR),
    "ape": ("ape", {"network": WARM, "method": {"ape": {"entropy_threshold": 1.6}}}, 2 * LR),
    "ape-logits": (
        "ape",
        {"network": {"temperature": 0.2}, "method": {"ape": {"consistency": "logits", "eps": 50.0}}},
        LR,
    ),
    "s3d-first-point": ("s3d", {"method": {"sty_layer": "layer1", "assistant_counts": False}}, LR),
    "region-clipped": ("ddm_region", {"optim": {"clip": 0.5, "nesterov": True}}, 1.0),
    "region-adam": ("ddm_region", {"optim": {"name": "adamw", "eps": 1e-2, "weight_decay": 0.05, "clip": 1.0}}, LR),
    "region-accumulated": ("ddm_region", {"train": {"accumulate": 2, "ema": 0.3}, "optim": {"clip": 0.5}}, 1.0),
    "warmup-accumulated": ("iast_warmup", {"train": {"accumulate": 2}}, LR),
    "region-averaged": ("ddm_region", {"train": {"ema": 0.3}, "network": {"freeze_bn_affine": False}}, 0.5),
    "sample-frozen-statistics": ("ddm_sample", {"network": {"freeze_bn_stats": True, "aux": False}}, 1e-3),
    "student-probs": (
        "ddm_student",
        {"method": {"ensemble": "probs", "kl_reduction": "batch_mean", "lambda_kl": 1e-4}},
        LR,
    ),
    "self-training-source": ("iast_self_training", {"method": {"self_training": {"lambda_source": 0.7}}}, LR),
    "self-training-taught": (
        "iast_self_training",
        {"method": {"self_training": {"lambda_consistency": 9.0}}, "train": {"ema": 0.3}},
        LR,
    ),
    "student-aux": ("ddm_student", {"method": {"lambda_kl_aux": 0.2, "kl_t2": False, "temperature": 2.0}}, LR),
}
TAUGHT = ("self-training-taught",)  # with another view of the target images
WEIGHTS = ("model", "ema", "discriminator")  # parts of a state
IAST = ("iast_warmup", "iast_self_training")
DDM = ("ddm_region", "region-adam", "region-accumulated", "student-aux")
LONG = tuple(form for form in FORMS if form not in METHODS)  # variants of others; slow
COMPILED = (*DDM, "supervised_classes", "mme", "ape", "s3d", *IAST)  # by the graph compiler too; slow
OFTEN = ("region-accumulated", "student-aux", "mme", "s3d", *IAST)  # those that stand for the others


class Trained:
    """An objective before and after a few steps."""

    def __init__(self, name: str, form: str, compile: bool = False):
        objective, sections, lr = FORMS[form]
        self.side, self.backend = twin(name), open_backend(name, device="cpu", compile=compile)
        self.model = build(self.backend, objective, configuration(objective, **sections))
        arrays = batch(objective)
        if form in TAUGHT:
            arrays["target_strong"] = 255 - arrays["target_image"]
        self.images = next(array for key, array in arrays.items() if key.endswith("_image"))
        self.before = self.weights()
        count = self.model.config.train.accumulate
        step = counted([batch(objective, seed=part) for part in range(count)]) if count > 1 else arrays
        losses = [self.model.step(step, lr) for _ in range(STEPS)]
        self.losses = [{key: float(self.backend.numpy(value)) for key, value in one.items()} for one in losses]
        self.after, self.logits = self.weights(), self.backend.numpy(self.model.predict(self.images))

    def weights(self) -> dict[str, dict[str, np.ndarray]]:
        state = self.model.state()
        return {part: self.canonical(state[part], part) for part in WEIGHTS if part in state}

    def canonical(self, arrays: dict[str, np.ndarray], part: str = "model") -> dict[str, np.ndarray]:
        return self.side.canonical(arrays, getattr(self.model, part, self.model.network))

    def changes(self) -> dict[str, np.ndarray]:
        parts = {part: arrays.items() for part, arrays in self.after.items()}
        return {f"{part} {key}": v - self.before[part][key] for part, items in parts.items() for key, v in items}

    def moments(self) -> dict[str, np.ndarray]:
        parts, found = self.model.state(), {}
        for part in WEIGHTS:
            optimizer = "optimizer" if part == "model" else f"optimizer_{part}"
            _, state = moving.split(parts.get(optimizer, {}), self.side.name)
            kinds = {kind: self.canonical(one, part) for kind, one in state.slots.items() if kind != moving.FRESH}
            found |= {f"{part} {kind} {key}": value for kind, one in kinds.items() for key, value in one.items()}
        return found


def compare(form: str, compile: bool) -> None:
    need_both()
    want, got = Trained("torch", form), Trained("mindspore", form, compile)
    assert np.isfinite([list(one.values()) for one in want.losses]).all()
    for step, (a, b) in enumerate(zip(got.losses, want.losses)):
        assert list(a) == list(b)
        # Once the weights have moved, apart by GRADIENT, a small part of the loss is measured by the whole of it
        room = GRADIENT * abs(b["loss"]) if step and "loss" in b else 1e-7
        for key in b:
            assert a[key] == pytest.approx(b[key], rel=GRADIENT, abs=room), f"step {step}, {key}"
    moved = {key for key, change in want.changes().items() if np.any(change)}
    network = want.model.config.network
    expected = {key for key in want.changes() if may_move(key, network)}
    assert moved == expected
    for kind in ("changes", "moments"):
        ours, theirs = getattr(got, kind)(), getattr(want, kind)()
        assert ours.keys() == theirs.keys()
        for key, value in theirs.items():
            assert_close(f"{form} {kind} {key}", ours[key], value, GRADIENT)
    assert_close(f"{form} logits", got.logits, want.logits, 10 * LOGITS)  # of weights that differ by GRADIENT


def may_move(key: str, network) -> bool:
    """Whether training changes a weight or statistic."""
    name = key.split()[1]
    if "running_" in name:
        return not network.freeze_bn_stats
    affine = "bn" in name or "downsample.1" in name
    return not affine or not network.freeze_bn_affine


@pytest.mark.parametrize("form", [pytest.param(f, marks=[pytest.mark.slow] * (f in LONG)) for f in FORMS])
def test_three_steps_agree(form):
    compare(form, compile=False)


@pytest.mark.slow
@pytest.mark.parametrize("form", [pytest.param(f, marks=[pytest.mark.exhaustive] * (f not in OFTEN)) for f in COMPILED])
def test_three_compiled_steps_agree(form):
    compare(form, compile=True)


@pytest.mark.slow
@pytest.mark.parametrize("compiler", ["aot_eager", pytest.param("inductor", marks=pytest.mark.exhaustive)])
def test_pytorch_compiles_too(compiler, monkeypatch):
    """``torch.compile`` of a step computes what the step does op by op; its C++ code takes two minutes to compile."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    if compiler == "inductor" and not shutil.which("g++"):
        pytest.skip("torch.compile needs a C++ compiler on the CPU")
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=compiler))
    plain, compiled = (Trained("torch", "ddm_region", compile) for compile in (False, True))
    for key, value in plain.changes().items():
        assert_close(key, compiled.changes()[key], value, GRADIENT)
