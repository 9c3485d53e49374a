"""ShuffleNetV2 as torchvision builds it (Ma et al., ECCV 2018)."""

from mindspore import Tensor, nn, ops

from common.networks.mobile import ShuffleNetV2Config
from common.networks.mobile_layers import SHUFFLE_UNITS, SHUFFLE_WIDTHS
from ms_impl.nets.convnorm import Layers
from ms_impl.nets.layers import linear


class ShuffleUnit(nn.Cell):
    """Half of the channels pass three convolutions; with stride 2 all do, and another branch beside them."""

    def __init__(self, inputs: int, outputs: int, stride: int, layers: Layers) -> None:
        super().__init__()
        half, relu = outputs // 2, layers.activations["relu"]
        entering = inputs if stride == 2 else half
        self.branch1 = None
        if stride == 2:
            self.branch1 = nn.SequentialCell(
                layers.conv(inputs, inputs, 3, 2, inputs), layers.norm(inputs),
                layers.conv(inputs, half, 1), layers.norm(half), relu(),
            )  # fmt: skip
        self.branch2 = nn.SequentialCell(
            layers.conv(entering, half, 1), layers.norm(half), relu(),
            layers.conv(half, half, 3, stride, half), layers.norm(half),
            layers.conv(half, half, 1), layers.norm(half), relu(),
        )  # fmt: skip
        self.strided = stride == 2

    def construct(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H / stride, W / stride), rounded up; shuffled in two groups."""
        kept, passed = self.halves(x)
        return self.shuffled(self.branch1(kept) if self.strided else kept, self.branch2(passed))

    def halves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what enters the first branch, or is kept, and what enters the second."""
        half = x.shape[1] // 2
        return (x, x) if self.strided else (x[:, :half], x[:, half:])

    def shuffled(self, kept: Tensor, passed: Tensor) -> Tensor:
        """Return the channels of both branches, one of each in turn."""
        out = ops.concat((kept, passed), 1)
        count, channels, height, width = out.shape
        return out.reshape(count, 2, channels // 2, height, width).swapaxes(1, 2).reshape(out.shape)


class ShuffleNetV2(nn.Cell):
    """``conv1`` and pooling, three stages of units, ``conv5``, ``fc``."""

    HEADS = ("fc.",)

    def __init__(self, config: ShuffleNetV2Config, classes: int) -> None:
        super().__init__()
        layers = Layers(activation=config.activation)
        stem, *widths, last = SHUFFLE_WIDTHS[config.width]
        self.conv1 = layers.unit(3, stem, 3, 2, activation="relu")
        self.pool = nn.AvgPool2d(3, 2, "pad", 1) if config.activation == "softplus" else nn.MaxPool2d(3, 2, "pad", 1)
        stages = []
        for inputs, outputs, count in zip((stem, *widths), widths, SHUFFLE_UNITS):
            others = [ShuffleUnit(outputs, outputs, 1, layers) for _ in range(count - 1)]
            stages.append(nn.SequentialCell(ShuffleUnit(inputs, outputs, 2, layers), *others))
        self.stage2, self.stage3, self.stage4 = stages
        self.conv5 = layers.unit(widths[-1], last, 1, activation="relu")
        self.fc = linear(last, classes)

    def construct(self, images: Tensor, dropout: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return features and raw logits.

        Args:
            images: (N, 3, H, W) float32, normalised.
            dropout: Ignored: this network drops nothing.
        Returns:
            Means of the last convolution (N, channels), logits (N, classes).
        """
        x = self.pool(self.conv1(images))
        return self.top(self.conv5(self.stage4(self.stage3(self.stage2(x)))))

    def top(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Return what ``construct`` does, of the maps (N, channels, h, w) of the last convolution."""
        features = maps.mean((2, 3))
        return features, self.fc(features)
