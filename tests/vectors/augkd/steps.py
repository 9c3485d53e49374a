"""Step vectors of AuG-KD: the official training loops, through the public objectives and their configuration.

A parameter after n steps is compared as it is, and so is its gradient at the first step. Adam turns the sign of a
gradient that is but noise into a whole step, so tolerances follow the file's own distances between the official
float32 and float64 runs.
"""

import re
from collections.abc import Iterator

import numpy as np

from common.accuracy import ranked
from common.config import Config
from common.schedules import learning_rate
from tests.reference.fill import fill
from tests.twins import Twin, twin
from tests.vectors import Check, Vector
from tests.vectors.augkd.networks import calibrate
from tests.vectors.augkd.reading import (
    CIFAR,
    IMAGENET,
    classifier_config,
    images_of,
    meta_of,
    network_of,
    unit_images,
)

FLOORS, LEAST = 10.0, 1e-5  # x the file's distance of float32 from float64; least tolerance, of the maximum
GRADIENT, MOVED = 5e-2, 0.2  # of the norm: a ReLU of ResNet-34 that rounding puts on the other side; Adam's signs
AFTER, GONE = 0.35, 0.8  # the same of networks that see a generator which has learnt: its own noise is in them
LOOSE = {"teacher": 1e-3, "anchor": 1e-3, "kd": 1e-3, "df": 1e-3}  # relative: first loss, outputs and gradients
VARIANTS = {  # of stage 3: what the configuration says
    "official": {"compat": "official"},
    "no_anchor": {"compat": "official"},
    "paper": {"compat": "paper"},
    "teacher_only": {"mixup": {"target": "teacher", "normalize_real": False}},
    "normalize_only": {"mixup": {"target": "student", "normalize_real": True}},
}
OBJECTIVES = {
    "teacher": "supervised_classes",
    "finetune": "supervised_classes",
    "kd": "augkd_distilled",
    "anchor": "augkd_anchor",
    "mixup": "augkd_mixup",
    "df": "augkd_datafree",
}


class Reference:
    """What a file holds, and how near a result has to come to it."""

    def __init__(self, vector: Vector, kind: str):
        """Read."""
        self.arrays, self.meta = vector.arrays, meta_of(vector)
        self.floors, self.slices = self.meta["float32_vs_float64_maxdiff_and_maxabs"], self.meta.get("slices", {})
        self.loose = LOOSE.get(kind, 1e-4)
        self.shapes: dict[str, tuple[int, ...]] = {}

    def check(self, name: str, got, first: bool = False) -> Check:
        """Return the check of an array; ``first`` marks what is known before the first update."""
        want = self.arrays.get(name, self.arrays.get(f"f64:{name}"))
        floor, largest = self.floors.get(name, (0.0, 0.0))
        largest = max(largest, float(np.abs(want).max()))
        tol = max(FLOORS * floor, LEAST * largest)
        return Check(name, got, want, max(tol, self.loose * largest) if first else tol, "absolute")

    def parameters(self, prefix: str, got: dict[str, np.ndarray], network: str = "") -> Iterator[Check]:
        """Yield the checks of the stored parts of parameters or gradients, called ``PREFIX:[NETWORK:]KEY``."""
        begin = f"{prefix}:{network}:" if network else f"{prefix}:"
        slices = self.slices.get(network, {}) if network else self.slices
        names = {name.removeprefix("f64:") for name in self.arrays if name.removeprefix("f64:").startswith(begin)}
        for name in sorted(names):
            key = name.removeprefix(begin)
            part = _part(slices.get(key, "all"))
            self.shapes[key] = got[key].shape
            if prefix == "grad1":
                yield Check(name, got[key][part], self.arrays[name], self.noise(network)[0], "norm")
            else:
                yield from self.moved(name, got[key][part], network, int(prefix.removeprefix("after")))

    def noise(self, network: str) -> tuple[float, float]:
        """Return the tolerances of a gradient and of a change, of the norm."""
        later = network in ("student", "encoder") and self.meta.get("d_lr", 0.0) > 0
        return (AFTER, GONE) if later or (network and self.meta.get("iterations", 1) > 1) else (GRADIENT, MOVED)

    def moved(self, name: str, got: np.ndarray, network: str, steps: int) -> Iterator[Check]:
        """Yield the checks of a parameter after some steps: by element, and how far it has moved as a whole.

        In float32 single elements may have gone every step the other way, the whole has not: half the learning rate
        would be an error of a half.
        """
        want, key = self.arrays[f"f64:{name}"], name.rpartition(":")[2]
        floor, largest = self.floors[name][0], float(np.abs(want).max())
        rate = max(self.meta.get(rate) or 0.0 for rate in ("lr", "a_lr", "d_lr"))
        inner = self.arrays["z_inner"].shape[1] if network in ("student", "encoder") else 1
        yield Check(name, got, want, max(FLOORS * floor, 2 * steps * inner * rate * max(1.0, largest)), "absolute")
        if not key.endswith(("running_mean", "running_var")):
            slices = self.slices.get(network, {}) if network else self.slices
            before = fill(key, self.shapes[key])[_part(slices.get(key, "all"))].astype(np.float64)
            tol = self.noise(network)[1]
            yield Check(f"{name} change", got.astype(np.float64) - before, want - before, tol, "norm")


def _part(steps: str | list[int]) -> tuple[slice, ...]:
    """Return the slices of a stored parameter: a step along each axis, or all of it."""
    return () if steps == "all" else tuple(slice(None, None, step) for step in steps)


def configuration(meta: dict, kind: str, **method) -> Config:
    """Return the configuration that a file's parameters describe."""
    constants = CIFAR.get(meta["dataset"], IMAGENET)
    optim = {"name": "adam", "lr": meta.get("lr", 1e-3), "weight_decay": meta.get("wd", 0.0), "head_lr_mult": 1.0}
    optim["schedule"] = "constant_after_third"
    if kind == "anchor":
        optim |= {"lr": meta["a_lr"], "weight_decay": 0.0, "schedule": "cosine_wave", "horizon": meta["a_epoch"]}
    if kind == "df":
        optim |= {"schedule": "cosine_wave", "horizon": meta["g_epoch"], "epoch": meta["iterations"]}
    if kind == "teacher":
        optim["weight_decay"] = 0.0
    own = classifier_config(meta["teacher"] if kind == "teacher" else meta["student"])
    return Config.model_validate(
        {
            "name": "vector",
            "task": "classification",
            "data": {"val": {"layout": "class_folders", "root": "unused"}},
            "classes": {"names": [f"class {index}" for index in range(meta["num_classes"])]},
            "input": {"order": "rgb", "scale": 1 / 255, **constants},
            "network": own,
            "optim": optim,
            "method": {
                "name": "augkd",
                "latent_size": meta.get("latent", 100),
                "teacher": {"network": classifier_config(meta["teacher"])},
                **method,
            },
        }
    )


def frozen_networks(side: Twin, backend, vector: Vector, config: Config, roles: tuple[str, ...]) -> dict:
    """Return the weights of fixed networks: filled, and calibrated with the dataset's arrays of ``calib.npz``."""
    from common.methods.augkd_networks import networks

    meta, described = meta_of(vector), networks(config)
    with np.load(vector.path.with_name("calib.npz"), allow_pickle=False) as file:
        x, y, z = (file[f"{meta['dataset']}_{name}"] for name in ("x_u8", "y", "z"))
    labels, latent = y.astype(np.int32), z.astype(np.float32)
    silence = np.zeros_like(latent)
    given = {
        "teacher": (images_of(x, meta),),
        "encoder": (unit_images(x), labels, silence),
        "generator": (latent, labels),
        "anchor": (latent, labels),
    }
    weights = {}
    for role in roles:
        network = network_of(side, described[role], len(config.classes.names))
        calibrate(side, network, *given[role])
        weights[role] = side.weights.get_weights(network)
    return weights


def build(side: Twin, backend, vector: Vector, kind: str, config: Config, roles: tuple[str, ...]):
    """Return an objective: filled where it trains, calibrated where it is held fixed (and the anchor network too)."""
    fixed = frozen_networks(side, backend, vector, config, roles)
    own = fixed.pop(kind, None)  # the anchor network and stage 0's teacher begin calibrated too
    objective = backend.build(config, OBJECTIVES[kind], frozen=fixed)
    if own is None:
        side.fill(objective.network, "torch")
        own = side.weights.get_weights(objective.network)
    objective.load_weights(own)
    return objective


def canonical(side: Twin, objective) -> dict[str, np.ndarray]:
    """Return the weights of the network that trains, by official key."""
    return side.canonical(objective.state()["model"], objective.network)


def train_logits(side: Twin, objective, *inputs, network=None) -> np.ndarray:
    """Return the logits of the network that trains, in training mode; nothing is changed by it."""
    network = network or objective.network
    before = side.weights.get_weights(network)
    logits = side.numpy(network(*inputs)[-1])
    side.weights.set_weights(network, before)
    return logits


def steps(
    vector: Vector, backend, kind: str, objective, config: Config, batches: list[dict], logits
) -> Iterator[Check]:
    """Train step by step; compare outputs and gradients of the first, losses, weights, rates and training accuracy.

    Args:
        vector, backend: As for every runner.
        kind: Of the loop.
        objective: At the beginning.
        config: Its configuration.
        batches: One a step.
        logits: Gives the logits of a batch in training mode and its labels, for the accuracies; None leaves them out.
    """
    side, reference = twin(backend.name), Reference(vector, kind)
    kinds = side.weights.layer_kinds(objective.network)
    names = {own: side.canonical_name(own, kinds) for own in objective.state()["model"]}
    _, gradients = objective.gradients(batches[0])
    yield from reference.parameters("grad1", {names[own]: value for own, value in gradients.items()})
    losses, rates, places = [], [], []
    for number, batch in enumerate(batches):
        if logits:
            scores, labels = logits(batch)
            places += _places(scores, labels)
            if number == 0:
                yield reference.check("outputs1", scores, first=True)
        rates.append(learning_rate(config.optim, number, 10**9))
        losses.append(float(side.numpy(objective.step(batch, rates[-1])["loss"])))
        yield from reference.parameters(f"after{number + 1}", canonical(side, objective))
    yield Check("lr", rates, vector.arrays["lr"], 1e-9)
    yield reference.check("losses", np.array(losses), first=len(losses) == 1)
    if len(losses) > 1:
        first = reference.arrays["losses"][0]
        yield Check("first loss", losses[0], first, reference.loose * abs(first), "absolute")
    if "epoch_loss_sum" in vector.arrays and kind != "teacher":
        yield reference.check("epoch_loss_sum", np.array(sum(losses)))
    if "train_metrics" in vector.arrays and logits:
        got = [np.mean(np.array(places) < k) for k in (1, 3, 5)]
        yield Check("train metrics", got, vector.arrays["train_metrics"], 1e-6, "absolute")
    elif "train_metrics" in vector.arrays:
        yield reference.check("train_metrics", np.array([sum(losses)]))


def classifier(kind: str):
    """Return the runner of a loop on labelled images: stage 0, fine-tuning, plain distillation."""

    def run(vector: Vector, backend) -> Iterator[Check]:
        side, arrays = twin(backend.name), vector.arrays
        config = configuration(meta_of(vector), kind)
        objective = build(side, backend, vector, kind, config, ("teacher",) if kind in ("kd", "teacher") else ())
        batches = [{"target_image": x, "target_label": y.astype(np.int32)} for x, y in zip(arrays["x_u8"], arrays["y"])]

        def logits(batch: dict) -> tuple[np.ndarray, np.ndarray]:
            images = objective.normalise(objective.backend.tensor(batch["target_image"]))
            return train_logits(side, objective, images), batch["target_label"]

        if kind == "kd":
            images = objective.normalise(objective.backend.tensor(arrays["x_u8"][0]))
            target = side.numpy(objective.teacher(images)[-1])
            yield Reference(vector, kind).check("t_outputs1", target, first=True)
        yield from steps(vector, backend, kind, objective, config, batches, logits)

    return run


def anchors(vector: Vector, backend) -> Iterator[Check]:
    """Stage 2: anchor loss, teacher's logits, masks."""
    side, arrays, meta = twin(backend.name), vector.arrays, meta_of(vector)
    config = configuration(meta, "anchor", anchor={"invariant": meta["invariant"]})
    roles = ("teacher", "generator", "encoder", "anchor")
    objective = build(side, backend, vector, "anchor", config, roles)
    batches = [_noisy(*one) for one in zip(arrays["x_u8"], arrays["y"], arrays["eps"])]
    image, label, noise = (objective.backend.tensor(batches[0][key]) for key in ("image", "label", "noise"))
    before = side.weights.get_weights(objective.network)
    _, logits, mask = objective.anchored(objective.network, objective.unit(image), label, noise)
    side.weights.set_weights(objective.network, before)
    reference = Reference(vector, "anchor")
    yield reference.check("outputs1", side.numpy(logits), first=True)
    yield reference.check("mask1", side.numpy(mask), first=True)
    yield from steps(vector, backend, "anchor", objective, config, batches, None)


def mixtures(vector: Vector, backend) -> Iterator[Check]:
    """Stage 3 in its variants, with stored dropout masks where the file has them."""
    side, arrays, meta = twin(backend.name), vector.arrays, meta_of(vector)
    config = configuration(meta, "mixup", **VARIANTS[meta["variant"]])
    roles = ("teacher", "generator", "encoder", *(("anchor",) if meta["variant"] != "no_anchor" else ()))
    objective = build(side, backend, vector, "mixup", config, roles)
    batches = [_noisy(*one) for one in zip(arrays["x_u8"], arrays["y"], arrays["eps"])]
    for number, batch in enumerate(batches):
        batch["ratio"] = np.array(meta["s"], np.float32)
        if "dropout_keep_bits" in arrays:
            kept = np.unpackbits(arrays["dropout_keep_bits"][number], axis=-1)
            units = config.network.dropout_units()
            batch |= {"dropout": kept[0][:, :units], "target_dropout": kept[1][:, :units]}

    def images_of_batch(batch: dict):
        given = (objective.backend.tensor(batch[key]) for key in ("image", "label", "noise", "ratio"))
        return objective.student_images(*given)

    def logits(batch: dict) -> tuple[np.ndarray, np.ndarray]:
        kept = [objective.backend.tensor(batch["dropout"])] if "dropout" in batch else []
        return train_logits(side, objective, images_of_batch(batch), *kept), np.tile(batch["label"], 2)

    reference, images = Reference(vector, "mixup"), images_of_batch(batches[0])
    if config.method.mixup.target == "teacher":
        reference.loose = LOOSE["kd"]
        target = side.numpy(objective.teacher(images)[-1])
    else:
        kept = [objective.backend.tensor(batches[0]["target_dropout"])] if "target_dropout" in batches[0] else []
        target = train_logits(side, objective, images, *kept)
    yield reference.check("t_outputs1", target, first=True)
    yield from steps(vector, backend, "mixup", objective, config, batches, logits)


def _noisy(x: np.ndarray, y: np.ndarray, eps: np.ndarray) -> dict[str, np.ndarray]:
    return {"image": x, "label": y.astype(np.int32), "noise": eps.astype(np.float32)}


def mixup_build(vector: Vector, backend) -> Iterator[Check]:
    """Every tensor on the way to the student's images."""
    side, arrays, meta = twin(backend.name), vector.arrays, meta_of(vector)
    config = configuration(meta, "mixup", compat="official")
    objective = build(side, backend, vector, "mixup", config, ("teacher", "generator", "encoder", "anchor"))
    batch = _noisy(arrays["x_u8"], arrays["y"], arrays["eps"])
    image, label, noise = (objective.backend.tensor(batch[key]) for key in ("image", "label", "noise"))
    ratio = objective.backend.tensor(np.array(meta["s"], np.float32))
    found = objective.mixture(objective.unit(image), label, noise, ratio)
    for name, value in zip(("z", "z_anchor", "mask", "z_mixed"), found):
        yield Check(name, side.numpy(value), arrays[name], 1e-4, "absolute")
    step = image.shape[2] // arrays["generated"].shape[2]
    generated = side.numpy(found[4])[:, :, ::step, ::step]
    yield Check("generated", generated, arrays["generated"], 1e-4, "absolute")
    seen = side.numpy(objective.student_images(image, label, noise, ratio))[:, :, ::step, ::step]
    yield Check("student input", seen, arrays["student_input"], 1e-4, "absolute")


def calibration(vector: Vector, backend) -> Iterator[Check]:
    """The calibration batch is what the other files are made with: images, classes and latent vectors of one length."""
    for name, images in vector.arrays.items():
        if match := re.fullmatch(r"(\w+)_x_u8", name):
            labels, latent = (vector.arrays[f"{match[1]}_{part}"] for part in ("y", "z"))
            side = twin(backend.name)
            network = network_of(side, classifier_config("resnet18"), int(labels.max()) + 1)
            logits = side.numpy(calibrate(side, network, images_of(images, {"dataset": match[1]}))[-1])
            yield Check(f"{match[1]} lengths", [len(logits), len(latent)], [len(images), len(labels)], kind="exact")
            running = side.canonical(side.weights.get_weights(network), network)["bn1.running_mean"]
            mean = _first_means(side, network, images_of(images, {"dataset": match[1]}))
            yield Check(f"{match[1]} first statistics", running, mean, 1e-4)


def _first_means(side: Twin, network, images: np.ndarray) -> np.ndarray:
    hook = side.module("nets.statistics").InputStatistics(network)
    with hook:
        network(side.tensor(images))
        return side.numpy(hook.collected()[0])[: network.bn1.num_features]


def validation(vector: Vector, backend) -> Iterator[Check]:
    """Official validation: of stage 2, which normalises what the encoder sees, and of the teacher."""
    side, arrays, meta = twin(backend.name), vector.arrays, meta_of(vector)
    meta = {"num_classes": 31, "student": "mobilenet_v3_small", "a_lr": 1e-3, "a_epoch": 200, **meta}
    meta["num_classes"] = arrays["teacher_softmax"].shape[-1]
    config = configuration(meta, "anchor", compat="official", anchor={"invariant": meta["invariant"]})
    roles = ("teacher", "generator", "encoder", "anchor")
    objective = build(side, backend, vector, "anchor", config, roles)
    batches = [_noisy(*one) for one in zip(arrays["x_u8"], arrays["y"], arrays["eps"])]
    found = [objective.judge(batch["image"], batch["label"], batch["noise"]) for batch in batches]
    want = arrays["anchor_loss"]
    yield Check("anchor loss", sum(loss for loss, _ in found), want, 1e-4 * abs(float(want)), "absolute")
    scores = _softmax(np.concatenate([logits for _, logits in found]))
    yield Check("teacher on anchors", scores, arrays["teacher_softmax"], 1e-3, "absolute")
    images = np.concatenate([batch["image"] for batch in batches])
    logits = side.numpy(objective.teacher(objective.normalise(objective.backend.tensor(images)))[-1])
    yield Check("teacher", _softmax(logits), arrays["teacher_val_softmax"], 1e-3, "absolute")
    labels = np.concatenate([batch["label"] for batch in batches])
    got = [np.mean(np.array(_places(logits, labels)) < k) for k in (1, 3, 5)]
    yield Check("teacher accuracy", got, arrays["teacher_val_acc"], 1e-6, "absolute")


def _places(logits: np.ndarray, labels: np.ndarray) -> list[int]:
    """Return at which place among all ranked classes each label stands, from 0."""
    return [int(np.flatnonzero(row == label)[0]) for row, label in zip(ranked(logits, logits.shape[1]), labels)]


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def datafree(vector: Vector, backend) -> Iterator[Check]:
    """Stage 1: whole iterations of generator, student and encoder, then the judgement of an epoch."""
    side, arrays, meta = twin(backend.name), vector.arrays, meta_of(vector)
    rates = {"generator_lr": meta["d_lr"], "encoder_lr": meta["e_lr"]}
    shape = {"epochs": meta["g_epoch"], "iterations": meta["iterations"], "inner": arrays["z_inner"].shape[1]}
    config = configuration(meta, "df", datafree={**rates, **shape})
    objective = build(side, backend, vector, "df", config, ("teacher",))
    networks = {"decoder": objective.generator, "student": objective.network, "encoder": objective.encoder}
    for network in networks.values():
        side.fill(network, "torch")
    reference = Reference(vector, "df")
    yield from _first_gradients(side, objective, reference, arrays)
    losses: dict[str, list] = {"decoder": [], "student": [], "encoder": []}
    for number in range(meta["iterations"]):
        rate = learning_rate(config.optim, number, 10**9)
        latent = arrays["z_decoder"][number].astype(np.float32)
        losses["decoder"].append(float(side.numpy(objective.generator_step({"latent": latent}, rate)["generator"])))
        for z, eps in zip(arrays["z_inner"][number], arrays["eps_inner"][number]):
            part = {"latent": z.astype(np.float32), "noise": eps.astype(np.float32)}
            done = objective.student_step(part, rate)
            losses["student"].append(float(side.numpy(done["loss"])))
            losses["encoder"].append(float(side.numpy(done["encoder"])))
        for name, network in networks.items():
            weights = side.canonical(side.weights.get_weights(network), network)
            yield from reference.parameters(f"after{number + 1}", weights, name)
    for name, values in losses.items():
        want = arrays[f"loss_{name}"]
        yield reference.check(f"loss_{name}", np.reshape(values, want.shape))
        if name == "decoder" or not meta["d_lr"]:
            first = want.reshape(-1)[0]
            yield Check(f"first loss {name}", values[0], first, 1e-3 * abs(first), "absolute")
    after = learning_rate(config.optim, meta["iterations"], 10**9)
    rates = [after * meta["d_lr"] / meta["lr"], after, meta["e_lr"]]
    yield Check("rates after the epoch", rates, arrays["lr_after_epoch"], 1e-9, "absolute")
    noise = arrays["val_eps"].astype(np.float32)
    latent = arrays["val_z"].astype(np.float32).reshape(noise.shape)
    for name, value in zip(("decoder", "encoder"), objective.judge(latent, noise)):
        yield reference.check(f"val_{name}_loss", np.array(value))
    images = objective.backend.tensor(arrays["val_x_u8"])
    yield reference.check("val_student_logits", side.numpy(objective.logits(objective.normalise(images))))


def _first_gradients(side: Twin, objective, reference: Reference, arrays: dict) -> Iterator[Check]:
    """Compare the first gradient of each optimizer, each at the moment of its first step; puts everything back."""
    networks = {"decoder": objective.generator, "student": objective.network, "encoder": objective.encoder}
    before, rate = objective.state(), objective.config.optim.lr
    latent = arrays["z_decoder"][0].astype(np.float32)
    part = {"latent": arrays["z_inner"][0, 0].astype(np.float32), "noise": arrays["eps_inner"][0, 0].astype(np.float32)}
    found = {"decoder": objective.generator_gradients({"latent": latent})}
    objective.generator_step({"latent": latent}, rate)
    found["student"], found["encoder"] = objective.student_gradients(part)
    for name, gradients in found.items():
        kinds = side.weights.layer_kinds(networks[name])
        named = {side.canonical_name(own, kinds): value for own, value in gradients.items()}
        yield from reference.parameters("grad1", named, name)
    objective.load_state(before)


RUNNERS = {
    "calib": calibration,
    "mixup_build": mixup_build,
    "validate": validation,
    "step_teacher": classifier("teacher"),
    "step_finetune": classifier("finetune"),
    "step_kd": classifier("kd"),
    "step_anchor": anchors,
    "step_mixup": mixtures,
    "step_df": datafree,
}
