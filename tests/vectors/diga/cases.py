"""How DiGA's vectors name their cases: ``c0_logits``, ``c1_logits``, ...; files with one case have bare names."""

import re
from collections.abc import Iterator

import numpy as np

from tests.vectors import Vector


def cases(vector: Vector) -> Iterator[tuple[str, dict[str, np.ndarray], dict]]:
    """Yield (number, arrays by their bare names, parameters) of every case of a file."""
    numbers = sorted({int(match[1]) for name in vector.arrays if (match := re.match(r"c(\d+)_", name))})
    if not numbers:
        yield "0", vector.arrays, vector.params if isinstance(vector.params, dict) else vector.params[0]
    for number in numbers:
        prefix = f"c{number}_"
        arrays = {k.removeprefix(prefix): v for k, v in vector.arrays.items() if k.startswith(prefix)}
        params = vector.params
        yield str(number), arrays, params[number] if isinstance(params, list) else params
