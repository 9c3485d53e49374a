"""The steps of a vector file once more by the PyTorch twin in float64: what float32 costs is then known."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from common.schedules import learning_rate
from tests.double import double_backend
from tests.twins import twin
from tests.vectors import Check, Vector
from tests.vectors.s3d import described
from tests.vectors.s3d.networks import filled

GRADIENT, LOSS = 1e-6, 1e-8  # the README's, for float64


@dataclass
class Exact:
    """What the float64 run found.

    Attributes:
        gradients: Those of each round of the first iteration, by canonical name.
        losses: What each round differentiated, in order.
        parts: Every loss of the first iteration by name.
        weights: Weights and statistics after each iteration, the first ones before all.
    """

    gradients: list[dict[str, np.ndarray]]
    losses: list[float]
    parts: dict[str, float]
    weights: list[dict[str, np.ndarray]]


def run(vector: Vector, kind: str) -> Exact:
    """Train as the file says, in float64."""
    side, config, found = twin("torch"), described.configuration(vector, kind), Exact([], [], {}, [])
    with double_backend() as backend:
        objective = backend.build(config, described.OBJECTIVES.get(kind, kind))
        objective.load_weights(filled(side, objective.network, described.head_scale(vector)))
        names = side.names(objective.network)

        def keep() -> None:
            found.weights.append({names[own]: value for own, value in objective.state()["model"].items()})

        keep()
        for number in range(int(vector.arrays["iterations"])):
            rate = learning_rate(config.optim, int(vector.arrays.get("start_step", 0)) + number, 1)
            for losses, gradients in described.trained(objective, _wide(described.BATCHES[kind](vector, number)), rate):
                found.losses.append(float(next(iter(losses.values()))))
                if number == 0:
                    found.parts |= {name: float(value) for name, value in losses.items()}
                    found.gradients.append({names[own]: value for own, value in gradients.items()})
            keep()
    return found


def checks(vector: Vector, found: Exact, kind: str) -> Iterator[Check]:
    """Compare the float64 run with the file's own."""
    arrays, slices = vector.arrays, described.slices(vector)
    for turn, gradients in enumerate(found.gradients):
        for key, part in slices.items():
            if (want := arrays.get(f"grad64_round{turn}/{key}")) is not None:
                got = gradients[described.canonical(key)][part]
                yield Check(f"float64, round {turn} {key}", got, want, GRADIENT, "norm")
    want = described.differentiated(arrays["losses_f64"], kind)
    for number, (got, one) in enumerate(zip(found.losses, want, strict=True)):
        yield Check(f"float64, loss {number}", got, one, LOSS)


def _wide(batch: dict) -> dict:
    return {key: value.astype(np.float64) if value.dtype == np.float32 else value for key, value in batch.items()}
