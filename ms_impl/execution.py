"""How a network runs: half precision, BatchNorm over several processes."""

import mindspore
from mindspore import Tensor, nn
from mindspore.nn import Cell as Network

from common.errors import UserError
from ms_impl.nets.training import BATCH_NORMS

_TYPES = {"bf16": mindspore.bfloat16, "fp16": mindspore.float16}


def lower_precision(network: Network, precision: str, device: str) -> None:
    """Let the convolutions and matrix products of a network compute in another precision.

    Weights, statistics and whatever comes behind the network stay float32.

    Args:
        network: Changed in place.
        precision: ``"fp32"``, ``"bf16"`` or ``"fp16"``.
        device: Of the backend.
    Raises:
        UserError: If the device lacks the type.
    """
    if precision == "fp32":
        return
    if precision == "bf16" and device == "cpu":
        raise UserError("train.precision: MindSpore has no bf16 convolution on the CPU; use fp32 or fp16")
    for _, layer in network.cells_and_names():
        if isinstance(layer, (nn.Conv2d, nn.Dense)):
            layer.to_float(_TYPES[precision])
        elif isinstance(layer, BATCH_NORMS):
            layer.to_float(mindspore.float32)


def synchronise(network: Network, device: str) -> Network:
    """Return the network with BatchNorm statistics taken over all processes.

    Raises:
        UserError: If the device cannot.
    """
    if device != "ascend":
        raise UserError("train.sync_bn: MindSpore synchronises BatchNorm on Ascend only; set network.freeze_bn_stats")
    for _, parent in list(network.cells_and_names()):
        children = parent.name_cells()
        for name in [name for name, layer in children.items() if isinstance(layer, nn.BatchNorm2d)]:
            parent._cells[name] = _synchronised(children[name])  # assignment would rename the parameters
        if isinstance(parent, nn.SequentialCell):
            parent.cell_list = list(parent._cells.values())
    return network


def running_statistics(network: Network) -> list[Tensor]:
    """Return the running means and variances that training changes."""
    layers = [one for _, one in network.cells_and_names() if isinstance(one, BATCH_NORMS) and one.training]
    return [value for layer in layers for value in (layer.moving_mean, layer.moving_variance)]


def _synchronised(layer: nn.BatchNorm2d) -> nn.SyncBatchNorm:
    """Return the synchronised form of a BatchNorm, with the same parameters."""
    new = nn.SyncBatchNorm(layer.num_features, layer.eps, layer.momentum)
    new.gamma, new.beta = layer.gamma, layer.beta
    new.moving_mean, new.moving_variance = layer.moving_mean, layer.moving_variance
    return new.set_train(layer.training)
