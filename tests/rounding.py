"""What float32 cannot tell apart: weights moved by two units in the last place, for runs that measure its noise."""

import numpy as np

UNITS = 2.0**-22  # relative; two units in the last place of numbers just above a power of two


def shaken(weights: dict[str, np.ndarray], seed: int | None) -> dict[str, np.ndarray]:
    """Return weights, each moved up or down by that much; as they are without a seed."""
    if seed is None:
        return weights
    draw = np.random.default_rng(seed)
    return {name: _moved(value, draw) if value.dtype.kind == "f" else value for name, value in weights.items()}


def _moved(value: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    return (value * (1 + UNITS * draw.choice((-1, 1), value.shape))).astype(value.dtype)
