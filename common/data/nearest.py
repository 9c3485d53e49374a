"""Which pixel nearest-neighbour resizing takes, as PyTorch rounds."""

import numpy as np


def nearest_places(length: int, wanted: int) -> list[int]:
    """Return which of ``length`` rows or columns each of ``wanted`` ones takes.

    PyTorch's ``interpolate(mode="nearest")`` floors ``i * (length / wanted)`` in float32. For some sizes that is not
    the exact ``floor(i * length / wanted)``: row 7 of 14 is row 30 of 62 and not 31.
    """
    scale = np.float32(length) / np.float32(wanted)
    places = np.floor(np.arange(wanted, dtype=np.float32) * scale).astype(int)
    return np.minimum(places, length - 1).tolist()
