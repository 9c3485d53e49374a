"""Loss vectors of AuG-KD: values and gradients with respect to everything that a gradient may reach."""

from collections.abc import Callable, Iterator

import numpy as np

from tests.twins import twin
from tests.vectors import Check, Vector
from tests.vectors.augkd.reading import cases_of

VALUE, GRADIENT = 1e-4, 1e-5  # relative to the maximum; absolute
LARGE = 25.0  # logits beyond it lose digits in the official float32 softmax


def close(name: str, got, want: np.ndarray, absolute: float, relative: float = VALUE) -> Check:
    """Return the check of ``|got - want| <= absolute + relative * max|want|``."""
    largest = float(np.abs(np.asarray(want, np.float64)).max())
    return Check(name, got, want, absolute + relative * largest, "absolute")


def divergences(vector: Vector, backend) -> Iterator[Check]:
    """KL and JS divergence: sums, elements, means over the batch, gradients of both sides."""
    side, module, arrays = *_module(backend), vector.arrays
    for case, meta in cases_of(vector):
        pair = arrays[f"{case}pred"], arrays[f"{case}target"]
        loose = 2e-3 if max(np.abs(one).max() for one in pair) > LARGE else VALUE
        for name, function, prefix in (("kl", module.kl_divergence, ""), ("js", module.js_divergence, "js_")):
            if f"{case}{name}_sum" not in arrays:
                continue
            (total, elements), grads = side.gradients(_summed(function, meta["t"]), *pair)
            yield close(f"{case}{name} sum", total, arrays[f"{case}{name}_sum"], VALUE)
            yield close(f"{case}{name} mean", total / len(pair[0]), arrays[f"{case}{name}metric"], VALUE)
            if f"{case}{name}_none" in arrays:
                yield close(f"{case}{name} elements", elements, arrays[f"{case}{name}_none"], VALUE)
            for place, grad in zip(("pred", "target"), grads):
                yield close(f"{case}{name} grad {place}", grad, arrays[f"{case}{prefix}grad_{place}"], loose)


def _summed(function: Callable, temperature: float) -> Callable:
    def total(pred, target):
        elements = function(pred, target, temperature)
        return elements.sum(), elements

    return total


def distillation(vector: Vector, backend) -> Iterator[Check]:
    """DistillLoss: both sides live, the target held, and one tensor as output and target."""
    side, module, arrays = *_module(backend), vector.arrays
    for case, meta in cases_of(vector):
        labels, weight = _labels(side, arrays[f"{case}y"]), 0.5
        if f"{case}u" in arrays:
            given = arrays[f"{case}u"]
            weight = side.tensor(given) if given.ndim else float(given)
        s, t, rest = arrays[f"{case}s"], arrays[f"{case}t"], (labels, weight, float(meta["temp"]))
        (loss,), grads = side.gradients(lambda a, b: (module.distillation_loss(a, b, *rest),), s, t)  # noqa: B023
        yield close(f"{case}loss", loss, arrays[f"{case}loss"], VALUE)
        yield close(f"{case}grad s", grads[0], arrays[f"{case}grad_s"], VALUE)
        yield close(f"{case}grad t", grads[1], arrays[f"{case}grad_t"], 1e-3)
        held = side.tensor(t)
        _, (grad,) = side.gradients(lambda a: (module.distillation_loss(a, held, *rest),), s)  # noqa: B023
        yield close(f"{case}grad s, held", grad, arrays[f"{case}grad_s_detached_t"], VALUE)
        (loss,), (grad,) = side.gradients(lambda a: (module.distillation_loss(a, a, *rest),), s)  # noqa: B023
        yield close(f"{case}self", loss, arrays[f"{case}self_loss"], VALUE)
        yield close(f"{case}self grad", grad, arrays[f"{case}self_grad"], VALUE)


def cross_entropy(vector: Vector, backend) -> Iterator[Check]:
    """Cross entropy over successive updates: the sum of all samples over their number."""
    side, arrays = twin(backend.name), vector.arrays
    each = side.module("class_losses").cross_entropies
    for case, meta in cases_of(vector):
        updates = range(len(meta["shapes"]))
        count, total = sum(len(arrays[f"{case}y{update}"]) for update in updates), 0.0
        for update in updates:
            labels = _labels(side, arrays[f"{case}y{update}"])
            given = arrays[f"{case}x{update}"]
            (loss,), (grad,) = side.gradients(lambda x: (each(x, labels).sum() / count,), given)  # noqa: B023
            total += loss
            yield close(f"{case}grad {update}", grad, arrays[f"{case}grad_x{update}"], GRADIENT)
        yield close(f"{case}loss", total, arrays[f"{case}loss"], GRADIENT)


def encoder(vector: Vector, backend) -> Iterator[Check]:
    """CVAELoss and its gradients; the distance and the discriminator's part of further official losses."""
    side, module, arrays = *_module(backend), vector.arrays
    names = ("zz", "z", "mu", "log_var")
    for case, _ in cases_of(vector):
        given = [arrays[f"{case}{name}"] for name in names]
        (loss,), grads = side.gradients(lambda *x: (module.encoder_loss(*x),), *given)
        yield close(f"{case}loss", loss, arrays[f"{case}loss"], GRADIENT)
        for name, grad in zip(names, grads):
            yield close(f"{case}grad {name}", grad, arrays[f"{case}grad_{name}"], GRADIENT)
        rest = [side.tensor(one) for one in given]
        still = side.tensor(np.zeros_like(given[2]))  # of mean 0 and variance 1, what is left is the distance
        distance = side.numpy(module.encoder_loss(*rest[:2], still, still))
        yield close(f"{case}distance", distance, arrays[f"{case}mse_loss"], GRADIENT)
        (loss,), (grad,) = side.gradients(
            lambda d: (module.encoder_loss(*rest, d),),  # noqa: B023
            arrays[f"{case}d_outputs"],
        )
        yield close(f"{case}discriminated", loss, arrays[f"{case}dcvae_loss"], GRADIENT)
        yield close(f"{case}grad d", grad, arrays[f"{case}dcvae_grad_d_outputs"], GRADIENT)


def generator(vector: Vector, backend) -> Iterator[Check]:
    """DecoderLoss with its terms, CondDecoderLoss, and their gradients."""
    side, module, arrays = *_module(backend), vector.arrays
    names = ("t_outputs", "s_outputs", "d_mean", "d_var")
    for case, _ in cases_of(vector):
        given, count = [arrays[f"{case}{name}"] for name in names], len(arrays[f"{case}y"])
        outputs, grads = side.gradients(lambda t, s, mean, var: module.generator_loss(t, s, (mean, var)), *given)
        loss, certainty, divergence, entropy, statistics = outputs
        yield close(f"{case}loss", loss, arrays[f"{case}loss"], 1e-3)
        yield close(f"{case}ce", certainty * count, arrays[f"{case}term_ce_sum"], 1e-3)
        yield close(f"{case}kl", divergence * count, np.abs(arrays[f"{case}term_kl_sum"]), 1e-3)
        yield close(f"{case}entropy", entropy, arrays[f"{case}term_plogp10"], 1e-3)
        yield close(f"{case}statistics", statistics, arrays[f"{case}term_bn"], 1e-3)
        for name, grad in zip(names, grads):
            yield close(f"{case}grad {name}", grad, arrays[f"{case}grad_{name}"], 2e-4)
        labels, gap = _labels(side, arrays[f"{case}y"]), tuple(map(side.tensor, given[2:]))
        (loss,), grads = side.gradients(
            lambda t, s: (module.conditional_generator_loss(t, s, labels, gap),),  # noqa: B023
            *given[:2],
        )
        yield close(f"{case}conditional", loss, arrays[f"{case}cond_loss"], 1e-3)
        for name, grad in zip(names, grads):
            yield close(f"{case}conditional grad {name}", grad, arrays[f"{case}cond_grad_{name}"], 2e-4)


def anchor(vector: Vector, backend) -> Iterator[Check]:
    """AnchorLoss: value, parts, gradients, and the sum over two batches."""
    side, module, arrays = *_module(backend), vector.arrays
    for case, meta in cases_of(vector):
        x, y, mask = (arrays[f"{case}{name}"] for name in ("x", "y", "mask"))
        options = float(meta["invariant"]), meta["mode"], "batch", float(meta.get("temp", 1.0))

        def loss(part: slice):
            labels = _labels(side, y[part])  # noqa: B023
            compute = lambda a, b: module.anchor_loss(a, labels, b, *options)  # noqa: B023
            return side.gradients(compute, x[part], mask[part])  # noqa: B023

        outputs, grads = loss(slice(None))
        yield close(f"{case}loss", outputs[0], arrays[f"{case}loss"], 1e-3)
        yield close(f"{case}uncertainty", outputs[1], arrays[f"{case}uncertainty_sum"], 1e-3)
        yield close(f"{case}grad x", grads[0], arrays[f"{case}grad_x"], GRADIENT)
        yield close(f"{case}grad mask", grads[1], arrays[f"{case}grad_mask"], GRADIENT)
        halves = [loss(part)[0][0] for part in (slice(meta["split_at"]), slice(meta["split_at"], None))]
        yield close(f"{case}two batches", halves[0] + halves[1], arrays[f"{case}loss_two_batches"], 1e-3)


def uncertainty(vector: Vector, backend) -> Iterator[Check]:
    """Energy and one minus the largest probability, at every temperature of the file."""
    side, module, arrays = *_module(backend), vector.arrays
    for case, meta in cases_of(vector):
        for mode in ("energy", "max_softmax"):
            for temperature in meta["ts"]:
                name = f"{case}{mode}_t{temperature}"

                def total(x):
                    values = module.uncertainty(x, temperature, mode)  # noqa: B023
                    return values.sum(), values

                (_, values), (grad,) = side.gradients(total, arrays[f"{case}x"])
                yield close(name, values, arrays[name], GRADIENT)
                yield close(f"{name} grad", grad, arrays[f"{name}_gradsum"], GRADIENT)


def _module(backend) -> tuple:
    side = twin(backend.name)
    return side, side.module("datafree")


def _labels(side, array: np.ndarray):
    return side.tensor(array.astype(np.int32))


RUNNERS = {
    "loss_kl": divergences,
    "loss_js": divergences,
    "loss_distill": distillation,
    "loss_ce": cross_entropy,
    "loss_cvae": encoder,
    "loss_decoder": generator,
    "loss_anchor": anchor,
    "uncertainty": uncertainty,
}
