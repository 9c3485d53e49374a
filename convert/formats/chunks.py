"""Bytes of arrays in pieces, so that writing needs little memory beyond the array's own."""

from collections.abc import Iterator

import numpy as np

PIECE = 4 * 2**20


def chunks(array: np.ndarray) -> Iterator[memoryview]:
    """Yield the array's bytes in C order, in pieces of at most about ``PIECE`` bytes; nothing when it is empty.

    A contiguous array is not copied; of any other only one piece at a time.
    """
    if array.size == 0:
        return
    if array.flags.c_contiguous:
        flat = memoryview(array.reshape(-1).view(np.uint8))
        for start in range(0, len(flat), PIECE):
            yield flat[start : start + PIECE]
        return
    row = array.nbytes // array.shape[0]
    if row > PIECE:
        for part in array:
            yield from chunks(part)
        return
    rows = max(1, PIECE // row)
    for start in range(0, array.shape[0], rows):
        yield memoryview(np.ascontiguousarray(array[start : start + rows]).reshape(-1).view(np.uint8))
