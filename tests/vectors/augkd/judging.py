"""Vectors of AuG-KD beside its train steps: the mixture's tensors, the calibration batch, official validation."""

import re
from collections.abc import Iterator

import numpy as np

from common.accuracy import ranked
from tests.twins import Twin, twin
from tests.vectors import Check, Vector
from tests.vectors.augkd.networks import calibrate
from tests.vectors.augkd.reading import classifier_config, images_of, meta_of, network_of
from tests.vectors.augkd.setup import build, configuration, mixing_roles, noisy, options_of


def mixup_build(vector: Vector, backend) -> Iterator[Check]:
    """Every tensor on the way to the student's images."""
    side, arrays, meta = twin(backend.name), vector.arrays, meta_of(vector)
    config = configuration(meta, "mixup", **options_of(variant := meta.get("variant", vector.stem)))
    objective = build(backend, vector, "mixup", config, mixing_roles(variant))
    batch = noisy(arrays["x_u8"], arrays["y"], arrays["eps"])
    image, label, noise = (objective.backend.tensor(batch[key]) for key in ("image", "label", "noise"))
    ratio = objective.backend.tensor(np.array(meta["s"], np.float32))
    found = objective.mixture(objective.unit(image), label, noise, ratio)
    for name, value in zip(("z", "z_anchor", "mask", "z_mixed"), found):
        if name in arrays:
            yield Check(name, side.numpy(value), arrays[name], 1e-4, "absolute")
    step = round(image.shape[2] / arrays["generated"].shape[2])
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
    means = side.module("nets.statistics").InputStatistics(network)(side.tensor(images))[1]
    return side.numpy(means)[: network.bn1.num_features]


def validation(vector: Vector, backend) -> Iterator[Check]:
    """Official validation: of stage 2, which normalises what the encoder sees, and of the teacher."""
    side, arrays, meta = twin(backend.name), vector.arrays, meta_of(vector)
    meta = {"num_classes": 31, "student": "mobilenet_v3_small", "a_lr": 1e-3, "a_epoch": 200, **meta}
    meta["num_classes"] = arrays["teacher_softmax"].shape[-1]
    config = configuration(meta, "anchor", compat="official", anchor={"invariant": meta["invariant"]})
    roles = ("teacher", "generator", "encoder", "anchor")
    objective = build(backend, vector, "anchor", config, roles)
    batches = [noisy(*one) for one in zip(arrays["x_u8"], arrays["y"], arrays["eps"])]
    found = [objective.judge(batch["image"], batch["label"], batch["noise"]) for batch in batches]
    want = arrays["anchor_loss"]
    yield Check("anchor loss", sum(loss for loss, _ in found), want, 1e-4 * abs(float(want)), "absolute")
    scores = _softmax(np.concatenate([logits for _, logits in found]))
    yield Check("teacher on anchors", scores, arrays["teacher_softmax"], 1e-3, "absolute")
    images = np.concatenate([batch["image"] for batch in batches])
    logits = side.numpy(objective.teacher(objective.normalise(objective.backend.tensor(images)))[-1])
    yield Check("teacher", _softmax(logits), arrays["teacher_val_softmax"], 1e-3, "absolute")
    labels = np.concatenate([batch["label"] for batch in batches])
    got = [np.mean(np.array(places(logits, labels)) < k) for k in (1, 3, 5)]
    yield Check("teacher accuracy", got, arrays["teacher_val_acc"], 1e-6, "absolute")


def places(logits: np.ndarray, labels: np.ndarray) -> list[int]:
    """Return at which place among all ranked classes each label stands, from 0."""
    return [int(np.flatnonzero(row == label)[0]) for row, label in zip(ranked(logits, logits.shape[1]), labels)]


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


RUNNERS = {"calib": calibration, "mixup_build": mixup_build, "validate": validation}
