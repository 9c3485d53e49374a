"""What of a network trains: modes, frozen BatchNorm, parameter groups. The only place that sets a mode."""

from torch import nn
from torch.nn import Module as Network

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def freeze_affine(network: Network) -> None:
    """Exclude the scales and shifts of every BatchNorm from training; they are still used, saved and loaded."""
    for layer in network.modules():
        if isinstance(layer, BATCH_NORMS):
            layer.weight.requires_grad_(False)
            layer.bias.requires_grad_(False)


def set_mode(network: Network, training: bool) -> None:
    """Put a network into training or evaluation mode.

    BatchNorm stays in evaluation mode (running statistics used and kept) when the network has ``freeze_bn_stats``.
    """
    network.train(training)
    if getattr(network, "freeze_bn_stats", False):
        for layer in network.modules():
            if isinstance(layer, BATCH_NORMS):
                layer.train(False)


def parameter_groups(network: Network) -> dict[str, dict[str, nn.Parameter]]:
    """Return the trainable parameters, each once, as ``{"backbone": {name: parameter}, "head": {...}}``."""
    groups: dict[str, dict[str, nn.Parameter]] = {"backbone": {}, "head": {}}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups["head" if name.startswith(network.HEADS) else "backbone"][name] = parameter
    return groups
