"""Dropout and stochastic depth as inputs: a network takes what is kept as a matrix and has no generator of its own."""

from typing import Any

import numpy as np


def draw_kept(rng: np.random.Generator, network: Any, samples: int) -> np.ndarray | None:
    """Draw what a network keeps of each sample (Srivastava et al., JMLR 2014; Huang et al., ECCV 2016).

    Args:
        rng: Generator of this batch's position.
        network: Description of the network; ``dropout_units`` and ``dropout_rate`` say what it drops.
        samples: Size of the batch.
    Returns:
        (samples, units) float32, 1 for what is kept, 0 for what is dropped; None for a network that drops nothing.
    """
    units = network.dropout_units()
    return (rng.random((samples, units)) >= network.dropout_rate()).astype(np.float32) if units else None
