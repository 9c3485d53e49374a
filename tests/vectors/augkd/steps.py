"""Step vectors of AuG-KD on images: the official loops of stages 0, 2, 3 and the baselines, through the objectives."""

from collections.abc import Callable, Iterator

import numpy as np

from common.config import Config
from common.schedules import learning_rate
from tests.twins import Twin, twin
from tests.vectors import Check, Vector
from tests.vectors.augkd.judging import places
from tests.vectors.augkd.noise import Found, Reference, runner
from tests.vectors.augkd.reading import meta_of
from tests.vectors.augkd.setup import build, configuration, mixing_roles, noisy, options_of

Logits = Callable[[dict], tuple[np.ndarray, np.ndarray]]  # of a batch in training mode, and its labels


def train_logits(side: Twin, objective, *inputs) -> np.ndarray:
    """Return the logits of the network that trains, in training mode; nothing is changed by it."""
    before = side.weights.get_weights(objective.network)
    logits = side.numpy(objective.network(*inputs)[-1])
    side.weights.set_weights(objective.network, before)
    return logits


def kept(objective, batch: dict, name: str) -> list:
    """Return what dropout keeps in a pass as the network's further argument; none where the batch has none."""
    return [objective.backend.tensor(batch[name])] if name in batch else []


def steps(
    vector: Vector, backend, objective, config: Config, batches: list[dict], logits: Logits | None
) -> Iterator[Check | Found]:
    """Train step by step; yield outputs and gradients of the first, losses, weights, rates and training accuracy.

    Args:
        vector: The file.
        backend: The opened backend.
        objective: At the beginning.
        config: Its configuration.
        batches: One a step.
        logits: For the accuracies; None: the file's training metric is the sum of the losses.
    """
    side, reference = twin(backend.name), Reference(vector)
    yield from first_gradients(side, objective, reference, batches[0])
    before, losses, rates, ranks = _weights(side, objective), [], [], []
    for number, batch in enumerate(batches):
        if logits:
            scores, labels = logits(batch)
            ranks += places(scores, labels)
            if number == 0:
                yield Found("outputs1", scores)
        rates.append(learning_rate(config.optim, number, 10**9))
        losses.append(float(side.numpy(objective.step(batch, rates[-1])["loss"])))
        after = _weights(side, objective)
        for name in reference.names(f"after{number + 1}:"):
            key = name.partition(":")[2]
            yield Found(name, after[key], before[key])
    yield Check("lr", rates, vector.arrays["lr"], 1e-9)
    yield Found("losses", np.array(losses))
    if "epoch_loss_sum" in vector.arrays:
        yield Found("epoch_loss_sum", np.array(sum(losses)))
    if "train_metrics" in vector.arrays and logits:
        got = [np.mean(np.array(ranks) < k) for k in (1, 3, 5)]
        yield Check("train_metrics", got, vector.arrays["train_metrics"], 1e-6, "absolute")
    elif "train_metrics" in vector.arrays:
        yield Found("train_metrics", np.array([sum(losses)]))


def first_gradients(side: Twin, objective, reference: Reference, batch: dict) -> Iterator[Found]:
    """Yield the gradients before the first step."""
    gradients = side.canonical(objective.gradients(batch)[1], objective.network)
    for name in reference.names("grad1:"):
        yield Found(name, gradients[name.partition(":")[2]])


def _weights(side: Twin, objective) -> dict[str, np.ndarray]:
    """Return the weights of the network that trains, by official key."""
    return side.canonical(objective.state()["model"], objective.network)


def classifier(kind: str):
    """Return the loop on labelled images: stage 0, fine-tuning, plain distillation."""

    def run(vector: Vector, backend, shake: int | None) -> Iterator[Check | Found]:
        side, arrays = twin(backend.name), vector.arrays
        config = configuration(meta_of(vector), kind)
        roles = ("teacher",) if kind in ("kd", "teacher") else ()
        objective = build(backend, vector, kind, config, roles, shake)
        batches = [{"target_image": x, "target_label": y.astype(np.int32)} for x, y in zip(arrays["x_u8"], arrays["y"])]
        for number, batch in enumerate(batches):
            batch |= dict(zip(("dropout",), kept_units(vector, config, number)))

        def logits(batch: dict) -> tuple[np.ndarray, np.ndarray]:
            images = objective.normalise(objective.backend.tensor(batch["target_image"]))
            return train_logits(side, objective, images, *kept(objective, batch, "dropout")), batch["target_label"]

        if kind == "kd":
            images = objective.normalise(objective.backend.tensor(arrays["x_u8"][0]))
            yield Found("t_outputs1", side.numpy(objective.teacher(images)[-1]))
        yield from steps(vector, backend, objective, config, batches, logits if "outputs1" in arrays else None)

    return run


def anchors(vector: Vector, backend, shake: int | None) -> Iterator[Check | Found]:
    """Stage 2: anchor loss, teacher's logits, masks."""
    side, arrays, meta = twin(backend.name), vector.arrays, meta_of(vector)
    options = {"invariant": meta["invariant"], "uncertainty": meta.get("mode", "energy")}
    config = configuration(meta, "anchor", anchor=options)
    roles = ("teacher", "generator", "encoder", "anchor")
    objective = build(backend, vector, "anchor", config, roles, shake)
    batches = [noisy(*one) for one in zip(arrays["x_u8"], arrays["y"], arrays["eps"])]
    image, label, noise = (objective.backend.tensor(batches[0][key]) for key in ("image", "label", "noise"))
    before = side.weights.get_weights(objective.network)
    _, logits, mask = objective.anchored(objective.network, objective.unit(image), label, noise)
    side.weights.set_weights(objective.network, before)
    yield Found("outputs1", side.numpy(logits))
    yield Found("mask1", side.numpy(mask))
    yield from steps(vector, backend, objective, config, batches, None)


def mixtures(vector: Vector, backend, shake: int | None) -> Iterator[Check | Found]:
    """Stage 3 in its variants, with stored dropout masks where the file has them."""
    side, meta = twin(backend.name), meta_of(vector)
    config = configuration(meta, "mixup", **options_of(meta["variant"]))
    objective = build(backend, vector, "mixup", config, mixing_roles(meta["variant"]), shake)
    batches = _mixed_batches(vector, config)

    def images_of_batch(batch: dict):
        given = (objective.backend.tensor(batch[key]) for key in ("image", "label", "noise", "ratio"))
        return objective.student_images(*given)

    def logits(batch: dict) -> tuple[np.ndarray, np.ndarray]:
        given = images_of_batch(batch), *kept(objective, batch, "dropout")
        return train_logits(side, objective, *given), np.tile(batch["label"], 2)

    images = images_of_batch(batches[0])
    if config.method.mixup.target == "teacher":
        target = side.numpy(objective.teacher(images)[-1])
    else:
        target = train_logits(side, objective, images, *kept(objective, batches[0], "target_dropout"))
    yield Found("t_outputs1", target)
    yield from steps(vector, backend, objective, config, batches, logits)


def _mixed_batches(vector: Vector, config: Config) -> list[dict]:
    """Return the batches of stage 3, with the dropout of both passes where the file has it."""
    arrays, meta = vector.arrays, meta_of(vector)
    batches = [noisy(*one) for one in zip(arrays["x_u8"], arrays["y"], arrays["eps"])]
    for number, batch in enumerate(batches):
        batch["ratio"] = np.array(meta["s"], np.float32)
        batch |= dict(zip(("dropout", "target_dropout"), kept_units(vector, config, number)))
    return batches


def kept_units(vector: Vector, config: Config, number: int) -> np.ndarray:
    """Return what dropout keeps in each pass of a step, uint8 (passes, images, units); no pass without dropout."""
    if "dropout_keep_bits" not in vector.arrays:
        return np.zeros((0, 0, 0), np.uint8)
    bits = vector.arrays["dropout_keep_bits"][number]
    bits = bits.reshape(-1, *bits.shape[-2:])  # a loop of a single pass need not count it
    return np.unpackbits(bits, axis=-1)[..., : config.network.dropout_units()]


RUNNERS = {
    "step_teacher": runner(classifier("teacher")),
    "step_finetune": runner(classifier("finetune")),
    "step_kd": runner(classifier("kd")),
    "step_anchor": runner(anchors),
    "step_mixup": runner(mixtures),
}
