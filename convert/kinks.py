"""Derivatives of single layers without weights (activations, poolings), where no rounding moves past a kink."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.draws import generator

_REACH = 8.0  # beyond the last kink of every activation, 6


@dataclass(frozen=True)
class Entry:
    """What a layer takes: ``shape`` of one image's input, and whether it was ever negative."""

    shape: tuple[int, ...]
    negative: bool


def bare_layers(network: Any, run: Callable[[], Any]) -> dict[str, Entry]:
    """Return the layers of a PyTorch network that make a tensor of a tensor without weights or further layers.

    Args:
        network: Any.
        run: Passes images through the network.
    Returns:
        Path -> what it took when it was first called.
    """
    found: dict[str, Entry] = {}

    def keep(path: str) -> Callable:
        def hook(_layer, inputs):
            if len(inputs) == 1 and path not in found:
                found[path] = Entry((1, *inputs[0].shape[1:]), bool((inputs[0] < 0).any()))

        return hook

    layers = [(p, m) for p, m in network.named_modules() if not [*m.children(), *m.parameters()]]
    handles = [layer.register_forward_pre_hook(keep(path)) for path, layer in layers]
    run()
    for handle in handles:
        handle.remove()
    return found


def derivative(framework: str, layer: Any, path: str, entry: Entry, wide: bool = False) -> np.ndarray:
    """Return the derivative, in its input, of a layer's output weighed by drawn numbers.

    Args:
        framework: ``"torch"`` or ``"mindspore"``, the layer's.
        layer: Without weights.
        path: Draws the numbers.
        entry: What the layer takes.
        wide: Compute in float64 (PyTorch).
    Returns:
        Of ``entry.shape``, float64.
    """
    inputs = _apart(path, entry)
    if framework == "torch":
        import torch

        tensor = torch.from_numpy(inputs.astype(np.float64) if wide else inputs).requires_grad_()
        made = layer(tensor.clone())  # which may happen in place
        (found,) = torch.autograd.grad((made * torch.from_numpy(_weights(path, made.shape))).sum(), tensor)
        return found.numpy().astype(np.float64)
    import mindspore

    tensor = mindspore.Tensor(inputs)
    weights = mindspore.Tensor(_weights(path, layer(tensor).shape))

    def weighed(taken):
        return (layer(taken) * weights).sum()

    return mindspore.grad(weighed)(tensor).asnumpy().astype(np.float64)


def _apart(path: str, entry: Entry) -> np.ndarray:
    """Return float32 numbers up to 8 in random order, all different and none of them 0."""
    count = int(np.prod(entry.shape))
    steps = (generator(0, "kinks", path).permutation(count) + 0.5) / count
    low = -_REACH if entry.negative else 0.0
    return (low + (_REACH - low) * steps).reshape(entry.shape).astype(np.float32)


def _weights(path: str, shape: tuple[int, ...]) -> np.ndarray:
    return generator(0, "kinks", path, "weights").standard_normal(tuple(shape)).astype(np.float32)
