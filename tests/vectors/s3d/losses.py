"""Losses of S3D, MME, ENT and APE on logits, the predictors, style transfer, the optimizer."""

from collections.abc import Iterator

import numpy as np

from common.schema import OptimConfig
from tests.twins import Twin, twin
from tests.vectors import Check, Vector
from tests.vectors.s3d.cases import cases

LOSS, GRADIENT = 1e-5, 1e-6  # relative; absolute
HEADS = {"plain": "predictor", "deep": "predictor_deep"}
LARGE = 1e3  # logits beyond it: the gradient is compared with 1e-4


def loss_kd(vector: Vector, backend) -> Iterator[Check]:
    """Distillation between tempered softmaxes: value and gradient."""
    side = twin(backend.name)
    losses = side.module("class_losses")
    for case, arrays in cases(vector):
        temperature, teacher = float(arrays.get("temp", 4.0)), side.tensor(arrays["teacher"])
        (loss,), (grad,) = side.gradients(
            lambda z: (losses.distillation(z, teacher, temperature),),  # noqa: B023
            arrays["student"],
        )
        large = max(np.abs(arrays[name]).max() for name in ("student", "teacher")) > LARGE
        yield Check(f"{case} loss", loss, arrays["loss"], LOSS)
        yield Check(f"{case} gradient", grad, arrays["grad_student"], 1e-4 if large else GRADIENT, "absolute")


def loss_stage2(vector: Vector, backend) -> Iterator[Check]:
    """The whole objective of S3D's second stage on logits."""
    side = twin(backend.name)
    losses = side.module("class_losses")
    for case, arrays in cases(vector):
        target, weight = side.tensor(arrays["lab_target"].astype(np.int32)), float(arrays["lamb"])
        temperature = float(arrays["temp"])

        def total(lab, unl, assistant):
            parts = (
                side.losses.cross_entropy(lab, target),  # noqa: B023
                losses.confident_cross_entropy(unl),
                losses.distillation(unl, assistant, temperature),  # noqa: B023
            )
            return parts[0] + weight * parts[2] + parts[1], *parts  # noqa: B023

        inputs = [arrays[f"{name}_logits"] for name in ("lab", "unl", "assistant")]
        values, grads = side.gradients(total, *inputs)
        for name, value in zip(("total", "lab", "unl", "kd"), values):
            yield Check(f"{case} {name}", value, arrays[f"loss_{name}"], LOSS)
        for name, grad in zip(("lab", "unl"), grads):
            yield Check(f"{case} grad {name}", grad, arrays[f"grad_{name}"], GRADIENT, "absolute")
        yield Check(f"{case} grad assistant", grads[2], np.zeros_like(inputs[2]), kind="exact")
        _, (own,) = side.gradients(lambda z: (losses.confident_cross_entropy(z),), inputs[1])
        yield Check(f"{case} grad of loss_unl", own, arrays["grad_unl_of_loss_unl"], GRADIENT, "absolute")
        label, confidence = losses.pseudo_targets(side.tensor(inputs[1]))
        each = losses.cross_entropies(side.tensor(inputs[1]), label)
        yield Check(f"{case} pseudo", side.numpy(label), arrays["unl_pseudo"], kind="exact")
        yield Check(f"{case} confidence", side.numpy(confidence), arrays["unl_conf"], LOSS)
        yield Check(f"{case} each", side.numpy(each), arrays["unl_ce_each"], LOSS)


def predictor(vector: Vector, backend) -> Iterator[Check]:
    """Logits of both predictors and the gradients of a cross entropy, with and without reversal."""
    side = twin(backend.name)
    for case, arrays in cases(vector):
        head = _head(side, arrays)
        target = side.tensor(arrays["target"].astype(np.int32))
        reversal = float(arrays["eta"]) if arrays["reverse"] else 0.0

        def loss(head, x):
            _, logits = head(x, reversal)  # noqa: B023
            return side.losses.cross_entropy(logits, target), logits  # noqa: B023

        (value, logits), (grad,) = side.gradients(lambda x: loss(head, x), arrays["x"])  # noqa: B023
        yield Check(f"{case} logits", logits, arrays["logits"], LOSS)
        yield Check(f"{case} ce", value, arrays["ce"], LOSS)
        yield Check(f"{case} grad x", grad, arrays["grad_x"], LOSS)
        for key, own in side.parameter_gradients(head, lambda head, x: loss(head, x)[0], arrays["x"]).items():
            yield from _sampled(f"{case} grad {key}", key, own, arrays, LOSS, "relative")


def loss_entropy(vector: Vector, backend) -> Iterator[Check]:
    """Unlabelled losses of ENT and MME through a predictor."""
    side = twin(backend.name)
    losses = side.module("class_losses")
    for case, arrays in cases(vector):
        head = _head(side, arrays)
        adversarial, weight = str(arrays["method"]).lower() == "mme", float(arrays["lamda"])

        def loss(head, x):
            _, logits = head(x, 1.0 if adversarial else 0.0)  # noqa: B023
            return losses.entropy(logits) * (-weight if adversarial else weight)  # noqa: B023

        (value,), (grad,) = side.gradients(lambda x: (loss(head, x),), arrays["x"])  # noqa: B023
        yield Check(f"{case} loss", value, arrays["loss"], 1e-6, "absolute")
        yield _floored(f"{case} grad x", grad, arrays["grad_x"])
        for key, own in side.parameter_gradients(head, loss, arrays["x"]).items():
            for check in _sampled(f"{case} grad {key}", key, own, arrays, 0.0, "relative"):
                yield _floored(check.case, check.got, check.want)


def style_transfer(vector: Vector, backend) -> Iterator[Check]:
    """Mean, unbiased variance, and the transfer with its gradient; the statistics are constants."""
    side = twin(backend.name)
    styles = side.module("styles")
    for case, arrays in cases(vector):
        share, upstream, other = (side.tensor(arrays[name]) for name in ("lam", "upstream", "y"))

        def moved(x, y):
            out = styles.transfer(x, styles.style_of(x), styles.style_of(y), share)  # noqa: B023
            return (out * upstream).sum(), out  # noqa: B023

        (_, out), (grad, zero) = side.gradients(moved, arrays["x"], arrays["y"])
        for name, value in (("x", side.tensor(arrays["x"])), ("y", other)):
            for part, got in zip(("mean", "var"), styles.style_of(value)):
                yield Check(f"{case} {name} {part}", side.numpy(got), arrays[f"{name}_{part}"], LOSS)
        yield Check(f"{case} out", out, arrays["out"], LOSS)
        yield Check(f"{case} grad x", grad, arrays["grad_x"], LOSS)
        yield Check(f"{case} grad y", zero, np.zeros_like(arrays["y"]), kind="exact")


def ape_mmd(vector: Vector, backend) -> Iterator[Check]:
    """APE's attraction and its gradients; the loss is ten times it."""
    side = twin(backend.name)
    losses = side.module("class_losses")
    for case, arrays in cases(vector):
        sigmas = tuple(map(float, arrays["sigma"]))
        (value,), grads = side.gradients(lambda x, y: (losses.attraction(x, y, sigmas),), arrays["x"], arrays["y"])  # noqa: B023
        yield Check(f"{case} mmd2", value, arrays["mmd2"], 1e-6, "absolute")
        yield Check(f"{case} loss", 10.0 * value, arrays["loss_attract"], 1e-5, "absolute")
        for name, grad in zip("xy", grads):
            yield Check(f"{case} grad {name}", grad, arrays[f"grad_{name}"], 1e-6, "absolute")


def ape_explore(vector: Vector, backend) -> Iterator[Check]:
    """APE's exploration: predictions, entropies, which images count, loss and gradient."""
    side = twin(backend.name)
    losses = side.module("class_losses")
    for case, arrays in cases(vector):
        threshold, logits = float(arrays["thr"]), side.tensor(arrays["logits"])
        entropy = side.numpy(losses.entropies(logits))
        (value,), (grad,) = side.gradients(lambda z: (losses.exploration(z, threshold),), arrays["logits"])  # noqa: B023
        yield Check(f"{case} pred", side.numpy(losses.pseudo_targets(logits)[0]), arrays["pred"], kind="exact")
        yield _within(f"{case} entropy", entropy, arrays["entropy"])
        yield Check(f"{case} mask", (entropy < threshold).astype(np.float32), arrays["mask"], kind="exact")
        yield _within(f"{case} loss", value, arrays["loss"])
        yield _within(f"{case} gradient", grad, arrays["grad"])


def sgd(vector: Vector, backend) -> Iterator[Check]:
    """SGD with Nesterov momentum, some updates an iteration; two rates by parameter groups."""
    side, arrays = twin(backend.name), vector.arrays
    momentum, decay = float(arrays["momentum"]), float(arrays["weight_decay"])
    slow = float(arrays["lr"][0, 0] / arrays["lr"][0, 1])
    config = OptimConfig(
        name="sgd", nesterov=True, momentum=momentum, weight_decay=decay, backbone_lr_mult=slow, head_lr_mult=1.0
    )
    parameters = [side.parameter(row, f"row{index}") for index, row in enumerate(arrays["w0"])]
    groups = {"backbone": {"row0": parameters[0]}, "head": {"row1": parameters[1]}}
    optimizer = side.module("optim").Optimizer(groups, config)
    for step, rounds in enumerate(arrays["grads"]):
        for gradient in rounds:
            optimizer.step([side.tensor(row) for row in gradient], float(arrays["lr"][step, 1]))
        weights = np.stack([side.numpy(one) for one in parameters])
        kind = {"torch": "momentum_buffer", "mindspore": "accum"}[side.name]
        moments = np.stack([optimizer.state()[f"{kind}.row{index}"] for index in range(len(parameters))])
        yield Check(f"step {step} weights", weights, arrays["w"][step], 1e-6)
        yield Check(f"step {step} momentum", moments, arrays["momentum_buffer"][step], 1e-6)


def _head(side: Twin, arrays: dict):
    """Return a predictor with the weights that belong to its keys, the last one scaled where the file says so."""
    module, kind = side.module("nets.predictors"), HEADS[str(arrays["kind"])]
    head = module.PREDICTORS[kind](arrays["x"].shape[1], int(arrays["num_class"]), 0.05)
    head.HEADS = ("",)
    side.fill(head, "torch")
    last = "fc2.weight" if kind == "predictor_deep" else "fc.weight"
    weights = side.weights.get_weights(head)
    weights[last] = weights[last] * np.float32(arrays.get("last_weight_scale", 1.0))
    side.weights.set_weights(head, weights)
    return head


def _sampled(case: str, key: str, got: np.ndarray, arrays: dict, tol: float, kind: str) -> Iterator[Check]:
    """Compare a parameter's gradient, stored whole or, with ``_s``, as [::7, ::16]."""
    if f"grad_{key}_s" in arrays:
        yield Check(case, got[::7, ::16], arrays[f"grad_{key}_s"], tol, kind)
    elif f"grad_{key}" in arrays:
        yield Check(case, got, arrays[f"grad_{key}"], tol, kind)


def _floored(case: str, got: np.ndarray, want: np.ndarray) -> Check:
    """Compare with 1e-4 of the largest number, or 1e-6."""
    return Check(case, got, want, max(1e-4 * float(np.abs(want).max()), 1e-6), "absolute")


def _within(case: str, got: np.ndarray, want: np.ndarray) -> Check:
    """Compare with relative 1e-5 and absolute 1e-6."""
    return Check(case, got, want, 1e-6 + 1e-5 * float(np.abs(want).max()), "absolute")


RUNNERS = {
    "loss_kd": loss_kd,
    "loss_stage2": loss_stage2,
    "loss_entropy": loss_entropy,
    "style_transfer": style_transfer,
    "ape_mmd": ape_mmd,
    "ape_explore": ape_explore,
    "sgd_nesterov": sgd,
}
