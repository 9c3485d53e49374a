"""Limits on what a file may claim of its tensors, alike for all formats."""

import math
from collections.abc import Sequence

MAX_TENSORS = 200_000  # in a file
_MAX_BYTES = 2**48


def possible(shape: Sequence[int], itemsize: int) -> bool:
    """Return whether memory could address an array of this shape; zeros hide nothing, for they come with any sizes."""
    return math.prod(max(size, 1) for size in shape) * itemsize < _MAX_BYTES
