"""Dropout without a generator: what is kept comes with the batch (``common.dropout``)."""

from torch import Tensor


def drop(x: Tensor, kept: Tensor | None, rate: float) -> Tensor:
    """Return ``x`` with zeros where ``kept`` is 0 and the rest larger by ``1 / (1 - rate)``.

    Args:
        x: (N, ...) any shape that ``kept`` broadcasts to.
        kept: 1 for what is kept, 0 for what is dropped; None drops nothing.
        rate: Probability of a 0, in [0, 1).
    """
    return x if kept is None else x * (kept.to(x.dtype) / (1.0 - rate))
