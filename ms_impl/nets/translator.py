"""DiGA's image translator (Shen et al., CVPR 2023): shared-content encoder, decoder, multi-scale discriminator.

After UNIT and MUNIT (Huang et al., ECCV 2018). Convolutions pad by mirroring; norms have neither scale nor statistics.
"""

from itertools import pairwise

from mindspore import Tensor, nn, ops

from common.networks.translator import CriticsConfig, TranslatorConfig
from ms_impl.nets.layers import conv, instance_norm, reflect_pad

_BLOCKS = 4
_SLOPE = 0.2
_SCALES = 3


class ConvBlock(nn.Cell):
    """Mirrored padding, convolution with bias, and by option instance normalisation and ReLU or tanh."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, padding: int, norm: bool = True, finish: str = "relu"
    ) -> None:
        super().__init__()
        self.padding, self.norm, self.finish = padding, norm, finish
        self.conv = conv(inputs, outputs, kernel, stride)

    def construct(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        x = self.conv(reflect_pad(x, self.padding))
        x = instance_norm(x) if self.norm else x
        if self.finish == "relu":
            return ops.relu(x)
        return ops.tanh(x) if self.finish == "tanh" else x


class ResidualBlock(nn.Cell):
    """Two 3x3 convolutions and a shortcut; nothing behind the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        second = ConvBlock(channels, channels, 3, 1, 1, finish="none")
        self.model = nn.SequentialCell(ConvBlock(channels, channels, 3, 1, 1), second)

    def construct(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        return self.model(x) + x


class ResidualBlocks(nn.Cell):
    """A chain of residual blocks."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.model = nn.SequentialCell(*[ResidualBlock(channels) for _ in range(_BLOCKS)])

    def construct(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        return self.model(x)


class Doubling(nn.Cell):
    """Nearest-neighbour enlargement by 2."""

    def construct(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, 2 * H, 2 * W)."""
        count, channels, height, width = x.shape
        wide = x.reshape(count, channels, height, 1, width, 1).broadcast_to((count, channels, height, 2, width, 2))
        return wide.reshape(count, channels, 2 * height, 2 * width)


class ImgEncoder(nn.Cell):
    """Image to content: stride 4, four times the width."""

    HEADS = ()

    def __init__(self, width: int = 64) -> None:
        """Build; ``width`` is the number of channels at full size."""
        super().__init__()
        self.model = nn.SequentialCell(
            ConvBlock(3, width, 7, 1, 3),
            ConvBlock(width, 2 * width, 4, 2, 1),
            ConvBlock(2 * width, 4 * width, 4, 2, 1),
            ResidualBlocks(4 * width),
        )

    def construct(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W), normalised, sides divisible by 4, to (N, 4 * width, H / 4, W / 4)."""
        return self.model(images)


class ImgDecoder(nn.Cell):
    """Content to image, in [-1, 1]."""

    HEADS = ()

    def __init__(self, width: int = 64) -> None:
        """Build; ``width`` is the number of channels at full size."""
        super().__init__()
        self.model = nn.SequentialCell(
            ResidualBlocks(4 * width),
            Doubling(),
            ConvBlock(4 * width, 2 * width, 5, 1, 2),
            Doubling(),
            ConvBlock(2 * width, width, 5, 1, 2),
            ConvBlock(width, 3, 7, 1, 3, norm=False, finish="tanh"),
        )

    def construct(self, content: Tensor) -> Tensor:
        """Map (N, 4 * width, h, w) to images (N, 3, 4 * h, 4 * w)."""
        return self.model(content)


class CriticBlock(nn.Cell):
    """4x4 convolution with stride 2, zero padding and no bias, then LeakyReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = conv(inputs, outputs, 4, 2, 1, bias=False)

    def construct(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H // 2, W // 2)."""
        return ops.leaky_relu(self.conv(x), _SLOPE)


class Discriminator(nn.Cell):
    """Judges patches at three scales; sides of at least 64 pixels."""

    HEADS = ()

    def __init__(self, width: int = 64) -> None:
        """Build; ``width`` is the number of channels of the first convolution."""
        super().__init__()
        self.cnns = nn.CellList([_critic(width) for _ in range(_SCALES)])

    def construct(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return one map of judgements (N, 1, h, w) a scale, finest first.

        Args:
            images: (N, 3, H, W).
        """
        outputs = []
        for scale, critic in enumerate(self.cnns):
            images = halved(images) if scale else images
            outputs.append(critic(images))
        return tuple(outputs)


def halved(images: Tensor) -> Tensor:
    """Return the 3x3 means with stride 2; pixels beyond the border do not count."""
    # ops.avg_pool2d would do, but for its gradient, which a graph computes in float64
    pad, pool = ops.Pad(((0, 0), (0, 0), (1, 1), (1, 1))), ops.AvgPool(3, 2, "valid")
    return pool(pad(images)) / pool(pad(ops.ones_like(images)))


def _critic(width: int) -> nn.SequentialCell:
    widths = [3, *[width * 2**step for step in range(4)]]
    return nn.SequentialCell(*[CriticBlock(a, b) for a, b in pairwise(widths)], conv(widths[-1], 1, 1))


class Translator(nn.Cell):
    """The generators of both directions; the network itself translates source images into the target's style."""

    HEADS = ()

    def __init__(self, config: TranslatorConfig, classes: int) -> None:
        """Build; ``classes`` counts for nothing."""
        super().__init__()
        self.enc_s, self.enc_t = ImgEncoder(config.width), ImgEncoder(config.width)
        self.dec_s2t, self.dec_t2s = ImgDecoder(config.width), ImgDecoder(config.width)

    def construct(self, images: Tensor) -> Tensor:
        """Map source images (N, 3, H, W), normalised, sides divisible by 4, to the same shape in [-1, 1]."""
        return self.dec_s2t(self.enc_s(images))


class Critics(nn.Cell):
    """The discriminators of both directions: of the target's style, and of the source's."""

    HEADS = ()

    def __init__(self, config: CriticsConfig, classes: int) -> None:
        """Build; ``classes`` counts for nothing."""
        super().__init__()
        self.dis_s2t, self.dis_t2s = Discriminator(config.width), Discriminator(config.width)

    def construct(self, as_target: Tensor, as_source: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return the judgements of images (N, 3, H, W) in the target's style and of images in the source's."""
        return self.dis_s2t(as_target), self.dis_t2s(as_source)
