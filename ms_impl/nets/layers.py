"""Layers with every option spelt out, so that both twins build the same ones."""

import math

from mindspore import Tensor, nn, ops


def conv(
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = True,
) -> nn.Conv2d:
    """Return a convolution of (N, inputs, H, W) with zero padding."""
    values = {"weight_init": "zeros", "bias_init": "zeros"}  # both are overwritten at once
    return nn.Conv2d(inputs, outputs, kernel, stride, "pad", padding, dilation, groups, has_bias=bias, **values)


def linear(inputs: int, outputs: int, bias: bool = True) -> nn.Dense:
    """Return a linear layer over the last axis."""
    return nn.Dense(inputs, outputs, weight_init="zeros", bias_init="zeros", has_bias=bias)


class _Softplus(nn.Cell):
    """As a cell, for a sequence of cells takes no primitive."""

    def __init__(self) -> None:
        super().__init__()
        self.softplus = ops.Softplus()

    def construct(self, x: Tensor) -> Tensor:
        return self.softplus(x)


def softplus() -> nn.Cell:
    """Return the layer ``log(1 + e^x)``, the smooth form of a ReLU."""
    return _Softplus()


def layer_norm(channels: int, eps: float) -> nn.LayerNorm:
    """Return a LayerNorm over the last axis."""
    return nn.LayerNorm((channels,), epsilon=eps)


def group_norm(groups: int, channels: int) -> nn.GroupNorm:
    """Return a GroupNorm with eps 1e-5."""
    return nn.GroupNorm(groups, channels, eps=1e-5)


def instance_norm(x: Tensor) -> Tensor:
    """Return (N, C, H, W) with mean 0 and variance 1 (biased, eps 1e-5) in every map; neither scale nor shift."""
    centred = x - x.mean((2, 3), keep_dims=True)
    return centred * ops.rsqrt(ops.square(centred).mean((2, 3), keep_dims=True) + 1e-5)


def gelu(x: Tensor) -> Tensor:
    """Return ``x * Phi(x)``, exact (Hendrycks & Gimpel, 2016)."""
    return x * 0.5 * (1.0 + ops.erf(x / math.sqrt(2.0)))


def softmax(x: Tensor, axis: int) -> Tensor:
    """Return the softmax along an axis."""
    # The CPU's own is off by 1e-5 along the last axis; expm1 of numbers <= 0 is exact to rounding
    power = ops.expm1(x - ops.stop_gradient(x.max(axis=axis, keepdims=True))) + 1.0
    return power / power.sum(axis=axis, keepdims=True)


def reflect_pad(x: Tensor, width: int) -> Tensor:
    """Return (N, C, H + 2 * width, W + 2 * width): a map mirrored at its border pixels."""
    return ops.MirrorPad("REFLECT")(x, Tensor(((0, 0), (0, 0), (width, width), (width, width))))
