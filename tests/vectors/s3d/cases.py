"""Cases of S3D's vector files: arrays that begin with ``c0_``, ``c1_``, ..."""

import re
from collections.abc import Iterator

import numpy as np

from tests.vectors import Vector


def cases(vector: Vector) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yield the number of each case and its arrays without the beginning of their names."""
    numbers = {match[1] for name in vector.arrays if (match := re.match(r"c(\d+)_", name))}
    for number in sorted(numbers, key=int):
        beginning = f"c{number}_"
        own = {name.removeprefix(beginning): a for name, a in vector.arrays.items() if name.startswith(beginning)}
        yield number, own
