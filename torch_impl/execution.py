"""How a network runs: half precision, BatchNorm over several processes."""

import torch
from torch import Tensor, nn
from torch.nn import Module as Network

from common.errors import UserError
from torch_impl.nets.training import BATCH_NORMS

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


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
    if precision != "fp32":
        kind = device.partition(":")[0]
        if precision == "bf16" and kind == "cuda" and not torch.cuda.is_bf16_supported():
            raise UserError("train.precision: this GPU has no bf16; use fp16")
        for name in ("forward", *getattr(network, "PASSES", ())):
            setattr(network, name, torch.autocast(kind, _TYPES[precision])(getattr(network, name)))


def synchronise(network: Network, device: str) -> Network:
    """Return the network with BatchNorm statistics taken over all processes.

    Raises:
        UserError: If the device cannot.
    """
    if not device.startswith("cuda"):
        raise UserError("train.sync_bn: PyTorch synchronises BatchNorm on CUDA only; set network.freeze_bn_stats")
    return nn.SyncBatchNorm.convert_sync_batchnorm(network)


def running_statistics(network: Network) -> list[Tensor]:
    """Return the running means and variances that training changes."""
    layers = [one for one in network.modules() if isinstance(one, BATCH_NORMS) and one.training]
    return [value for layer in layers for value in (layer.running_mean, layer.running_var)]

