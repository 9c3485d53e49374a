"""Both twins behind one face, for tests and vector runners: arrays in, arrays out, gradients of named functions."""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType

import numpy as np

from common.names import to_canonical, to_mindspore
from tests.reference.fill import fill

TWINS = ("torch", "mindspore")


class Twin:
    """One twin: its public modules, and what differs between the frameworks when they are called.

    Attributes:
        name: ``"torch"`` or ``"mindspore"``.
        losses: Module ``losses`` of the twin; likewise ``predict``, ``nets``, ``training`` and ``weights``.
    """

    name: str
    package: str

    def __init__(self) -> None:
        self.losses = self.module("losses")
        self.predict = self.module("predict")
        self.nets = self.module("nets")
        self.training = self.module("nets.training")
        self.weights = self.module("weights")

    def module(self, name: str) -> ModuleType:
        """Import ``name`` from the twin."""
        return import_module(f"{self.package}.{name}")

    def own_name(self, canonical: str, kinds: dict[str, str]) -> str | None:
        """Return this twin's spelling of a canonical name."""
        raise NotImplementedError

    def canonical_name(self, own: str, kinds: dict[str, str]) -> str:
        """Return the canonical spelling of one of this twin's names."""
        raise NotImplementedError

    def layers(self, network) -> list[tuple[str, object]]:
        """Return path and layer of every layer of a network."""
        raise NotImplementedError

    def names(self, network) -> dict[str, str]:
        """Return own name -> canonical name of every weight."""
        kinds = self.weights.layer_kinds(network)
        return {own: self.canonical_name(own, kinds) for own in self.weights.get_weights(network)}

    def canonical(self, arrays: dict[str, np.ndarray], network) -> dict[str, np.ndarray]:
        """Return arrays by canonical name; what only PyTorch has (``num_batches_tracked``) is left out."""
        kinds = self.weights.layer_kinds(network)
        names = {own: self.canonical_name(own, kinds) for own in arrays}
        return {new: arrays[own] for own, new in names.items() if to_mindspore(new, kinds) is not None}

    def fill(self, network, spelling: str, prefix: str = "") -> None:
        """Give a network the reference weights that belong to its names in a spelling ("torch" or "mindspore")."""
        kinds = self.weights.layer_kinds(network)
        filled = {}
        for own, value in self.weights.get_weights(network).items():
            canonical = self.canonical_name(own, kinds)
            key = canonical if spelling == "torch" else to_mindspore(canonical, kinds)
            filled[own] = np.zeros_like(value) if key is None else fill(prefix + key, value.shape)
        self.weights.set_weights(network, filled)


class TorchTwin(Twin):
    """The PyTorch twin."""

    name, package = "torch", "torch_impl"

    def layers(self, network) -> list[tuple[str, object]]:
        return list(network.named_modules())

    def own_name(self, canonical: str, kinds: dict[str, str]) -> str:
        return canonical

    def canonical_name(self, own: str, kinds: dict[str, str]) -> str:
        return own

    def tensor(self, array: np.ndarray):
        """Return a tensor on the CPU."""
        return import_module("torch").from_numpy(np.array(array))

    def parameter(self, array: np.ndarray, name: str):
        """Return a parameter of its own, outside any network."""
        torch = import_module("torch")
        return torch.nn.Parameter(torch.from_numpy(np.array(array)))

    def numpy(self, tensor) -> np.ndarray:
        """Return a copy as an array."""
        return tensor.detach().cpu().numpy().copy()

    def gradients(self, function: Callable, *arrays: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Call ``function(*tensors) -> (loss, ...)``; return its outputs and the gradients of the loss."""
        inputs = [self.tensor(array).requires_grad_() for array in arrays]
        outputs = function(*inputs)
        outputs[0].backward()
        grads = [np.zeros_like(a) if x.grad is None else self.numpy(x.grad) for a, x in zip(arrays, inputs)]
        return [self.numpy(one) for one in outputs], grads

    def parameter_gradients(self, network, function: Callable, *arrays: np.ndarray) -> dict[str, np.ndarray]:
        """Return the gradients of ``function(network, *tensors)``, a loss, by own parameter name."""
        groups = self.training.parameter_groups(network)
        parameters = {name: p for group in groups.values() for name, p in group.items()}
        loss = function(network, *map(self.tensor, arrays))
        values = import_module("torch").autograd.grad(loss, list(parameters.values()), materialize_grads=True)
        return {name: self.numpy(value) for name, value in zip(parameters, values)}


class MindSporeTwin(Twin):
    """The MindSpore twin, run op by op (PyNative)."""

    name, package = "mindspore", "ms_impl"

    def layers(self, network) -> list[tuple[str, object]]:
        return list(network.cells_and_names())

    def own_name(self, canonical: str, kinds: dict[str, str]) -> str | None:
        return to_mindspore(canonical, kinds)

    def canonical_name(self, own: str, kinds: dict[str, str]) -> str:
        return to_canonical(own, kinds)

    def tensor(self, array: np.ndarray):
        """Return a tensor on the CPU."""
        return import_module("mindspore").Tensor(np.array(array))

    def parameter(self, array: np.ndarray, name: str):
        """Return a parameter of its own, outside any network."""
        mindspore = import_module("mindspore")
        return mindspore.Parameter(mindspore.Tensor(np.array(array)), name=name)

    def numpy(self, tensor) -> np.ndarray:
        """Return a copy as an array."""
        return tensor.asnumpy().copy()

    def gradients(self, function: Callable, *arrays: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Call ``function(*tensors) -> (loss, ...)``; return its outputs and the gradients of the loss."""

        def step(*inputs):
            outputs = function(*inputs)
            return outputs[0], *outputs  # MindSpore wants at least one output beside the loss

        places = tuple(range(len(arrays)))
        step_and_gradient = import_module("mindspore").value_and_grad(step, places, has_aux=True)
        outputs, grads = step_and_gradient(*map(self.tensor, arrays))
        grads = grads if isinstance(grads, tuple) else (grads,)  # a single place gives a bare tensor
        return [self.numpy(one) for one in outputs[1:]], [self.numpy(one) for one in grads]

    def parameter_gradients(self, network, function: Callable, *arrays: np.ndarray) -> dict[str, np.ndarray]:
        """Return the gradients of ``function(network, *tensors)``, a loss, by own parameter name."""
        groups = self.training.parameter_groups(network)
        parameters = {name: p for group in groups.values() for name, p in group.items()}
        weights = import_module("mindspore").ParameterTuple(list(parameters.values()))
        step = import_module("mindspore").value_and_grad(lambda *x: function(network, *x), None, weights)
        _, values = step(*map(self.tensor, arrays))
        return {name: self.numpy(value) for name, value in zip(parameters, values)}


def need_both() -> None:
    """Skip the test, or the file, where either framework is not installed."""
    import pytest  # here, because scripts/check_vectors.py imports this file too

    for name in TWINS:
        pytest.importorskip(name, reason=f"compares the twins; {name} is not installed")


def twin(name: str) -> Twin:
    """Return the twin of a backend name."""
    return {"torch": TorchTwin, "mindspore": MindSporeTwin}[name]()
