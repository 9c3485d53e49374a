"""Layers with every option spelt out, so that both twins build the same ones."""

from torch import Tensor, nn
from torch.nn import functional


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
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias)


def linear(inputs: int, outputs: int, bias: bool = True) -> nn.Linear:
    """Return a linear layer over the last axis."""
    return nn.Linear(inputs, outputs, bias)


def softplus() -> nn.Module:
    """Return the layer ``log(1 + e^x)``, the smooth form of a ReLU."""
    return nn.Softplus()


def layer_norm(channels: int, eps: float) -> nn.LayerNorm:
    """Return a LayerNorm over the last axis."""
    return nn.LayerNorm(channels, eps=eps)


def group_norm(groups: int, channels: int) -> nn.GroupNorm:
    """Return a GroupNorm with eps 1e-5."""
    return nn.GroupNorm(groups, channels, eps=1e-5)


def instance_norm(x: Tensor) -> Tensor:
    """Return (N, C, H, W) with mean 0 and variance 1 (biased, eps 1e-5) in every map; neither scale nor shift."""
    return functional.instance_norm(x, eps=1e-5)


def gelu(x: Tensor) -> Tensor:
    """Return ``x * Phi(x)``, exact (Hendrycks & Gimpel, 2016)."""
    return functional.gelu(x)


def softmax(x: Tensor, axis: int) -> Tensor:
    """Return the softmax along an axis."""
    return x.softmax(dim=axis)


def reflect_pad(x: Tensor, width: int) -> Tensor:
    """Return (N, C, H + 2 * width, W + 2 * width): a map mirrored at its border pixels."""
    return functional.pad(x, (width, width, width, width), mode="reflect")
