"""Loss and evaluation vectors of DDM: cross entropy, equations 2 to 4, ensembles, the evaluation protocol."""

from collections.abc import Iterator

import numpy as np

from common.data.labels import class_set
from common.metrics import confusion, iou, score
from common.schema import ClassesConfig
from tests.twins import Twin, twin
from tests.vectors import Check, Vector

LOSS, GRADIENT = 1e-6, 1e-4  # relative, float32


def cross_entropy(vector: Vector, backend) -> Iterator[Check]:
    """AdvEnt's cross entropy: value and gradient with respect to the logits."""
    side, arrays = twin(backend.name), vector.arrays
    for case in vector.cases:
        label = side.tensor(_label(arrays[f"label_{case}"]))
        (loss,), (grad,) = side.gradients(lambda z: (side.losses.cross_entropy(z, label),), arrays[f"logits_{case}"])  # noqa: B023
        want = arrays.get(f"loss64_{case}", arrays[f"loss_{case}"])
        yield Check(f"{case} loss", loss, want if np.isfinite(want) else np.zeros_like(want), LOSS)
        yield Check(f"{case} gradient", grad, np.nan_to_num(arrays[f"grad_{case}"]), LOSS, "absolute")


def teacher_losses(vector: Vector, backend) -> Iterator[Check]:
    """Equations 2 (region level) and 3 (sample level), with upsampling and both classifiers."""
    side, arrays = twin(backend.name), vector.arrays
    for index, case in enumerate(vector.cases):
        weights = _option(vector, index)
        factors = (weights.get("lambda_main", 1.0), weights.get("lambda_aux", 0.1))
        parts = {name: _segmentation(side, arrays, name, case, factors) for name in ("rl", "s", "t")}
        yield Check(f"{case} eq2", np.stack(parts["rl"][0]), arrays[f"loss_rl_{case}"], LOSS)
        source, target = parts["s"][0], parts["t"][0]
        yield Check(f"{case} eq3", source[0] + target[0], arrays[f"loss_sl_{case}"], LOSS)
        yield Check(f"{case} eq3 parts", np.stack(source[1:] + target[1:]), arrays[f"loss_sl_parts_{case}"], LOSS)
        for name, (_, grads) in parts.items():
            for head, grad in zip(("aux", "main"), grads):
                yield from _gradient(f"grad_{name}_{head}_{case}", grad, arrays)


def student_loss(vector: Vector, backend) -> Iterator[Check]:
    """Equation 4 with its options: distillation from two teachers and cross entropy on labelled images."""
    side, arrays = twin(backend.name), vector.arrays
    for index, case in enumerate(vector.cases):
        options = _option(vector, index)
        (kl,), (grad,) = _distillation(side, arrays, case, options)
        names = [f"student_t_{head}_{case}" for head in ("aux", "main")]
        label = side.tensor(_label(arrays[f"y_t_{case}"]))
        factors = (options.get("lambda_main", 1.0), options.get("lambda_aux", 0.1))
        ce, ce_grads = side.gradients(
            lambda aux, main: side.losses.segmentation_loss(aux, main, label, *factors),  # noqa: B023
            *(arrays[name] for name in names),
        )
        lambda_kl, lambda_ce = options.get("lambda_kl", 0.5), options.get("lambda_ce", 1.0)
        yield Check(f"{case} kl", kl, arrays[f"loss_kl_{case}"], LOSS)
        yield Check(f"{case} ce", ce[0], arrays[f"loss_ce_{case}"], LOSS)
        yield Check(f"{case} total", lambda_kl * kl + lambda_ce * ce[0], arrays[f"loss_total_{case}"], LOSS)
        yield from _gradient(f"grad_student_u_{case}", lambda_kl * grad, arrays)
        for name, ce_grad in zip(names, ce_grads):
            yield from _gradient(f"grad_{name}", lambda_ce * ce_grad, arrays)


def ensemble(vector: Vector, backend) -> Iterator[Check]:
    """E(RL, SL): average of upsampled logits, and its argmax."""
    side, arrays, params = twin(backend.name), vector.arrays, vector.params
    teachers = [side.losses.upsample(side.tensor(arrays[f"teacher_{n}"]), tuple(params["HW"])) for n in ("rl", "sl")]
    mean = side.predict.ensemble(teachers, params.get("weights"))
    want = arrays["ensemble_logits"]
    step = round(mean.shape[2] / want.shape[2])  # the vector keeps every step-th pixel
    yield Check("logits", side.numpy(mean)[:, :, ::step, ::step], want, 1e-5, "absolute")
    yield Check("argmax", side.numpy(side.predict.label_map(mean)), arrays["argmax"], kind="exact")


def evaluation(vector: Vector, backend) -> Iterator[Check]:
    """The released evaluation with a stub network: upsampled argmax, confusion matrix, IoU, means."""
    side, arrays, params = twin(backend.name), vector.arrays, vector.params
    width, height = params["output_size_wh"]
    classes = int(params.get("num_classes", arrays["logits_main"].shape[1]))
    images, matrix, maps = np.zeros((1, 3, 8, 8), np.float32), np.zeros((classes, classes), np.int64), []
    for logits, label in zip(arrays["logits_main"], arrays["label"]):
        given = side.tensor(logits[None])
        scores = side.predict.predict(lambda _: given, side.tensor(images), (height, width))  # noqa: B023
        maps.append(side.numpy(side.predict.label_map(scores))[0])
        matrix += confusion(label, maps[-1], classes)
    yield Check("argmax", np.stack(maps), arrays["argmax"], kind="exact")
    yield Check("hist", matrix, arrays["hist"], kind="exact")
    yield Check("iou", iou(matrix), arrays["iou"], kind="exact")
    means = score(matrix, class_set(ClassesConfig(set=f"cityscapes{classes}"))).means
    got = [means.get(name, 0.0) for name in ("mIoU19", "mIoU16", "mIoU13")]
    yield Check("miou", np.array(got), arrays["miou"], kind="exact")


def _segmentation(side: Twin, arrays: dict, name: str, case: str, factors: tuple[float, float]):
    label = side.tensor(_label(arrays[f"y_{name}_{case}"]))
    return side.gradients(
        lambda aux, main: side.losses.segmentation_loss(aux, main, label, *factors),
        arrays[f"{name}_aux_{case}"],
        arrays[f"{name}_main_{case}"],
    )


def _distillation(side: Twin, arrays: dict, case: str, options: dict):
    teachers = tuple(side.tensor(arrays[f"teacher_{name}_u_{case}"]) for name in ("rl", "sl"))
    size = tuple(options.get("HW", arrays[f"y_t_{case}"].shape[1:]))
    named = {"T": "temperature", "t2": "t2", "ensemble": "ensemble", "reduction": "reduction"}
    chosen = {named[key]: value for key, value in options.items() if key in named}
    return side.gradients(
        lambda student: (side.losses.distillation_kl(student, teachers, size, **chosen),),
        arrays[f"student_u_{case}"],
    )


def _gradient(name: str, got: np.ndarray, arrays: dict) -> Iterator[Check]:
    """Compare a gradient: 1e-7 + relative 1e-4, as the README says for float32."""
    want = arrays[name]
    largest = max(float(np.abs(want).max()), 1e-30)
    yield Check(name, got, want, 1e-7 + GRADIENT * largest, "absolute")


def _label(array: np.ndarray) -> np.ndarray:
    return array.astype(np.int32)


def _option(vector: Vector, index: int) -> dict:
    """Return the options of a case; those of the file where a case has none of its own."""
    cases = vector.params.get("cases", [])
    return {**vector.params, **(cases[index] if index < len(cases) else {})}


RUNNERS = {
    "ce_advent": cross_entropy,
    "eq2_eq3": teacher_losses,
    "eq4": student_loss,
    "ensemble": ensemble,
    "eval_pipeline": evaluation,
}
