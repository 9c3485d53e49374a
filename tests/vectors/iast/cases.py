"""How IAST's vector files name their arrays (``case__array``), and what the network sees of an image."""

import json

import numpy as np

from common.schema import InputConfig
from tests.vectors import Vector


def cases_of(vector: Vector) -> dict[str, dict[str, np.ndarray]]:
    """Return case -> array name -> array, for arrays called ``case__array``."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, array in vector.arrays.items():
        case, mark, own = name.partition("__")
        if mark:
            found.setdefault(case, {})[own] = array
    return found


def decoded(array: np.ndarray) -> object:
    """Return what the JSON text in a 0-d array says."""
    return json.loads(str(array))


def imagenet() -> InputConfig:
    """Return IAST's input: RGB in [0, 1], ImageNet's mean and standard deviation."""
    return InputConfig(order="rgb", scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
