"""The PyTorch twin in float64, which tells the noise of float32 from a fault."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np


@contextmanager
def double_backend() -> Iterator[Any]:
    """Give a PyTorch backend whose objectives compute in float64, until the block ends.

    Images become what the network sees in float32, as the official codes do it, and are widened then.
    """
    torch = import_module("torch")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield _backend()
    finally:
        torch.set_default_dtype(before)


def _backend() -> Any:
    class DoubleBackend(import_module("torch_impl.backend").Backend):
        def tensor(self, array: np.ndarray):
            made = super().tensor(array)
            return made.double() if made.is_floating_point() else made

        def build(self, config: Any, objective: str, frozen: Any = None) -> Any:
            built = super().build(config, objective, frozen)
            built._mean, built._std = built._mean.float(), built._std.float()
            in_float32 = built.normalise
            built.normalise = lambda images: in_float32(images).double()
            return built

    return DoubleBackend(device="cpu")
