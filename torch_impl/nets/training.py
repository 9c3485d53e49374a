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


def share_parameters(network: Network, other: Network) -> Network:
    """Give ``other``, of the same architecture, the very parameters and running statistics of ``network``."""
    for layer, twin in zip(network.modules(), other.modules()):
        twin._parameters.update(layer._parameters)
        twin._buffers.update(layer._buffers)
    return other


def keep_statistics(network: Network) -> Network:
    """Let every BatchNorm use a batch's statistics in training without counting it in the running ones."""
    for layer in network.modules():
        if isinstance(layer, BATCH_NORMS):
            layer.track_running_stats = False
    return network
