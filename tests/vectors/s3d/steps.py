"""Whole optimizer steps of S+T, ENT, MME, APE and S3D, through the public objectives."""

import json
from collections.abc import Iterator

import numpy as np

from common.backends import installed
from common.config import Config
from common.methods.s3d_rules import ramp_start
from common.schedules import learning_rate
from tests.tolerances import FLOOR_FACTOR, FLOOR_SLACK
from tests.twins import Twin, twin
from tests.vectors import Check, Vector
from tests.vectors.s3d import exact
from tests.vectors.s3d.described import (
    BATCHES,
    OBJECTIVES,
    canonical,
    configuration,
    differentiated,
    head_scale,
    net_of,
    slices,
    trained,
)
from tests.vectors.s3d.networks import filled

LOSS, HEAD, BACKBONE, BACKBONE_LATER, SHARP, APE_ROUND = 1e-4, 1e-4, 5e-2, 1e-1, 1e-2, 3e-1
ALEXNET, UPDATE = 1e-4, 5e-3  # AlexNet has no BatchNorm: any two correct implementations agree
STATISTIC = 1e-2  # in the norm, where PyTorch is not there to tell what float32 costs
PART = 1e-4  # of a loss in the first iteration


def runner(kind: str):
    """Return the runner of the steps of an objective: gradients, losses, weights, statistics."""

    def run(vector: Vector, backend) -> Iterator[Check]:
        side, arrays, config = twin(backend.name), vector.arrays, configuration(vector, kind)
        objective = backend.build(config, OBJECTIVES.get(kind, kind))
        objective.load_weights(filled(side, objective.network, head_scale(vector)))
        names = side.names(objective.network)
        before = side.canonical(objective.state()["model"], objective.network)
        yield from _without_gradient(vector, side, objective, names)
        losses, parts = [], []
        start = int(arrays.get("start_step", 0))
        for number in range(int(arrays["iterations"])):
            batch = BATCHES[kind](vector, number)
            if number == 0:
                yield from _forward(vector, side, objective, batch, kind)
            rate = learning_rate(config.optim, start + number, 1)
            yield from _rates(vector, config, number, rate)
            for turn, (found, gradients) in enumerate(trained(objective, batch, rate)):
                if number == 0:
                    yield from _gradients(vector, turn, {names[own]: value for own, value in gradients.items()})
                parts.append({name: float(side.numpy(value)) for name, value in found.items()})
                losses.append(next(iter(parts[-1].values())))
            after = side.canonical(objective.state()["model"], objective.network)
            yield from _weights(vector, number + 1, before, after)
        wide = exact.run(vector, kind) if installed("torch") else None
        yield from _losses(vector, kind, np.array(losses), parts, wide)
        if side.name == "torch":
            yield from exact.checks(vector, wide, kind)
        yield from _statistics(vector, after, wide)

    return run


def _statistics(vector: Vector, after: dict, wide: exact.Exact | None) -> Iterator[Check]:
    """Compare the running statistics after the last iteration, whose images pass weights that have parted.

    The README states no bound: it is the largest distance of the file's float32 run from PyTorch's in float64.
    """
    tol, found = STATISTIC, {key: value for key, value in vector.arrays.items() if key.startswith("bn_after/")}
    if wide:
        apart = [Check(key, value, wide.weights[-1][key.removeprefix("bn_after/")], 0.0, "norm").error()
                 for key, value in found.items()]  # fmt: skip
        tol = FLOOR_FACTOR * max(apart, default=0.0) + FLOOR_SLACK
    for key, want in found.items():
        yield Check(key, after[key.removeprefix("bn_after/")], want, tol, "norm")


IMAGES = {"check_source": "source_image", "check_target": "target_image", "check_unl": "unlabelled_image"}
IMAGES |= {"check_lab": "labelled_image"}


def _forward(vector: Vector, side: Twin, objective, batch: dict, kind: str) -> Iterator[Check]:
    """Compare the images, and what the networks say of them in the first iteration; trains nothing."""
    arrays = vector.arrays
    for key, name in IMAGES.items():
        if key in arrays:
            got = np.array([batch[name].sum(dtype=np.float64), batch[name].flat[0]])
            yield Check(key, got, arrays[key][0], 1e-6)
    before = side.weights.get_weights(objective.network)
    found, tensor = {}, side.tensor
    if "logits_iter1" in arrays:
        both = np.concatenate([batch[name] for name in ("source_image", "target_image") if name in batch])
        found["logits_iter1"] = objective.network(tensor(both))[-1]
    if kind == "ape":
        found["unl_logits_iter1"] = objective.network(tensor(batch["unlabelled_image"]))[-1]
    if kind == "s3d":
        features, styles = objective.network.embed(tensor(batch["labelled_image"]), objective.points)
        pair = objective.network.assist(
            tensor(batch["unlabelled_image"]), styles, tensor(batch["style_mix"]), objective.own
        )
        for name, one in zip(("lab", "unl", "assistant"), (features, *pair)):
            found[f"{name}_logits_iter1"] = objective.network.classify(one)[1]
        yield Check("ramp start", ramp_start(float(arrays["stage1_test_acc"]), float(arrays["kd_lambda"])),
                    arrays["first_lambda_step"], kind="exact")  # fmt: skip
    for name, value in found.items():
        yield Check(name, side.numpy(value), arrays[name], 1e-3)
    side.weights.set_weights(objective.network, before)


def _rates(vector: Vector, config: Config, number: int, rate: float) -> Iterator[Check]:
    """Compare the rates of backbone and head with those of the first group of G and of F1 in each optimizer call."""
    order, calls = str(vector.arrays["optimizer_order"]), vector.arrays["lr_per_step_call"]
    each = len(order) // int(vector.arrays["iterations"])
    rates = {"g": rate * config.optim.backbone_lr_mult, "f": rate * config.optim.head_lr_mult}
    for call in range(number * each, (number + 1) * each):
        yield Check(f"rate of call {call}", rates[order[call]], calls[call][0], 1e-9)


def _gradients(vector: Vector, turn: int, found: dict[str, np.ndarray]) -> Iterator[Check]:
    """Compare the gradients of a round of the first iteration with the float64 run."""
    arrays = vector.arrays
    for key, part in slices(vector).items():
        if (want := arrays.get(f"grad64_round{turn}/{key}")) is not None:
            tol = max(_tolerance(vector, key, turn), FLOOR_FACTOR * _noise(vector, f"grad_round{turn}/{key}"))
            yield Check(f"round {turn} {key}", found[canonical(key)][part], want, tol, "norm")


def _weights(vector: Vector, done: int, before: dict, after: dict) -> Iterator[Check]:
    """Compare the change of the weights after an iteration with the float64 run; rounding of the weight is allowed."""
    arrays, last = vector.arrays, int(vector.arrays["rounds_per_iteration"]) - 1
    for key, part in slices(vector).items():
        if (value := arrays.get(f"value64_after_iter{done}/{key}")) is None:
            continue
        start, got = (side[canonical(key)][part].astype(np.float64) for side in (before, after))
        want = value - start
        rounding = float(np.spacing(np.float32(np.abs(start).max()))) * np.sqrt(want.size) / np.linalg.norm(want)
        noise = FLOOR_FACTOR * _noise(vector, f"update_iter{done}/{key}")
        tol = max(_tolerance(vector, key, last, done), UPDATE, noise) + rounding
        yield Check(f"change after {done} {key}", got - start, want, tol, "norm")


def _losses(
    vector: Vector, kind: str, losses: np.ndarray, parts: list[dict], wide: exact.Exact | None
) -> Iterator[Check]:
    """Compare what each round differentiated, and the parts where the file holds them.

    The files' float32 and float64 runs part from the second iteration on, and the distillation, a small difference of
    large logits, does in the first: a multiple of that is allowed.
    """
    arrays = vector.arrays
    single, double = (differentiated(arrays[name], kind) for name in ("losses", "losses_f64"))
    for number, (got, want, apart) in enumerate(zip(losses, double, np.abs(single - double), strict=True)):
        yield Check(f"loss {number}", got, want, LOSS + FLOOR_FACTOR * apart / abs(want))
    names = {"loss_lab": "labelled", "loss_unl": "unlabelled", "loss_kd": "distillation"}
    names |= {"loss_ce": "supervised", "loss_explore": "exploration", "mmd2": "attraction"}
    for key, name in names.items():
        if key in arrays:
            got = next(one[name] for one in parts if name in one)
            apart = abs(wide.parts[name] - arrays[key][0]) / abs(arrays[key][0]) if wide and arrays[key][0] else 0.0
            yield Check(f"first {key}", got, arrays[key][0], PART + FLOOR_FACTOR * apart)


def _without_gradient(vector: Vector, side: Twin, objective, names: dict) -> Iterator[Check]:
    """Compare the parameters that never train."""
    groups = side.training.parameter_groups(objective.network)
    trained = {names[own] for group in groups.values() for own in group}
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    still = [name for name in names.values() if name not in trained and not name.endswith(buffers)]
    want = json.loads(str(vector.arrays["params_without_grad"]))
    yield Check("parameters without gradient", np.array(sorted(still)), np.array(sorted(want)), kind="exact")


def _tolerance(vector: Vector, key: str, turn: int, done: int = 1) -> float:
    """Return the README's tolerance of a gradient, relative in the norm."""
    net = net_of(vector)
    if key.startswith("F1."):
        return HEAD if done == 1 else BACKBONE_LATER
    if net == "alexnet":
        return ALEXNET
    if "seed_noise" in vector.arrays and turn:
        return APE_ROUND
    if net == "resnet10":
        return SHARP
    return BACKBONE if done == 1 else BACKBONE_LATER


def _noise(vector: Vector, name: str) -> float:
    """Return how far the file's float32 run is from its float64 run, relative in the norm."""
    return float(json.loads(str(vector.arrays["noise_fp32_vs_fp64_relmax"]))[name][0])


RUNNERS = {
    "train_stage1": runner("supervised"),
    "train_ent": runner("ent"),
    "train_mme": runner("mme"),
    "train_ape": runner("ape"),
    "train_stage2": runner("s3d"),
}
