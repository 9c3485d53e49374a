"""Decoder heads on Mix Transformers: SegFormer's (NeurIPS 2021) and DAFormer's (Hoyer et al., CVPR 2022)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from torch_impl.nets.layers import conv, linear
from torch_impl.nets.mit import map_of, tokens_of
from torch_impl.nets.noise import channel_dropout
from torch_impl.nets.resnet import ACTIVATIONS, batch_norm

_DILATIONS = (1, 6, 12, 18)


def resized(x: Tensor, like: Tensor) -> Tensor:
    """Return (N, C, h, w) at the size of another map, bilinear without aligned corners."""
    size = tuple(like.shape[2:])
    if tuple(x.shape[2:]) == size:
        return x
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


class ConvBlock(nn.Module):
    """Convolution without bias, BatchNorm, activation; keeps the size."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, activation: str, dilation: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        self.conv = conv(inputs, outputs, kernel, 1, padding, dilation, groups, bias=False)
        self.bn = batch_norm(outputs)
        self.activation = ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H, W)."""
        return self.activation(self.bn(self.conv(x)))


class StageEmbedding(nn.Module):
    """One linear layer over the channels of a map."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.proj = linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H, W)."""
        return map_of(self.proj(tokens_of(x)), x.shape[2], x.shape[3])


class SegFormerHead(nn.Module):
    """Linear embeddings of all stages at stride 4, fused by a 1x1 convolution."""

    def __init__(
        self, inputs: Sequence[int], channels: int, classes: int, dropout: float, activation: str = "relu"
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.linear_c4 = StageEmbedding(inputs[3], channels)
        self.linear_c3 = StageEmbedding(inputs[2], channels)
        self.linear_c2 = StageEmbedding(inputs[1], channels)
        self.linear_c1 = StageEmbedding(inputs[0], channels)
        self.linear_fuse = ConvBlock(4 * channels, channels, 1, activation)
        self.linear_pred = conv(channels, classes, 1)

    def forward(self, stages: Sequence[Tensor], noise: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return (concatenation, fused feature, logits) at stride 4.

        Args:
            stages: The maps of the four stages.
            noise: (N, channels) float32 in [0, 1) for the dropout of the fused feature; None drops nothing.
        """
        first, second, third, fourth = stages
        embedded = (self.linear_c4(fourth), self.linear_c3(third), self.linear_c2(second), self.linear_c1(first))
        joined = torch.cat([resized(one, first) for one in embedded], dim=1)
        fused = channel_dropout(self.linear_fuse(joined), noise, self.dropout)
        return joined, fused, self.linear_pred(fused)


class SeparableConvolution(nn.Module):
    """A depthwise 3x3 convolution, then a pointwise one, each with BatchNorm and activation."""

    def __init__(self, inputs: int, outputs: int, dilation: int, activation: str) -> None:
        super().__init__()
        self.depthwise_conv = ConvBlock(inputs, inputs, 3, activation, dilation, groups=inputs)
        self.pointwise_conv = ConvBlock(inputs, outputs, 1, activation)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H, W)."""
        return self.pointwise_conv(self.depthwise_conv(x))


class AsppFusion(nn.Module):
    """Parallel dilated convolutions, separable beyond dilation 1 and without image pooling, and a 3x3 bottleneck."""

    def __init__(self, inputs: int, channels: int, activation: str) -> None:
        super().__init__()
        first = ConvBlock(inputs, channels, 1, activation)
        dilated = [SeparableConvolution(inputs, channels, rate, activation) for rate in _DILATIONS[1:]]
        self.aspp_modules = nn.ModuleList([first, *dilated])
        self.bottleneck = ConvBlock(len(_DILATIONS) * channels, channels, 3, activation)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, channels, H, W)."""
        return self.bottleneck(torch.cat([branch(x) for branch in self.aspp_modules], dim=1))


class DAFormerHead(nn.Module):
    """Linear embeddings of all stages at stride 4, fused by dilated separable convolutions (context-aware fusion)."""

    def __init__(
        self, inputs: Sequence[int], channels: int, classes: int, dropout: float, activation: str = "relu"
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.embed_layers = nn.ModuleList([StageEmbedding(one, channels) for one in inputs])
        self.fuse_layer = AsppFusion(len(inputs) * channels, channels, activation)
        self.conv_seg = conv(channels, classes, 1)

    def forward(self, stages: Sequence[Tensor], noise: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return (concatenation, fused feature, logits) at stride 4; arguments as ``SegFormerHead``."""
        embedded = [resized(layer(one), stages[0]) for layer, one in zip(self.embed_layers, stages)]
        joined = torch.cat(embedded, dim=1)
        fused = channel_dropout(self.fuse_layer(joined), noise, self.dropout)
        return joined, fused, self.conv_seg(fused)
