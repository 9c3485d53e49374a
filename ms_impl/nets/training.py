"""What of a network trains: modes, frozen BatchNorm, parameter groups. The only place that sets a mode."""

from mindspore import Parameter, nn, ops
from mindspore.nn import Cell as Network

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def freeze_affine(network: Network) -> None:
    """Exclude the scales and shifts of every BatchNorm from training; they are still used, saved and loaded."""
    for _, layer in network.cells_and_names():
        if isinstance(layer, BATCH_NORMS):
            layer.gamma.requires_grad = False
            layer.beta.requires_grad = False


def set_mode(network: Network, training: bool) -> None:
    """Put a network into training or evaluation mode.

    BatchNorm stays in evaluation mode (running statistics used and kept) when the network has ``freeze_bn_stats``.
    """
    network.set_train(training)
    if getattr(network, "freeze_bn_stats", False):
        for _, layer in network.cells_and_names():
            if isinstance(layer, BATCH_NORMS):
                layer.set_train(False)


def parameter_groups(network: Network) -> dict[str, dict[str, Parameter]]:
    """Return the trainable parameters, each once, as ``{"backbone": {name: parameter}, "head": {...}}``."""
    groups: dict[str, dict[str, Parameter]] = {"backbone": {}, "head": {}}
    for name, parameter in network.parameters_and_names():
        if parameter.requires_grad:
            groups["head" if name.startswith(network.HEADS) else "backbone"][name] = parameter
    return groups


def share_parameters(network: Network, other: Network) -> Network:
    """Give ``other``, of the same architecture, the very parameters and running statistics of ``network``."""
    for (_, layer), (_, twin) in zip(network.cells_and_names(), other.cells_and_names()):
        for name, parameter in layer._params.items():
            setattr(twin, name, parameter)
    return other


def keep_statistics(network: Network) -> Network:
    """Let every BatchNorm use a batch's statistics in training without counting it in the running ones."""
    for _, layer in network.cells_and_names():
        if isinstance(layer, BATCH_NORMS):
            layer.bn_train = ops.BatchNorm(True, layer.eps, 0.0, layer.format)
    return network
