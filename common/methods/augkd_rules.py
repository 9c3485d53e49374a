"""The rules of AuG-KD that need no network: how the mixture evolves, which images come first."""

from typing import Literal

import numpy as np

Course = Literal["linear", "step"]


def mixup_ratio(course: Course, epoch: int, epochs: int, a: float, b: float) -> float:
    """Return the share of the real image in the mixture: it grows from ``b`` to 1 (the paper's stage factor).

    ``linear``: ``min(b + (1 - b) * epoch / (a * epochs), 1)``; ``step``: the same in tenths of ``1 - b``.

    Args:
        course: How it grows.
        epoch: From 0.
        epochs: Of the whole stage.
        a: Share of the stage after which the ratio is 1; positive.
        b: Ratio at the beginning, in [0, 1].
    """
    progress = epoch / (a * epochs)
    if course == "step":
        progress = int(10 * progress) / 10
    return min(b + (1 - b) * progress, 1.0)


def curriculum(uncertainty: np.ndarray, share: float) -> np.ndarray:
    """Return the positions of the most certain share of a dataset, in increasing order, int64 (int(share * n),).

    Args:
        uncertainty: (n,) a value a sample; small means certain.
        share: In [0, 1].
    """
    return np.sort(np.argsort(uncertainty, kind="stable")[: int(share * len(uncertainty))])
