"""By what ``verify --deep`` measures arrays that are 0 but for rounding; their own norm says nothing."""

from collections.abc import Mapping

import numpy as np

Arrays = Mapping[str, np.ndarray]
_SILENT = 1e-9  # of the weight's gradient: far below float32's rounding, far above float64's


def deviations(weights: Arrays) -> dict[str, float]:
    """Return the scale of every running mean: the norm of its channels' running deviations."""
    mean, variance = "running_mean", "running_var"
    means = [name for name in weights if name.endswith(mean)]
    return {name: float(np.sqrt(weights[name.removesuffix(mean) + variance].sum())) for name in means}


def silent_biases(gradients: Arrays) -> tuple[str, ...]:
    """Return the biases that change nothing, as before BatchNorm, by gradients in float64."""
    norms = {name: float(np.linalg.norm(array)) for name, array in gradients.items()}
    return tuple(name for name in norms if norms[name] < _SILENT * norms.get(_weight(name), 0.0))


def beside(silent: tuple[str, ...], arrays: Arrays) -> dict[str, float]:
    """Return the scale of these biases, or of the moments of theirs: the norm of the same of their layers' weights."""
    return {name: float(np.linalg.norm(arrays[_weight(name)])) for name in arrays if name.endswith(silent)}


def _weight(name: str) -> str:
    """Return the name of the weight beside a bias; of anything else, its own."""
    return f"{name.removesuffix('bias')}weight" if name.endswith("bias") else name
