"""Losses of IAST: self-training's three, and those of either player of the adversarial warm-up, with gradients."""

from collections.abc import Iterator

import numpy as np

from tests.twins import Twin, twin
from tests.vectors import Check, Vector
from tests.vectors.iast.cases import cases_of

VALUE, GRADIENT, SMALL = 1e-5, 1e-4, 1e-7  # relative; relative with SMALL as floor
ENTROPY, DIVERGENCE = 3.0, 0.1  # the weights in the stored total


def losses(vector: Vector, backend) -> Iterator[Check]:
    """Values and gradients with respect to logits or discriminator outputs; NaN where a region is empty."""
    side = twin(backend.name)
    for case, arrays in cases_of(vector).items():
        yield from (_discriminator if "d_source" in arrays else _regions)(side, case, arrays)


def _regions(side: Twin, case: str, arrays: dict) -> Iterator[Check]:
    regions, label = side.module("regions"), side.tensor(arrays["label"].astype(np.int32))
    parts = {
        "ce": lambda z: regions.pseudo_label_loss(z, label, "nan"),
        "ent": lambda z: regions.ignored_entropy(z, label, "nan"),
        "kld": lambda z: regions.uniform_divergence(z, label, "nan"),
    }
    parts["total"] = lambda z: parts["ce"](z) + ENTROPY * parts["ent"](z) + DIVERGENCE * parts["kld"](z)
    for name, function in parts.items():
        (value,), (gradient,) = side.gradients(lambda z, f=function: (f(z),), arrays["logits"])
        yield Check(f"{case} {name}", value, arrays[name], VALUE)
        yield _gradient(f"{case} {name} gradient", gradient, arrays[f"{name}_grad"])


def _discriminator(side: Twin, case: str, arrays: dict) -> Iterator[Check]:
    adversarial, pair = side.module("adversarial"), (arrays["d_source"], arrays["d_target"])
    for kind in ("mse", "bce"):
        (value,), grads = side.gradients(lambda s, t, k=kind: (adversarial.discriminator_loss(s, t, k),), *pair)
        yield Check(f"{case} {kind} D", value, arrays[f"{kind}_d_loss"], VALUE)
        for name, gradient in zip(("source", "target"), grads):
            yield _gradient(f"{case} {kind} D, {name}", gradient, arrays[f"{kind}_grad_{name}"])
        (value,), (gradient,) = side.gradients(lambda t, k=kind: (adversarial.fooling_loss(t, k),), pair[1])
        yield Check(f"{case} {kind} adversarial", value, arrays[f"{kind}_adv"], VALUE)
        yield _gradient(f"{case} {kind} adversarial gradient", gradient, arrays[f"{kind}_adv_grad"])


def _gradient(name: str, got: np.ndarray, want: np.ndarray) -> Check:
    """Compare with atol 1e-7 + rtol 1e-4 of every element; the error is in units of what is allowed."""
    allowed = SMALL + GRADIENT * np.abs(want)
    return Check(name, got / allowed, want / allowed, 1.0, "absolute")


RUNNERS = {"losses": losses}
