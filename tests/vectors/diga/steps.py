"""Step vectors of DiGA: three iterations of the official loops, through the public objectives.

The files hold float64 results of networks whose batch statistics amplify float32 noise. So both backends are compared
in float32 with the tolerances that the README measured there. Where ours is noisier, PyTorch is compared in float64 as
well, where nothing hides.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from common.data.class_mixing import label_edges
from convert.optimizer import split
from tests.double import double_backend
from tests.twins import Twin, twin
from tests.vectors import Check, Vector
from tests.vectors.diga.networks import filled
from tests.vectors.diga.step_inputs import (
    classes_of,
    configuration,
    fill_both_directions,
    inputs,
    is_semi,
    is_translated,
    prescribed,
    rgb,
    started,
    step_batch,
)
from tests.vectors.diga.step_limits import EXACT, Limits, float32_limits, is_noisy

HEADS = ("final.", "ocrnet.")
SAME = 1e-6  # relative; losses that add up to the total do so to the last digit
LOSSES = {
    "loss_semseg": "seg",
    "loss_s_distil": "distil",
    "loss_distil": "distil",
    "loss_crossmix_semseg": "mixed",
    "total_loss": "loss",
    "loss_d_s2t": "critic_s2t",
    "loss_d_t2s": "critic_t2s",
    "loss_recon_self": "reconstruction",
    "loss_recon_cyc": "cycle",
    "loss_perceptual": "perceptual",
    "loss_seg_edge_s2t": "edge",
    "loss_image_translation": "adversarial",
}


def training(vector: Vector, backend) -> Iterator[Check]:
    """Warm-up or self-training, of whichever network the stored keys belong to."""
    yield from _everywhere(_training, vector, backend)


def translator(vector: Vector, backend) -> Iterator[Check]:
    """The translator's loop: discriminators, then generators."""
    yield from _everywhere(_translator, vector, backend)


def _everywhere(run, vector: Vector, backend) -> Iterator[Check]:
    """Run in float32; and PyTorch in float64 too, where float32 may be farther off than the README says."""
    yield from run(vector, backend, float32_limits(vector.stem), np.float32)
    if backend.name == "torch" and is_noisy(vector.stem):
        backend.release()  # else the first networks would stay beside the wider ones
        with double_backend() as exact:
            checks = list(run(vector, exact, EXACT, np.float64))
        yield from (replace(check, case=f"float64 {check.case}") for check in checks)


def _training(vector: Vector, backend, limits: Limits, dtype: type) -> Iterator[Check]:
    side, arrays = twin(backend.name), inputs(vector)
    network = {"name": "hrnet_ocr", "reverse_channels": True} if is_semi(vector) else {"name": "deeplabv2_se"}
    selftraining = "selftrain" in vector.stem
    config = configuration(vector, network, classes_of(vector, arrays))
    translated = is_translated(vector, arrays, selftraining)
    objective = started(side, backend, config, "diga_selftraining" if selftraining else "diga_warmup", translated)
    if selftraining:
        width = arrays["centroids_init"].shape
        objective.load_memory({"centroids": arrays["centroids_init"], "counts": np.zeros(width[0], np.float32)})
    steps = range(vector.params["iters"])
    batches = [step_batch(vector, arrays, step, config, translated, selftraining, dtype) for step in steps]
    yield from _gradients(vector, side, objective, batches[0], limits)
    yield from _run(vector, side, objective, arrays, batches, limits)


def _run(
    vector: Vector, side: Twin, objective, arrays: dict, batches: list[dict], limits: Limits
) -> Iterator[Check]:
    selftraining, first = "centroids_init" in arrays, None
    for step, batch in enumerate(batches):
        if selftraining and step == 0:
            found, kept = objective.consensus(batch)
            yield from _labels("feat_pseudo", found, vector, limits)
            yield from _labels("tlabelv_pseudo", kept, vector, limits)
        losses = _losses(side, objective.step(batch, vector.params["lr"][step][0]))
        losses["seg"] += losses.get("mixed", 0.0) * _holds_both(prescribed(vector), step)
        yield from _compared(vector, losses, step, limits)
        state = _canonical(vector, side, objective)
        first = first or state
        if step == 0:
            yield from _values(vector, state, "1", limits.value1, limits.buffer1)
            if selftraining and "t|centroid_delta" in vector.arrays:
                change = objective.memory()["centroids"] - arrays["centroids_init"]
                want = vector.arrays["t|centroid_delta"][0]
                yield Check("centroids 1", change[:, ::8], want, limits.backbone, "norm")
    yield from _values(vector, state, "3", limits.value3, limits.buffer3)
    yield from _deltas(vector, first, state, limits)


def _gradients(vector: Vector, side: Twin, objective, batch: dict, limits: Limits) -> Iterator[Check]:
    _, gradients = objective.gradients(batch)
    gradients = {f"student.{name}": value for name, value in side.canonical(gradients, objective.network).items()}
    yield from _compared_gradients(vector, gradients, limits)


def _from_moments(state: dict, side: Twin, beta: float) -> dict[str, np.ndarray]:
    """Return the gradients of the first step: Adam's first moments then are ``1 - beta`` times them."""
    parts = (split(state[name], side.name, only=True)[1] for name in ("optimizer", "optimizer_critics"))
    return {name: value / (1 - beta) for part in parts for name, value in part.slots["exp_avg"].items()}


def _compared_gradients(vector: Vector, gradients: dict[str, np.ndarray], limits: Limits) -> Iterator[Check]:
    for name, want in vector.stored("grad1|"):
        head = name.removeprefix("student.").startswith(HEADS)
        yield Check(f"grad1 {name}", _sampled(gradients[name]), want, limits.head if head else limits.backbone, "norm")
    for name, want in vector.stored("gradnorm1|"):
        yield Check(f"gradnorm1 {name}", np.linalg.norm(gradients[name].astype(np.float64)), want, limits.norm)


def _translator(vector: Vector, backend, limits: Limits, dtype: type) -> Iterator[Check]:
    side, arrays = twin(backend.name), inputs(vector)
    config = configuration(vector, {"name": "deeplabv2_se"}, classes_of(vector, arrays))
    objective = backend.build(config, "diga_translator")
    fill_both_directions(side, objective.network)
    fill_both_directions(side, objective.critics)
    if objective.features is not None:
        filled(side, objective.features, "vgg.")
    batch = {
        "source_image": rgb(arrays["src_u8_bgr"]),
        "target_image": rgb(arrays["tgt_u8_bgr"]),
        "source_edge": label_edges(arrays["src_label"].astype(np.int32)),
    }
    first = None
    for step in range(vector.params["iters"]):
        losses = _losses(side, objective.step(batch, vector.params["lr"][step][0]))
        yield from _compared(vector, losses, step, limits)
        whole = objective.state()
        state = {**whole["model"], **whole["critics"]}
        if first is None:
            first = state
            yield from _compared_gradients(vector, _from_moments(whole, side, config.optim.betas[0]), limits)
        yield from _values(vector, state, str(step + 1), limits.value1 if step == 0 else limits.value3, 0.0)
    yield from _deltas(vector, first, state, limits)


def _compared(vector: Vector, losses: dict[str, float], step: int, limits: Limits) -> Iterator[Check]:
    tol = limits.later if step else limits.first
    for name, want in vector.params["losses"][step].items():
        if name in LOSSES:
            yield Check(f"{name} {step + 1}", np.array(losses[LOSSES[name]]), np.array(want), tol)


def _values(vector: Vector, state: dict, when: str, value: float, buffer: float) -> Iterator[Check]:
    for name, want in vector.stored(f"val{when}|"):
        yield Check(f"val{when} {name}", _sampled(state[name]), want, value)
    for name, want in vector.stored(f"buf{when}|"):
        yield Check(f"buf{when} {name}", state[name].ravel()[:32], want, buffer)
    for name, want in vector.stored(f"ema{when}|"):
        yield Check(f"ema{when} {name}", _sampled(state[name]), want, value)


def _holds_both(params: dict, step: int) -> bool:
    """Return whether the official loss of the source includes that of the mixed images, which the total tells."""
    stored = params["losses"][step]
    distil = next((stored[name] for name in ("loss_distil", "loss_s_distil") if name in stored), None)
    if distil is None or not {"total_loss", "loss_semseg"} <= set(stored):
        return False
    rest = stored["total_loss"] - stored["loss_semseg"] - params["lambda_distil"] * distil
    return abs(rest) <= SAME * abs(stored["total_loss"])


def _deltas(vector: Vector, first: dict, last: dict, limits: Limits) -> Iterator[Check]:
    for name, want in vector.stored("delta3norm|"):
        change = np.linalg.norm(last[name].astype(np.float64) - first[name])
        yield Check(f"delta3norm {name}", change, want, limits.delta3)


def _labels(name: str, got: np.ndarray, vector: Vector, limits: Limits) -> Iterator[Check]:
    if f"t|{name}" in vector.arrays:
        different = float((got != vector.arrays[f"t|{name}"][0]).mean())
        yield Check(f"{name} 1, share that differs", np.array(different), np.array(0.0), limits.equal, "absolute")


def _losses(side: Twin, found: dict) -> dict[str, float]:
    return {name: float(side.numpy(value)) for name, value in found.items()}


def _canonical(vector: Vector, side: Twin, objective) -> dict[str, np.ndarray]:
    """Return the arrays of student and teacher that the file speaks of; all of them would be gigabytes in float64."""
    state, found = objective.state(), {name.partition("|")[2] for name in vector.arrays}
    named = {"student": state["model"], "teacher": state["teacher"]}
    every = {f"{w}.{n}": v for w, part in named.items() for n, v in side.canonical(part, objective.network).items()}
    return {name: value for name, value in every.items() if name in found}


def _sampled(value: np.ndarray) -> np.ndarray:
    flat = value.ravel()
    return flat[:: max(1, flat.size // 48)][:48].copy()


RUNNERS = {"step_": training, "step_translator": translator}
