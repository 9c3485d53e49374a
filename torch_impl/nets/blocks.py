"""Blocks that IAST's official code offers beside its published networks: excitation, pyramid pooling, a small decoder.

The first two are options of DeepLabV2 (``network.context``); spectral norm is one of the discriminator. The decoder is
for maps of half the image's size, which no network here has: behind others most of the image would be padding.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from torch_impl.nets.layers import conv, linear
from torch_impl.nets.norms import batch_norm

BINS = (1, 2, 3, 6)


class SpatialChannelExcitation(nn.Module):
    """Concurrent spatial and channel squeeze and excitation (Roy et al., MICCAI 2018): the sum of both gated maps."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.channel_excitation = nn.Sequential(
            linear(channels, channels // reduction),
            nn.ReLU(),
            linear(channels // reduction, channels),
            nn.Sigmoid(),
        )
        self.spatial_se = nn.Sequential(conv(channels, 1, 1, bias=False), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to its own shape."""
        channel = self.channel_excitation(x.mean(dim=(2, 3)))
        return x * channel[:, :, None, None] + x * self.spatial_se(x)


class PyramidPooling(nn.Module):
    """Pyramid pooling module (Zhao et al., CVPR 2017): averages over 1, 2, 3 and 6 bins a side beside the input."""

    def __init__(self, channels: int, reduced: int) -> None:
        super().__init__()
        self.features = nn.ModuleList(
            nn.Sequential(
                nn.AdaptiveAvgPool2d(bins), conv(channels, reduced, 1, bias=False), batch_norm(reduced), nn.ReLU()
            )
            for bins in BINS
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to (N, channels + 4 * reduced, H, W)."""
        parts, size = [x], x.shape[2:]
        for one in self.features:
            parts.append(functional.interpolate(one(x), size, mode="bilinear", align_corners=True))
        return torch.cat(parts, dim=1)


class BasePredictor(nn.Module):
    """A transposed convolution to twice the size, zeros to the size wanted, a 1x1 convolution to classes."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(channels, channels // 4, 3, 2, 1)
        self.conv1_1 = conv(channels // 4, classes, 1)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Map (N, channels, h, w) to (N, classes, *size); ``size`` is at least (2 h - 1, 2 w - 1)."""
        x = self.up(x)
        return self.conv1_1(functional.pad(x, (0, size[1] - x.shape[3], 0, size[0] - x.shape[2])))


class SpectralNormConv(nn.Module):
    """A convolution divided by its largest singular value, one power iteration a pass (Miyato et al., ICLR 2018).

    The iteration goes on in evaluation mode too, as in the official code; no gradient flows through the estimate.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.stride, self.padding = stride, padding
        self.weight = nn.Parameter(torch.zeros(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("u", torch.zeros(1, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H', W')."""
        with torch.no_grad():
            matrix = self.weight.reshape(self.weight.shape[0], -1)
            v = _unit(self.u @ matrix)
            u = _unit(v @ matrix.T)
            self.u.copy_(u)
            sigma = ((u @ matrix) * v).sum()
        return functional.conv2d(x, self.weight / sigma, self.bias, self.stride, self.padding)


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().sum().sqrt() + 1e-12)
