"""MobileNetV2 as torchvision builds it (Sandler et al., CVPR 2018)."""

from mindspore import Tensor, nn

from common.networks.mobile import MobileNetV2Config
from common.networks.mobile_layers import MobileBlock, mobilenet_v2
from ms_impl.nets.classifier import drop
from ms_impl.nets.convnorm import Layers
from ms_impl.nets.layers import linear


class InvertedResidual(nn.Cell):
    """Expand, convolve each channel, project without activation."""

    def __init__(self, block: MobileBlock, layers: Layers) -> None:
        super().__init__()
        parts: list[nn.Cell] = []
        if block.expanded != block.inputs:
            parts.append(layers.unit(block.inputs, block.expanded, 1, activation=block.activation))
        wide = block.expanded
        parts.append(layers.unit(wide, wide, block.kernel, block.stride, wide, block.activation))
        self.conv = nn.SequentialCell(*parts, layers.conv(wide, block.outputs, 1), layers.norm(block.outputs))
        self.residual = block.residual

    def construct(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, ceil(H / stride), ceil(W / stride))."""
        return self.conv(x) + x if self.residual else self.conv(x)


class MobileNetV2(nn.Cell):
    """Stem, inverted residual blocks and last convolution ``features``; ``classifier``."""

    HEADS = ("classifier.",)

    def __init__(self, config: MobileNetV2Config, classes: int) -> None:
        super().__init__()
        self.rate = config.dropout
        layers = Layers(activation=config.activation)
        stem, blocks, last = mobilenet_v2(config.width)
        self.features = nn.SequentialCell(
            layers.unit(3, stem, 3, 2, activation="relu6"),
            *[InvertedResidual(block, layers) for block in blocks],
            layers.unit(blocks[-1].outputs, last, 1, activation="relu6"),
        )
        # ``.0`` is torchvision's dropout; what it keeps comes with the call
        self.classifier = nn.SequentialCell(nn.Identity(), linear(last, classes))

    def construct(self, images: Tensor, dropout: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return features and raw logits.

        Args:
            images: (N, 3, H, W) float32, normalised.
            dropout: (N, channels) 1 for what is kept before the classifier, 0 for what is dropped; None drops nothing.
        Returns:
            Means of the last convolution (N, channels), logits (N, classes).
        """
        return self.top(self.features(images), dropout)

    def top(self, maps: Tensor, dropout: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return what ``construct`` does, of the maps (N, channels, h, w) of the last convolution."""
        features = maps.mean((2, 3))
        return features, self.classifier[1](drop(features, dropout, self.rate))
