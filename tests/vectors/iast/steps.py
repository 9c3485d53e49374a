"""Step vectors of IAST: three optimizer steps of source-only training, warm-up and self-training, by the objectives."""

import json
import re
from collections.abc import Iterator

import numpy as np

from common.config import Config
from common.schedules import group_rate, learning_rate
from convert.layouts.iast import DISCRIMINATOR, IAST
from tests.twins import Twin, twin
from tests.vectors import Check, Vector
from tests.vectors.iast.cases import imagenet
from tests.vectors.iast.networks import give_official_weights, segmentation_config

LOSS, STATISTIC = 2e-5, 2e-5  # relative
HEAD, BACKBONE, COSINE = 1e-4, 1e-2, 1e-4  # gradients: of the maximum; 1 - cosine similarity
NORM = 1e-3  # of a network's whole gradient; float32 against float64 of these files differ by 5e-5
STEP_HEAD, STEP_MEDIAN = 2e-3, 2e-3  # changes of weights in units of the group's rate
STEP_MOST = {1: 2e-2, 3: 0.2}  # what 99 % of the backbone's changes keep to after that step
DAMPED = 0.1  # factor of every bn3 scale
RATE = 1e-12
OBJECTIVES = {"source": "supervised", "warmup": "iast_warmup", "sl": "iast_self_training"}
PARTS = {  # stored name -> (name of the part, key of its weight)
    "mask_loss": ("main", None),
    "target_seg_loss": ("pseudo", None),
    "kld_reg_loss": ("uniform", "kld"),
    "entropy_reg_loss": ("entropy", "ent"),
    "source_seg_loss": ("source", "srcw"),
}


def steps(vector: Vector, backend) -> Iterator[Check]:
    """Losses, rates, gradients, weights and statistics of one fixed batch, which the file's ``mode`` makes use of."""
    side, params, arrays = twin(backend.name), vector.params, vector.arrays
    config = configuration(vector)
    objective = backend.build(config, OBJECTIVES[params["mode"]])
    networks = {"main": (objective.network, IAST)}
    if params["mode"] == "warmup":
        networks["discriminator"] = (objective.discriminator, DISCRIMINATOR)
    keys = {name: give_official_weights(side, *one, damped=DAMPED) for name, one in networks.items()}
    before, seen = _weights(side, networks, keys), _watched(objective)
    batch = batch_of(vector)
    for step in range(len(arrays["losses"])):
        lr = learning_rate(config.optim, step, config.optim.horizon)
        yield from _rates(vector, config, step, lr)
        losses = {name: float(side.numpy(value)) for name, value in objective.step(batch, lr).items()}
        yield from _losses(vector, step, losses)
        after = _weights(side, networks, keys)
        if step == 0:
            yield from _gradients(vector, keys, seen)
        yield from _values(vector, step + 1, before, after)
        yield from _statistics(vector, step + 1, after)


def configuration(vector: Vector) -> Config:
    """Return the configuration that a vector's parameters describe."""
    params = vector.params
    backbone = params["backbone"]
    depth = int(re.search(r"-(\d+)-", backbone)[1])
    frozen = "FREEZEBN" in backbone
    network = segmentation_config(depth, "ibn" in backbone.lower() or bool(params.get("with_ibn")), frozen)
    rule = params.get("optimizer", "Adam").lower()
    adam = {"name": rule, "weight_decay": params.get("weight_decay", 5e-4), "eps": 1e-8, "betas": (0.9, 0.999)}
    adam |= {"betas": (0.95, 0.999), "eps": 1e-5} if rule == "ranger" else {}
    groups = {"backbone_lr_mult": 0.1, "head_lr_mult": 1.0}
    schedule = {"schedule": "cosine_restarts", "horizon": params["T_max_iters"], "floor": params["eta_min"]}
    schedule |= {"restart_mult": params.get("T_mult", 1.0)}
    return Config.model_validate(
        {
            "name": vector.stem,
            "data": {"val": {"layout": "folders", "root": "unused"}},
            "classes": {"set": "custom", "names": [f"class {index}" for index in range(params["num_classes"])]},
            "input": imagenet().model_dump(),
            "network": network.model_dump(),
            "optim": {"lr": params["lr"], **adam, **groups, **schedule},
            "method": {
                "name": "iast",
                "warmup": {
                    "lambda_source": params["srcw"] if params["mode"] == "warmup" and params["srcw"] else 1.0,
                    "lambda_adversarial": params["advw"],
                    "discriminator_lr": params["dlr"],
                    "loss": params.get("disc_loss", "mse").lower().replace("loss", "")[:3],
                },
                "self_training": {
                    "lambda_confident": params["kld"],
                    "lambda_ignored": params["ent"],
                    "lambda_source": params["srcw"] if params["mode"] == "sl" else 0.0,
                    "empty_region": "nan",  # as in the official code
                },
            },
        }
    )


def batch_of(vector: Vector) -> dict[str, np.ndarray]:
    """Return the one batch of all steps."""
    arrays, batch = vector.arrays, {}
    for name in ("source", "target"):
        if f"{name}_image" in arrays:
            batch[f"{name}_image"] = np.ascontiguousarray(arrays[f"{name}_image"].transpose(0, 3, 1, 2))
        if f"{name}_label" in arrays:
            batch[f"{name}_label"] = arrays[f"{name}_label"].astype(np.int32)
    if vector.params["mode"] == "sl" and not vector.params["srcw"]:
        batch = {name: array for name, array in batch.items() if name.startswith("target")}
    return batch


def _watched(objective) -> dict[str, list]:
    """Let the gradients of the first update of each network be noted."""
    seen: dict[str, list] = {}
    update = objective.update

    def noted(trained, gradients, lr):
        name = "main" if trained is objective.main else "discriminator"
        seen.setdefault(name, trained.named(objective.backend, gradients))
        update(trained, gradients, lr)

    objective.update = noted
    return seen


def _weights(side: Twin, networks: dict, keys: dict) -> dict[str, np.ndarray]:
    """Return all weights and statistics by official key."""
    found = {}
    for name, (network, _) in networks.items():
        found |= {keys[name][own]: value for own, value in side.weights.get_weights(network).items()}
    return found


def _rates(vector: Vector, config: Config, step: int, lr: float) -> Iterator[Check]:
    want = vector.arrays["lr_g"][step]
    factors = (config.optim.backbone_lr_mult, *[config.optim.head_lr_mult] * (len(want) - 1))
    got = [group_rate(config.optim, lr, factor) for factor in factors]
    yield Check(f"rates of step {step + 1}", np.array(got), want, RATE)
    if "lr_d" in vector.arrays:
        critic = group_rate(config.optim, lr, 1.0, config.method.warmup.discriminator_lr)
        yield Check(f"rate of D, step {step + 1}", np.array([critic]), vector.arrays["lr_d"][step], RATE)


def _losses(vector: Vector, step: int, losses: dict[str, float]) -> Iterator[Check]:
    params, names = vector.params, json.loads(str(vector.arrays["loss_names"]))
    together = params["mode"] == "warmup" and len(names) == 2  # the official warm-up adds its two losses up
    for column, name in enumerate(names):
        if name.startswith("D_"):
            got = losses["discriminator"]
        elif together:
            got = losses["loss"]
        elif params["mode"] == "sl" and name == "mask_loss":  # the source's part, where it takes part
            got = losses["source"] * params["srcw"]
        elif name in PARTS:
            part, weight = PARTS[name]
            got = losses[part] * (params[weight] if weight else 1.0)
        else:
            got = losses["adversarial"] * params["advw"]
        yield Check(f"{name}, step {step + 1}", got, vector.arrays["losses"][step, column], LOSS)


def _gradients(vector: Vector, keys: dict, seen: dict) -> Iterator[Check]:
    by_key = {keys[name][own]: value for name, found in seen.items() for own, value in found.items()}
    for key, want in vector.stored("grad1__"):
        got = by_key[key][_slices(vector, key)]
        if not key.startswith("backbone."):
            yield Check(f"gradient {key}", got, want, HEAD)
            continue
        yield Check(f"gradient {key}", got, want, BACKBONE)
        flat = got.ravel().astype(np.float64), want.ravel().astype(np.float64)
        similar = flat[0] @ flat[1] / (np.linalg.norm(flat[0]) * np.linalg.norm(flat[1]))
        yield Check(f"direction {key}", similar, 1.0, COSINE, "absolute")
    for letter, name in (("G", "main"), ("D", "discriminator")):
        if f"gnorm1__{letter}" in vector.arrays:
            norm = np.sqrt(sum(np.square(one, dtype=np.float64).sum() for one in seen[name].values()))
            yield Check(f"gradient norm {letter}", norm, vector.arrays[f"gnorm1__{letter}"], NORM)


def _values(vector: Vector, step: int, before: dict, after: dict) -> Iterator[Check]:
    """Compare the changes of weights in units of their rate; one float32 spacing of the weight is allowed beside."""
    for key, want in vector.stored(f"value{step}__"):
        part = _slices(vector, key)
        rate = vector.arrays["lr_d" if key.startswith("discriminators.") else "lr_g"][0]
        rate = float(rate[0] if key.startswith(("backbone.", "discriminators.")) else rate[-1])
        gap = np.abs(after[key][part].astype(np.float64) - want) / rate
        rounding = float(np.spacing(np.abs(want).max())) / rate
        assert np.any(before[key][part] != after[key][part]), f"{key} did not move"
        if not key.startswith("backbone."):
            yield Check(f"value {step} {key}", gap.max(), 0.0, STEP_HEAD + rounding, "absolute")
        else:
            yield Check(f"median {step} {key}", np.median(gap), 0.0, STEP_MEDIAN + rounding, "absolute")
            yield Check(f"99 % {step} {key}", np.quantile(gap, 0.99), 0.0, STEP_MOST[step] + rounding, "absolute")


def _statistics(vector: Vector, step: int, after: dict) -> Iterator[Check]:
    for key, want in vector.stored(f"buffer{step}__"):
        if key in after:  # MindSpore has no counter of batches
            yield Check(f"buffer {step} {key}", after[key][_slices(vector, key)], want, STATISTIC)


def _slices(vector: Vector, key: str) -> tuple:
    """Decode the slice of a parameter in NumPy's notation: ``:8,:16,0,0`` or ``...``."""
    text = json.loads(str(vector.arrays["slices"])).get(key, "...")
    parts: list = []
    for one in text.split(","):
        if one.strip() == "...":
            parts.append(Ellipsis)
        elif ":" in one:
            parts.append(slice(*(int(n) if n.strip() else None for n in one.split(":"))))
        else:
            parts.append(int(one))
    return tuple(parts)


RUNNERS = {"step_": steps}
