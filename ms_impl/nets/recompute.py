"""Recomputing the activations of residual blocks in the backward pass: less memory for about a third more time."""

import math
from typing import Any

from mindspore import Tensor, nn, ops
from mindspore.nn import Cell as Network

from common.errors import UserError
from ms_impl.nets.training import BATCH_NORMS


def recompute_blocks(network: Network) -> None:
    """Keep only the inputs of a network's blocks from now on; running statistics still count every batch once.

    Args:
        network: Has ``blocks()``; changed in place.
    Raises:
        UserError: If its BatchNorm cannot be kept from counting a recomputed batch twice.
    """
    for block in network.blocks():
        block.recompute()
        for _, layer in block.cells_and_names():
            if isinstance(layer, BATCH_NORMS):
                _count_twice_as_once(layer)


def run_block(block: Network, x: Tensor, *rest: Any) -> Tensor:
    """Call a block; when it recomputes, autograd keeps nothing of it but its arguments."""
    return block(x, *rest)


def _count_twice_as_once(layer: nn.Cell) -> None:
    """Make two equal updates of the running statistics as large as one: MindSpore makes both when it recomputes.

    With r the kept part, r' = sqrt(r): r' (r' old + (1 - r') new) + (1 - r') new = r old + (1 - r) new.
    """
    if isinstance(layer, nn.SyncBatchNorm):
        raise UserError("train.recompute and train.sync_bn exclude each other on MindSpore: switch one of them off")
    kept = math.sqrt(1.0 - layer.momentum)
    layer.bn_train = ops.BatchNorm(True, layer.eps, 1.0 - kept, layer.format)
