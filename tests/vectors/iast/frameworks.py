"""The few things of either framework that IAST's runners need beside the twins' public functions."""

from collections.abc import Callable
from importlib import import_module

import numpy as np

from tests.twins import Twin


def parameter(side: Twin, name: str, value: np.ndarray):
    """Return a parameter that an optimizer of the twin can train."""
    if side.name == "torch":
        return import_module("torch").nn.Parameter(side.tensor(value))
    return import_module("mindspore").Parameter(side.tensor(value), name=name)


def strided_convolution(side: Twin, weight: np.ndarray, bias: np.ndarray) -> Callable:
    """Return the vectors' tiny network: a 3x3 convolution with stride 2 and padding 1."""
    weight, bias = side.tensor(weight), side.tensor(bias)
    if side.name == "torch":
        convolve = import_module("torch").nn.functional.conv2d
        return lambda images: convolve(images, weight, bias, stride=2, padding=1)
    convolve = import_module("mindspore").ops.conv2d
    return lambda images: convolve(images, weight, bias, stride=2, pad_mode="pad", padding=1)
