"""How far the outputs of an exported file are from those of the network that it was made of."""

import numpy as np


def relative_gap(got: np.ndarray, want: np.ndarray) -> float:
    """Return ``max|got - want| / max|want|``; infinite for other shapes and for what is no number."""
    if got.shape != want.shape:
        return float("inf")
    gap = float(np.abs(got - want).max() / max(np.abs(want).max(), 1e-30))
    return float("inf") if np.isnan(gap) else gap
