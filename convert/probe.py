"""One network under examination by ``verify --deep``: layers, losses, gradients and steps under PyTorch's names."""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from common.draws import generator
from common.methods.supervised import OBJECTIVES
from common.names import to_canonical
from convert.kinks import Entry, bare_layers, derivative
from convert.optimizer import State, split, translate
from convert.sides import Side

Arrays = dict[str, np.ndarray]
_COUNTER = "num_batches_tracked"
_EPS = 1e-4
_ROUNDING = 2.0**-24  # half a unit in the last place of float32


class Probe:
    """An objective of either framework. Arrays come out in float64; BatchNorm's counters are left out."""

    def __init__(self, framework: str, objective: Any, backend: Any, wide: bool = False):
        self.framework, self.objective, self.backend, self.wide = framework, objective, backend, wide
        self._kinds: dict[str, str] = {}
        if framework == "mindspore":
            from ms_impl.weights import layer_kinds

            self._kinds = layer_kinds(objective.network)

    def layers(self, images: np.ndarray) -> Arrays:
        """Return the output of every layer that is a tensor, by the layer's path, in the order of computation."""
        outputs: Arrays = {}
        calls: Counter[str] = Counter()

        def keep(path: str) -> Callable:
            def hook(_layer, _inputs, output):
                if not isinstance(output, (tuple, list)) and path:  # HRNet's stages make lists
                    calls[path] += 1  # a layer may serve twice, as an activation does
                    name = path if calls[path] == 1 else f"{path}, call {calls[path]}"
                    outputs[name] = self.backend.numpy(output).astype(np.float64)

            return hook

        network = self.objective.evaluated
        layers = network.named_modules() if self.framework == "torch" else network.cells_and_names()
        handles = [layer.register_forward_hook(keep(path)) for path, layer in layers]
        self.objective.predict(images)
        for handle in handles:
            handle.remove()
        return outputs

    def bare_layers(self, images: np.ndarray) -> dict[str, Entry]:
        """Return the layers without weights, PyTorch's, and what they take of images."""
        return bare_layers(self.objective.evaluated, lambda: self.objective.predict(images))

    def derivatives(self, entries: Mapping[str, Entry]) -> Arrays:
        """Return the derivatives of those of these layers that this framework has."""
        network = self.objective.network
        layers = dict(network.named_modules() if self.framework == "torch" else network.cells_and_names())
        return {
            path: derivative(self.framework, layers[path], path, entry, self.wide)
            for path, entry in entries.items()
            if path in layers
        }

    def gradients(self, batch: Mapping[str, np.ndarray]) -> tuple[Arrays, Arrays]:
        """Return losses and gradients; trains nothing."""
        losses, gradients = self.objective.gradients(batch)
        values = {name: np.asarray(self.backend.numpy(one), np.float64) for name, one in losses.items()}
        return values, self._model(gradients)

    def state(self) -> tuple[Arrays, State]:
        """Return the weights and the optimizer's state."""
        parts = self.objective.state()
        _, state = split(parts["optimizer"], self.framework, only=True)
        if self.framework == "mindspore":
            state, _ = translate(state, {name: self._canonical(name) for name in parts["model"]}, "torch")
        return self._model(parts["model"]), state

    def load(self, weights: Arrays, state: State) -> None:
        """Go on from the weights and the optimizer's state of another probe."""
        parts = self.objective.state()
        model = {name: weights.get(self._canonical(name), array) for name, array in parts["model"].items()}
        if self.framework == "mindspore":
            names = {self._canonical(name): name for name in parts["model"]}
            state, _ = translate(state, names, "mindspore", self.objective.config.optim.betas)
        self.objective.load_state({**parts, "model": model, "optimizer": state.flat(self.framework)})

    def step(self, batch: Mapping[str, np.ndarray], rate: float) -> tuple[Arrays, Arrays]:
        """Train on a batch; return the change of every weight and statistic, and the moments behind it."""
        before, _ = self.state()
        self.objective.step(batch, rate)
        after, state = self.state()
        moments = {name: np.asarray(array, np.float64) for name, array in state.flat("torch").items()}
        return {name: after[name] - before[name] for name in after}, moments

    def _model(self, arrays: Mapping[str, np.ndarray]) -> Arrays:
        kept = {name: array for name, array in arrays.items() if not name.endswith(_COUNTER)}
        return {self._canonical(name): np.asarray(array, np.float64) for name, array in kept.items()}

    def _canonical(self, name: str) -> str:
        return to_canonical(name, self._kinds)


def side_probe(side: Side, smooth: bool = False) -> Probe:
    """Return a side for examination, its weights and configuration in a fresh objective; ``smooth`` as ``examined``."""
    objective = side.backend.build(examined(side.config, smooth), OBJECTIVES[side.config.task])
    objective.load_weights(side.objective.state()["model"])
    return Probe(side.name, objective, side.backend)


def examined(config: Any, smooth: bool = False) -> Any:
    """Return a configuration whose Adam does not divide rounding noise by itself: gradients below eps count little.

    Args:
        config: Of a side.
        smooth: Also replace what has kinks in the network: activations by softplus, maxima by averages.
    """
    network = config.network.model_copy(update=smooth_form(config.network) if smooth else {})
    optim = config.optim.model_copy(update={"eps": max(config.optim.eps, _EPS)})
    return config.model_copy(update={"network": network, "optim": optim})


def smooth_form(network: Any) -> dict[str, str]:
    """Return the settings that take the kinks out of a network; none where it has no such form."""
    wanted = {"activation": "softplus", "pool": "average"}
    return {key: value for key, value in wanted.items() if key in type(network).model_fields}


def torch_probe(backend: Any, side: Side, smooth: bool = False, wide: bool = False, rounded: int = 0) -> Probe:
    """Return PyTorch with a side's weights.

    Args:
        backend: PyTorch's, on the CPU.
        side: Whose weights and configuration.
        smooth: As ``examined``.
        wide: Compute in float64.
        rounded: Not 0: move every weight by as much as rounding to float32 does, in a way that this seed draws.
    """
    with _default_dtype(wide):
        objective = backend.build(examined(side.config, smooth), OBJECTIVES[side.config.task])
    weights = side.weights
    if rounded:
        weights = {name: disturbed(name, array, rounded) for name, array in weights.items()}
    objective.load_weights(weights)
    if wide:
        normalise = objective.normalise
        objective.normalise = lambda images: normalise(images).double()
    return Probe("torch", objective, backend, wide)


def disturbed(name: str, array: np.ndarray, seed: int) -> np.ndarray:
    """Return an array in float64, moved by random rounding of float32; integers stay."""
    if array.dtype.kind != "f":
        return array
    noise = generator(seed, "rounding", name).uniform(-1.0, 1.0, array.shape)
    return array.astype(np.float64) * (1.0 + _ROUNDING * noise)


@contextmanager
def _default_dtype(wide: bool):
    import torch

    torch.set_default_dtype(torch.float64 if wide else torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)
