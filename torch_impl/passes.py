"""A network with its optimizer, and a forward pass with its gradients: what a train step is put together from."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module as Network

from common.loss_scale import LossScale
from torch_impl.compiled import Compiled
from torch_impl.nets.training import parameter_groups
from torch_impl.optim import Optimizer


@dataclass(frozen=True)
class Trained:
    """A network that trains, and the optimizer that trains it."""

    network: Network
    optimizer: Optimizer

    def named(self, backend: Any, gradients: Sequence[Tensor]) -> dict[str, np.ndarray]:
        """Return gradients, in the optimizer's order, by the names of their parameters."""
        names = [name for group in parameter_groups(self.network).values() for name in group]
        return {name: backend.numpy(value) for name, value in zip(names, gradients)}


@dataclass(frozen=True)
class Done:
    """What a pass found.

    Attributes:
        losses: Device scalars by name, the differentiated one first; they hold no graph.
        gradients: Of the first loss, one for each parameter of the network's optimizer; zeros where it has none.
        extras: What the method returned behind its losses, without graph.
    """

    losses: dict[str, Tensor]
    gradients: list[Tensor]
    extras: tuple[Tensor, ...] = ()

    def beside(self, other: "Done") -> "Done":
        """Return both as one: the losses of both, the other's gradients behind these; no extras."""
        return Done({**self.losses, **other.losses}, [*self.gradients, *other.gradients])


class Mean:
    """The mean of what passes find on the micro-batches of a step, taken as they come: there is room for two."""

    def __init__(self, compile: bool) -> None:
        """Prepare; ``compile`` makes one graph of the many small sums; PyTorch needs none."""
        self._blend = _blend

    def __call__(self, found: Iterable[Done]) -> Done:
        """Return the mean of losses and gradients, without extras; what was found on a single batch as it is."""
        result = None
        for number, done in enumerate(found, 1):
            result = done if result is None else self._moved(result, done, 1.0 / number)
        assert result is not None, "a step without a batch"
        return result

    def _moved(self, mean: Done, done: Done, share: float) -> Done:
        """Return the mean of one more: ``mean + share * (done - mean)``."""
        pairs = [*mean.losses.values(), *mean.gradients], [*done.losses.values(), *done.gradients]
        values = self._blend(share, *pairs[0], *pairs[1])
        return Done(dict(zip(mean.losses, values)), list(values[len(mean.losses) :]))


class Pass:
    """The differentiated form of a method that returns a loss, its parts and, if it likes, further tensors."""

    def __init__(
        self, function: Callable[..., tuple[Tensor, ...]], trained: Trained, backend: Any, scaler: LossScale | None
    ) -> None:
        """Wrap.

        Args:
            function: A method of an objective; its arguments are keys of the batch, optional ones default to None.
            trained: In whose parameters the first loss is differentiated.
            backend: The opened backend.
            scaler: Multiplies the loss and divides the gradients, for float16; or None.
        """
        self._keys = tuple(inspect.signature(function).parameters)
        self._function, self._trained, self._backend, self._scaler = function, trained, backend, scaler
        self._forward = Compiled(self._scaled, backend.compile)

    def __call__(self, batch: Mapping[str, np.ndarray | Tensor], names: Sequence[str]) -> Done:
        """Run on one batch of this rank; ``names`` are what the losses are called, and tell how many there are."""
        backend = self._backend
        scale = None if self._scaler is None else backend.tensor(np.array(self._scaler.scale, np.float32))
        given = [batch.get(key) for key in self._keys]
        inputs = [backend.tensor(one) if isinstance(one, np.ndarray) else one for one in given]
        scaled, values = self._forward(scale, *inputs)
        gradients = torch.autograd.grad(scaled, self._trained.optimizer.parameters, materialize_grads=True)
        if scale is not None:
            gradients = [one / scale for one in gradients]
        assert len(names) <= len(values), f"{len(values)} losses, {len(names)} names"
        values = tuple(value.detach() for value in values)
        return Done(dict(zip(names, values)), list(gradients), values[len(names) :])

    def _scaled(self, scale: Tensor | None, *inputs: Tensor | None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return what is differentiated, and all that the method returned."""
        values = self._function(*inputs)
        return values[0] if scale is None else values[0] * scale, values


def _blend(share: float, *values: Tensor) -> list[Tensor]:
    """Return ``old + share * (new - old)`` of the first half of the tensors and the second."""
    half = len(values) // 2
    return [old + (new - old) * share for old, new in zip(values[:half], values[half:])]
