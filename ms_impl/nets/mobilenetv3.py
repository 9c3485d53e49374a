"""MobileNetV3, small and large, as torchvision builds it (Howard et al., ICCV 2019)."""

from mindspore import Tensor, nn

from common.networks.mobile import MobileNetV3Config
from common.networks.mobile_layers import NORMS, MobileBlock, mobilenet_v3
from ms_impl.nets.classifier import drop
from ms_impl.nets.convnorm import Layers, SqueezeExcitation
from ms_impl.nets.layers import linear


class InvertedResidual(nn.Cell):
    """Expand, convolve each channel, squeeze and excite, project; no activation behind the sum."""

    def __init__(self, block: MobileBlock, layers: Layers) -> None:
        super().__init__()
        parts: list[nn.Cell] = []
        if block.expanded != block.inputs:
            parts.append(layers.unit(block.inputs, block.expanded, 1, activation=block.activation))
        wide = block.expanded
        parts.append(layers.unit(wide, wide, block.kernel, block.stride, wide, block.activation))
        if block.squeezed:
            parts.append(SqueezeExcitation(layers, wide, block.squeezed, "relu", "hardsigmoid"))
        parts.append(layers.unit(wide, block.outputs, 1))
        self.block, self.residual = nn.SequentialCell(*parts), block.residual

    def construct(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, ceil(H / stride), ceil(W / stride))."""
        return self.block(x) + x if self.residual else self.block(x)


class MobileNetV3(nn.Cell):
    """Stem, inverted residual blocks, last convolution ``features``; hidden layer and ``classifier``."""

    HEADS = ("classifier.3.",)

    def __init__(self, config: MobileNetV3Config, classes: int) -> None:
        super().__init__()
        self.rate = config.dropout
        layers = Layers(*NORMS[config.norms], config.activation)
        stem, blocks, last, hidden = mobilenet_v3(config.size, config.width)
        self.features = nn.SequentialCell(
            layers.unit(3, stem, 3, 2, activation="hardswish"),
            *[InvertedResidual(block, layers) for block in blocks],
            layers.unit(blocks[-1].outputs, last, 1, activation="hardswish"),
        )
        # ``.2`` is torchvision's dropout; what it keeps comes with the call
        first, second = linear(last, hidden), linear(hidden, classes)
        self.classifier = nn.SequentialCell(first, layers.activations["hardswish"](), nn.Identity(), second)

    def construct(self, images: Tensor, dropout: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return features and raw logits.

        Args:
            images: (N, 3, H, W) float32, normalised.
            dropout: (N, hidden) 1 for what is kept before the last layer, 0 for what is dropped; None drops nothing.
        Returns:
            Means of the last convolution (N, channels), logits (N, classes).
        """
        return self.top(self.features(images), dropout)

    def top(self, maps: Tensor, dropout: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return what ``construct`` does, of the maps (N, channels, h, w) of the last convolution."""
        features = maps.mean((2, 3))
        hidden = self.classifier[1](self.classifier[0](features))
        return features, self.classifier[3](drop(hidden, dropout, self.rate))
