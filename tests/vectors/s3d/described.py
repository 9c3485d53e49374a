"""What S3D's files of training steps describe: configuration, batches, what is kept of each parameter."""

import json
import re
from collections.abc import Iterator

import numpy as np

from common.config import Config
from common.methods.s3d_rules import distillation_weight, ramp_start
from tests.vectors import Vector
from tests.vectors.s3d.networks import network_config

SCALE = {"order": "rgb", "scale": 1.0, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}  # the files hold float images
SLOW = 0.1  # of the backbone's rate
OBJECTIVES = {"supervised": "supervised_classes"}  # where the objective is not called as the runner


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


def supervised_batch(vector: Vector, number: int) -> dict:
    """Source and labelled target images of an iteration."""
    arrays, batch = vector.arrays, {}
    for domain in ("source", "target") if "n_target" in arrays else ("source",):  # without labels in the target
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


def trained(objective, batch: dict, rate: float) -> Iterator[tuple[dict, dict[str, np.ndarray]]]:
    """Train one step; yield losses and gradients of each of its rounds."""
    if not hasattr(objective, "rounds"):
        yield objective.gradients(batch)
        objective.step(batch, rate)
        return
    for done in objective.rounds(batch):
        yield done.losses, objective.main.named(objective.backend, done.gradients)
        objective.update(objective.main, done.gradients, rate)


def head_scale(vector: Vector) -> float:
    """Return by how much the last layer's weights are larger than those of ``fill``."""
    return float(vector.arrays.get("last_weight_scale", 1.0))


def differentiated(values: np.ndarray, kind: str) -> np.ndarray:
    """Return a file's losses that update weights; APE's also hold the entropy whose gradient makes the perturbation."""
    return values.reshape(-1, 3)[:, [0, 2]].reshape(-1) if kind == "ape" else values


def slices(vector: Vector) -> dict[str, tuple[slice, ...]]:
    """Return parameter key -> the part of it that the file keeps."""
    texts = json.loads(str(vector.arrays["param_slices"]))
    return {key: _parse(texts[key]) for key in json.loads(str(vector.arrays["param_keys"]))}


def _parse(text: str) -> tuple[slice, ...]:
    parts = re.findall(r"slice\(([^)]*)\)", text)
    return tuple(slice(*(None if one.strip() == "None" else int(one) for one in part.split(","))) for part in parts)


def canonical(key: str) -> str:
    return f"head.{key.removeprefix('F1.')}" if key.startswith("F1.") else key
