"""Blocks that IAST's official code offers beside its published networks: excitation, pyramid pooling, a small decoder.

The first two are options of DeepLabV2 (``network.context``); spectral norm is one of the discriminator. The decoder is
for maps of half the image's size, which no network here has: behind others most of the image would be padding.
"""

import mindspore
from mindspore import Parameter, Tensor, nn, ops

from ms_impl.nets.layers import conv, linear
from ms_impl.nets.norms import batch_norm

BINS = (1, 2, 3, 6)


class SpatialChannelExcitation(nn.Cell):
    """Concurrent spatial and channel squeeze and excitation (Roy et al., MICCAI 2018): the sum of both gated maps."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.channel_excitation = nn.SequentialCell(
            linear(channels, channels // reduction),
            nn.ReLU(),
            linear(channels // reduction, channels),
            nn.Sigmoid(),
        )
        self.spatial_se = nn.SequentialCell(conv(channels, 1, 1, bias=False), nn.Sigmoid())

    def construct(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to its own shape."""
        channel = self.channel_excitation(x.mean((2, 3)))
        return x * channel.expand_dims(2).expand_dims(3) + x * self.spatial_se(x)


class PyramidPooling(nn.Cell):
    """Pyramid pooling module (Zhao et al., CVPR 2017): averages over 1, 2, 3 and 6 bins a side beside the input."""

    def __init__(self, channels: int, reduced: int) -> None:
        super().__init__()
        self.features = nn.CellList(
            [
                nn.SequentialCell(
                    nn.AdaptiveAvgPool2d(bins), conv(channels, reduced, 1, bias=False), batch_norm(reduced), nn.ReLU()
                )
                for bins in BINS
            ]
        )

    def construct(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to (N, channels + 4 * reduced, H, W)."""
        parts, size = [x], (x.shape[2], x.shape[3])
        for one in self.features:
            parts.append(ops.interpolate(one(x), size=size, mode="bilinear", align_corners=True))
        return ops.cat(parts, 1)


class BasePredictor(nn.Cell):
    """A transposed convolution to twice the size, zeros to the size wanted, a 1x1 convolution to classes."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.up = nn.Conv2dTranspose(
            channels, channels // 4, 3, 2, "pad", 1, has_bias=True, weight_init="zeros", bias_init="zeros"
        )
        self.conv1_1 = conv(channels // 4, classes, 1)

    def construct(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Map (N, channels, h, w) to (N, classes, *size); ``size`` is at least (2 h - 1, 2 w - 1)."""
        x = self.up(x)
        # ops.pad would do, but for its gradient, which is wrong from the second call of a compiled graph on
        missing = ((0, 0), (0, 0), (0, size[0] - x.shape[2]), (0, size[1] - x.shape[3]))
        return self.conv1_1(ops.Pad(missing)(x))


class SpectralNormConv(nn.Cell):
    """A convolution divided by its largest singular value, one power iteration a pass (Miyato et al., ICLR 2018).

    The iteration goes on in evaluation mode too, as in the official code; no gradient flows through the estimate.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.stride, self.padding = stride, padding
        self.weight = Parameter(ops.zeros((outputs, inputs, kernel, kernel), mindspore.float32))
        self.bias = Parameter(ops.zeros((outputs,), mindspore.float32))
        self.u = Parameter(ops.zeros((1, outputs), mindspore.float32), requires_grad=False)

    def construct(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H', W')."""
        matrix = ops.stop_gradient(self.weight.reshape(self.weight.shape[0], -1))
        v = _unit(ops.matmul(self.u, matrix))
        u = _unit(ops.matmul(v, matrix.T))
        ops.assign(self.u, u)
        sigma = ops.stop_gradient((ops.matmul(u, matrix) * v).sum())
        return ops.conv2d(x, self.weight / sigma, self.bias, self.stride, "pad", self.padding)


def _unit(x: Tensor) -> Tensor:
    return x / (ops.sqrt(ops.square(x).sum()) + 1e-12)
