"""Whole optimizer steps of S+T, ENT, MME, APE and S3D, through the public objectives."""

import json
import re
from collections.abc import Iterator

import numpy as np

from common.config import Config
from common.ramp import distillation_weight, ramp_start
from common.schedules import learning_rate
from tests.tolerances import FLOOR_FACTOR
from tests.twins import Twin, twin
from tests.vectors import Check, Vector
from tests.vectors.s3d.networks import filled, network_config

LOSS, HEAD, BACKBONE, BACKBONE_LATER, SHARP, APE_ROUND = 1e-4, 1e-4, 5e-2, 1e-1, 1e-2, 3e-1
ALEXNET, UPDATE = 1e-4, 5e-3  # AlexNet has no BatchNorm: any two correct implementations agree
STATISTIC = 1e-2  # in the norm; the last iteration's images pass weights that have parted
PART = 1e-4  # of a loss in the first iteration
SCALE = {"order": "rgb", "scale": 1.0, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}  # the files hold float images
SLOW = 0.1  # of the backbone's rate


def images(seed: int, count: int, size: np.ndarray) -> np.ndarray:
    """Return the images that a seed stands for: each with a mean, a contrast and noise of its own."""
    rng, (height, width) = np.random.default_rng(int(seed)), map(int, size)
    contrast, mean = rng.uniform(0.2, 2.5, (count, 1, 1, 1)), rng.normal(0, 1.5, (count, 3, 1, 1))
    return (mean + contrast * rng.standard_normal((count, 3, height, width))).astype(np.float32)


def net_of(vector: Vector) -> str:
    """Return the network of a file: that of its name, for its array ``net`` names a class with any number of blocks."""
    named = re.search(r"_(resnet\d+|alexnet|vgg\d*)(?=_|$)", vector.stem)
    return named[1] if named else str(vector.arrays["net"])


def configuration(vector: Vector, kind: str) -> Config:
    """Return the configuration that a file describes."""
    arrays = vector.arrays
    method = {"name": kind}
    if kind == "s3d":
        method |= {"sty_layer": str(arrays["sty_layer"]), "temperature": float(arrays["temp"])}
        method |= {"kd_lambda": float(arrays["kd_lambda"]), "sty_w": float(arrays["sty_w"])}
    if kind in ("ent", "mme") and "lamda" in arrays:
        method["lambda_entropy"] = float(arrays["lamda"])
    if kind == "ape" and "threshold" in arrays:
        method["ape"] = {"entropy_threshold": float(arrays["threshold"])}
    rate = {"lr": SLOW * float(arrays["init_lr"]), "head_lr_mult": 1 / SLOW}
    return Config.model_validate(
        {
            "name": vector.stem,
            "task": "classification",
            "data": {"val": {"layout": "class_folders", "root": "unused"}},
            "classes": {"set": "custom", "names": [f"class {i}" for i in range(int(arrays["num_class"]))]},
            "input": SCALE,
            "network": network_config(net_of(vector)).model_dump(),
            "optim": {**rate, "nesterov": True, "schedule": "inverse", "power": 0.75},
            "method": method,
        }
    )


def runner(kind: str):
    """Return the runner of the steps of an objective: gradients, losses, weights, statistics."""

    def run(vector: Vector, backend) -> Iterator[Check]:
        side, arrays, config = twin(backend.name), vector.arrays, configuration(vector, kind)
        objective = backend.build(config, "supervised_classes" if kind == "supervised" else kind)
        scale = float(arrays.get("last_weight_scale", 1.0))
        objective.load_weights(filled(side, objective.network, scale))
        names = _names(side, objective.network)
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
            for turn, (found, gradients) in enumerate(_trained(objective, batch, rate)):
                if number == 0:
                    yield from _gradients(vector, turn, {names[own]: value for own, value in gradients.items()})
                parts.append({name: float(side.numpy(value)) for name, value in found.items()})
                losses.append(next(iter(parts[-1].values())))
            after = side.canonical(objective.state()["model"], objective.network)
            yield from _weights(vector, number + 1, before, after)
        yield from _losses(vector, kind, np.array(losses), parts)
        for key in [key for key in arrays if key.startswith("bn_after/")]:
            yield Check(key, after[key.removeprefix("bn_after/")], arrays[key], STATISTIC, "norm")

    return run


def _trained(objective, batch: dict, rate: float) -> Iterator[tuple[dict, dict[str, np.ndarray]]]:
    """Train one step; yield losses and gradients of each of its rounds."""
    if not hasattr(objective, "rounds"):
        yield objective.gradients(batch)
        objective.step(batch, rate)
        return
    for done in objective.rounds(batch):
        yield done.losses, objective.main.named(objective.backend, done.gradients)
        objective.update(objective.main, done.gradients, rate)


def supervised_batch(vector: Vector, number: int) -> dict:
    """Source and labelled target images of an iteration."""
    arrays, batch = vector.arrays, {}
    for domain in ("source", "target"):
        count = int(arrays[f"n_{domain}"])
        batch[f"{domain}_image"] = images(arrays[f"seed_{domain}"][number], count, arrays["hw"])
        batch[f"{domain}_label"] = arrays[f"y_{domain}"][number].astype(np.int32)
    return batch


def unlabelled_batch(vector: Vector, number: int) -> dict:
    """The same, and unlabelled images."""
    arrays = vector.arrays
    unlabelled = images(arrays["seed_unl"][number], int(arrays["n_unl"]), arrays["hw"])
    return {**supervised_batch(vector, number), "unlabelled_image": unlabelled}


def ape_batch(vector: Vector, number: int) -> dict:
    """The same, and the noise of the perturbation."""
    arrays = vector.arrays
    shape = (int(arrays["n_target"]) + int(arrays["n_unl"]), 3, *map(int, arrays["hw"]))
    noise = np.random.default_rng(int(arrays["seed_noise"][number])).standard_normal(shape)
    return {**unlabelled_batch(vector, number), "noise": noise.astype(np.float32)}


def pair_batch(vector: Vector, number: int) -> dict:
    """Pairs of an iteration, the draws of the styles, and the weight of the distillation."""
    arrays = vector.arrays
    half, sharpness = int(arrays["half_batch"]), float(arrays["kd_lambda"])
    start = ramp_start(float(arrays["stage1_test_acc"]), sharpness)
    points = int(str(arrays["sty_layer"]).removeprefix("layer"))
    return {
        "labelled_image": images(arrays["seed_lab"][number], half, arrays["hw"]),
        "labelled_label": arrays["y_lab"][number].astype(np.int32),
        "unlabelled_image": images(arrays["seed_unl"][number], half, arrays["hw"]),
        "style_mix": arrays["beta_draws"][number][:points],
        "weight": np.array(distillation_weight(start, number, sharpness), np.float32),
    }


BATCHES = {
    "supervised": supervised_batch,
    "ent": unlabelled_batch,
    "mme": unlabelled_batch,
    "ape": ape_batch,
    "s3d": pair_batch,
}
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
        both = np.concatenate([batch["source_image"], batch["target_image"]])
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
    for key, part in _slices(vector).items():
        if (want := arrays.get(f"grad64_round{turn}/{key}")) is not None:
            tol = max(_tolerance(vector, key, turn), FLOOR_FACTOR * _noise(vector, f"grad_round{turn}/{key}"))
            yield Check(f"round {turn} {key}", found[_canonical(key)][part], want, tol, "norm")


def _weights(vector: Vector, done: int, before: dict, after: dict) -> Iterator[Check]:
    """Compare the change of the weights after an iteration with the float64 run; rounding of the weight is allowed."""
    arrays, last = vector.arrays, int(vector.arrays["rounds_per_iteration"]) - 1
    for key, part in _slices(vector).items():
        if (value := arrays.get(f"value64_after_iter{done}/{key}")) is None:
            continue
        start, got = (side[_canonical(key)][part].astype(np.float64) for side in (before, after))
        want = value - start
        rounding = float(np.spacing(np.float32(np.abs(start).max()))) * np.sqrt(want.size) / np.linalg.norm(want)
        noise = FLOOR_FACTOR * _noise(vector, f"update_iter{done}/{key}")
        tol = max(_tolerance(vector, key, last, done), UPDATE, noise) + rounding
        yield Check(f"change after {done} {key}", got - start, want, tol, "norm")


def _losses(vector: Vector, kind: str, losses: np.ndarray, parts: list[dict]) -> Iterator[Check]:
    """Compare what each round differentiated, and the parts where the file holds them.

    The files' float32 and float64 runs part from the second iteration on: a multiple of that is allowed.
    """
    arrays = vector.arrays
    single, exact = arrays["losses"], arrays["losses_f64"]
    if kind == "ape":  # the file also holds the entropy whose gradient makes the perturbation
        single, exact = (each.reshape(-1, 3)[:, [0, 2]].reshape(-1) for each in (single, exact))
    for number, (got, want, apart) in enumerate(zip(losses, exact, np.abs(single - exact), strict=True)):
        yield Check(f"loss {number}", got, want, LOSS + FLOOR_FACTOR * apart / abs(want))
    names = {"loss_lab": "labelled", "loss_unl": "unlabelled", "loss_kd": "distillation"}
    names |= {"loss_ce": "supervised", "loss_explore": "exploration", "mmd2": "attraction"}
    for key, name in names.items():
        if key in arrays:
            got = next(one[name] for one in parts if name in one)
            yield Check(f"first {key}", got, arrays[key][0], PART)


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


def _slices(vector: Vector) -> dict[str, tuple[slice, ...]]:
    """Return parameter key -> the part of it that the file keeps."""
    texts = json.loads(str(vector.arrays["param_slices"]))
    return {key: _parse(texts[key]) for key in json.loads(str(vector.arrays["param_keys"]))}


def _parse(text: str) -> tuple[slice, ...]:
    parts = re.findall(r"slice\(([^)]*)\)", text)
    return tuple(slice(*(None if one.strip() == "None" else int(one) for one in part.split(","))) for part in parts)


def _canonical(key: str) -> str:
    return f"head.{key.removeprefix('F1.')}" if key.startswith("F1.") else key


def _names(side: Twin, network) -> dict[str, str]:
    """Return own name -> canonical name of every weight."""
    kinds = side.weights.layer_kinds(network)
    return {own: side.canonical_name(own, kinds) for own in side.weights.get_weights(network)}


RUNNERS = {
    "train_stage1": runner("supervised"),
    "train_ent": runner("ent"),
    "train_mme": runner("mme"),
    "train_ape": runner("ape"),
    "train_stage2": runner("s3d"),
}
