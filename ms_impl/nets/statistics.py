"""What the BatchNorm layers of a network see, against what they remember (DeepInversion, Yin et al., CVPR 2020)."""

from mindspore import Tensor, nn, ops
from mindspore.nn import Cell as Network

from common.errors import UserError
from ms_impl.nets.efficientnet import EfficientNet, MBConv
from ms_impl.nets.mobilenetv2 import InvertedResidual as InvertedResidualV2
from ms_impl.nets.mobilenetv2 import MobileNetV2
from ms_impl.nets.mobilenetv3 import InvertedResidual, MobileNetV3
from ms_impl.nets.resnet import BasicBlock, Bottleneck
from ms_impl.nets.resnet_classifier import ResNetClassifier
from ms_impl.nets.shufflenetv2 import ShuffleNetV2, ShuffleUnit


class InputStatistics(nn.Cell):
    """A pass of a classifier in evaluation mode that gives mean and variance of the input of every BatchNorm2d too.

    Gradients flow through them. Graphs keep no hooks, so the pass goes through the network's own layers, handed on
    from one to the next together with what was seen so far.

    Attributes:
        names: Paths of the layers, in the network's order.
        channels: Number of all their channels.
    """

    def __init__(self, network: Network) -> None:
        """Watch every BatchNorm2d of a network.

        Raises:
            UserError: If it has none, or is of no family whose layers are known here.
        """
        super().__init__(auto_prefix=False)
        layers = [(name, one) for name, one in network.cells_and_names() if isinstance(one, nn.BatchNorm2d)]
        if not layers:
            raise UserError(f"network {type(network).__name__} has no BatchNorm, whose statistics are asked for")
        self.names = [name for name, _ in layers]
        self._layers = [layer for _, layer in layers]
        self.channels = sum(layer.num_features for layer in self._layers)
        self.body, self.top = _part(network), _Top(network)

    def construct(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return raw logits, and the means and unbiased variances; biased where a layer saw one value a channel.

        Args:
            images: (N, 3, H, W) float32, normalised.
        Returns:
            (N, classes), (channels,), (channels,); layers follow each other in the network's order.
        """
        maps, means, variances = self.body(images, (), ())
        return self.top(maps), ops.concat(means), ops.concat(variances)

    def running(self) -> tuple[Tensor, Tensor]:
        """Return copies of the running means and variances, (channels,) each, in the same order."""
        means = ops.concat([layer.moving_mean for layer in self._layers])
        return means, ops.concat([layer.moving_variance for layer in self._layers])


def channel_statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and unbiased variance of each channel of (N, C, H, W), (C,) each; biased where one value is there."""
    maps = x.reshape(x.shape[0], x.shape[1], -1)  # sums over a whole last axis are ten times as fast on the CPU
    count = maps.shape[0] * maps.shape[2]
    mean = maps.sum(2).sum(0) / count
    centred = maps - mean.reshape(1, -1, 1)
    return mean, (centred * centred).sum(2).sum(0) / max(count - 1, 1)


_Seen = tuple[Tensor, ...]  # means, or variances, of the layers so far


class _Part(nn.Cell):
    """A piece of a network that hands on maps together with the means and variances seen so far."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)  # the layers keep the names that they have in their network

    def construct(self, x: Tensor, means: _Seen, variances: _Seen) -> tuple[Tensor, _Seen, _Seen]:
        raise NotImplementedError


class _Plain(_Part):
    """What holds no BatchNorm."""

    def __init__(self, layer: nn.Cell) -> None:
        super().__init__()
        self.layer = layer

    def construct(self, x: Tensor, means: _Seen, variances: _Seen) -> tuple[Tensor, _Seen, _Seen]:
        return self.layer(x), means, variances


class _Norm(_Part):
    """A BatchNorm."""

    def __init__(self, layer: nn.BatchNorm2d) -> None:
        super().__init__()
        self.layer = layer

    def construct(self, x: Tensor, means: _Seen, variances: _Seen) -> tuple[Tensor, _Seen, _Seen]:
        mean, variance = channel_statistics(x)
        return self.layer(x), (*means, mean), (*variances, variance)


class _Chain(_Part):
    """One piece after the other."""

    def __init__(self, layers: list[nn.Cell]) -> None:
        super().__init__()
        self.parts = nn.CellList([_part(layer) for layer in layers], auto_prefix=False)

    def construct(self, x: Tensor, means: _Seen, variances: _Seen) -> tuple[Tensor, _Seen, _Seen]:
        for part in self.parts:
            x, means, variances = part(x, means, variances)
        return x, means, variances


class _Sum(_Part):
    """A branch beside the identity, or a shortcut with layers of its own; then perhaps an activation."""

    def __init__(self, branch: list[nn.Cell], shortcut: nn.Cell | None = None, activation: nn.Cell | None = None):
        super().__init__()
        self.branch, self.shortcut, self.activation = _Chain(branch), None, activation
        if shortcut is not None:
            self.shortcut = _part(shortcut)

    def construct(self, x: Tensor, means: _Seen, variances: _Seen) -> tuple[Tensor, _Seen, _Seen]:
        out, means, variances = self.branch(x, means, variances)
        if self.shortcut is not None:
            x, means, variances = self.shortcut(x, means, variances)
        out = out + x
        return (out if self.activation is None else self.activation(out)), means, variances


class _Shuffle(_Part):
    """A unit of ShuffleNetV2."""

    def __init__(self, unit: ShuffleUnit) -> None:
        super().__init__()
        self.unit, self.first, self.second = unit, None, _part(unit.branch2)
        if unit.strided:
            self.first = _part(unit.branch1)

    def construct(self, x: Tensor, means: _Seen, variances: _Seen) -> tuple[Tensor, _Seen, _Seen]:
        kept, passed = self.unit.halves(x)
        if self.first is not None:
            kept, means, variances = self.first(kept, means, variances)
        passed, means, variances = self.second(passed, means, variances)
        return self.unit.shuffled(kept, passed), means, variances


class _Top(nn.Cell):
    """What makes logits of the last maps."""

    def __init__(self, network: Network) -> None:
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, maps: Tensor) -> Tensor:
        return self.network.top(maps)[-1]


def _basic(block: BasicBlock) -> _Part:
    branch = [block.conv1, block.bn1, block.activation, block.conv2, block.bn2]
    return _Sum(branch, block.downsample, block.activation)


def _bottleneck(block: Bottleneck) -> _Part:
    first = [block.conv1, block.bn1, block.activation]
    branch = [*first, block.conv2, block.bn2, block.activation, block.conv3, block.bn3]
    return _Sum(branch, block.downsample, block.activation)


def _residual(block: InvertedResidual | MBConv) -> _Part:
    return _Sum([block.block]) if block.residual else _part(block.block)


def _residual_v2(block: InvertedResidualV2) -> _Part:
    return _Sum([block.conv]) if block.residual else _part(block.conv)


def _resnet(net: ResNetClassifier) -> _Part:
    stem = [net.conv1, net.bn1, net.activation, *([] if net.stem == "small" else [net.pool])]
    return _Chain([*stem, net.layer1, net.layer2, net.layer3, net.layer4])


def _features(net: MobileNetV3 | MobileNetV2 | EfficientNet) -> _Part:
    return _part(net.features)


def _shufflenet(net: ShuffleNetV2) -> _Part:
    return _Chain([net.conv1, net.pool, net.stage2, net.stage3, net.stage4, net.conv5])


_PARTS = {
    nn.SequentialCell: lambda cells: _Chain(list(cells)),
    nn.BatchNorm2d: _Norm,
    BasicBlock: _basic,
    Bottleneck: _bottleneck,
    InvertedResidual: _residual,
    InvertedResidualV2: _residual_v2,
    MBConv: _residual,
    ShuffleUnit: _Shuffle,
    ResNetClassifier: _resnet,
    MobileNetV3: _features,
    MobileNetV2: _features,
    EfficientNet: _features,
    ShuffleNetV2: _shufflenet,
}


def _part(cell: nn.Cell) -> _Part:
    """Return the piece that a layer, a block or a network is."""
    if not any(isinstance(one, nn.BatchNorm2d) for _, one in cell.cells_and_names()):
        return _Plain(cell)
    if type(cell) not in _PARTS:
        known = ", ".join(kind.__name__ for kind in _PARTS)
        raise UserError(f"{type(cell).__name__}: its BatchNorm inputs cannot be watched; known are {known}")
    return _PARTS[type(cell)](cell)
