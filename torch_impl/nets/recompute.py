"""Recomputing the activations of residual blocks in the backward pass: less memory for about a third more time."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import Tensor
from torch.nn import Module as Network
from torch.utils.checkpoint import checkpoint

from torch_impl.nets.training import BATCH_NORMS


def recompute_blocks(network: Network) -> None:
    """Keep only the inputs of a network's blocks from now on; running statistics still count every batch once.

    Args:
        network: Has ``blocks()``; changed in place.
    Raises:
        UserError: If its BatchNorm cannot be kept from counting a recomputed batch twice.
    """
    for block in network.blocks():
        block.recompute = True


def run_block(block: Network, x: Tensor, *rest: Any) -> Tensor:
    """Call a block; when it recomputes, autograd keeps nothing of it but its arguments."""
    if not getattr(block, "recompute", False):
        return block(x, *rest)
    contexts = partial(_contexts, block)
    return checkpoint(block, x, *rest, use_reentrant=False, context_fn=contexts)


def _contexts(block: Network) -> tuple[Any, Any]:
    """Return what surrounds the first and the second run of a block."""
    return nullcontext(), _statistics_kept(block)


@contextmanager
def _statistics_kept(block: Network) -> Iterator[None]:
    """While a block runs for the second time, its BatchNorms normalise alike but do not count the batch again."""
    layers = [layer for layer in block.modules() if isinstance(layer, BATCH_NORMS) and layer.training]
    before = [(layer.momentum, layer.num_batches_tracked.clone()) for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, (momentum, counted) in zip(layers, before):
            layer.momentum = momentum
            layer.num_batches_tracked.copy_(counted)
