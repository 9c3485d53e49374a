"""Convolution, BatchNorm, activation: the unit that the mobile networks are made of, and squeeze-and-excitation."""

from collections.abc import Callable

from torch import Tensor, nn

from torch_impl.nets.layers import conv, softplus

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "hardswish": nn.Hardswish,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "hardsigmoid": nn.Hardsigmoid,
}
SMOOTH: dict[str, Callable[[], nn.Module]] = {
    **dict.fromkeys(("relu", "relu6", "hardswish"), softplus),
    **dict.fromkeys(("sigmoid", "hardsigmoid"), nn.Sigmoid),
    "silu": nn.SiLU,
}


class Layers:
    """How a network makes its layers: the constants of its BatchNorm, its activations or their smooth forms."""

    def __init__(self, eps: float = 1e-5, momentum: float = 0.1, activation: str = "own") -> None:
        """Choose.

        Args:
            eps: Of every BatchNorm.
            momentum: Weight of a new batch in the running statistics; the running variance is unbiased.
            activation: ``"own"``, or ``"softplus"``: the smooth form for gradient tests.
        """
        self.eps, self.momentum = eps, momentum
        self.activations = SMOOTH if activation == "softplus" else ACTIVATIONS

    def norm(self, channels: int) -> nn.BatchNorm2d:
        """Return a BatchNorm."""
        return nn.BatchNorm2d(channels, eps=self.eps, momentum=self.momentum)

    def conv(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        bias: bool = False,
        dilation: int = 1,
    ) -> nn.Conv2d:
        """Return a convolution whose zero padding keeps the size at stride 1; ``kernel`` is odd."""
        return conv(inputs, outputs, kernel, stride, dilation * (kernel // 2), dilation, groups, bias)

    def unit(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        activation: str | None = None,
        dilation: int = 1,
    ) -> nn.Sequential:
        """Return convolution ``.0``, BatchNorm ``.1`` and, when one is named, an activation."""
        layers = [self.conv(inputs, outputs, kernel, stride, groups, dilation=dilation), self.norm(outputs)]
        return nn.Sequential(*layers, *([self.activations[activation]()] if activation else []))


class SqueezeExcitation(nn.Module):
    """Channels are weighted by what a small network says of their means (Hu et al., CVPR 2018)."""

    def __init__(self, layers: Layers, channels: int, squeezed: int, activation: str, gate: str) -> None:
        super().__init__()
        self.fc1 = layers.conv(channels, squeezed, 1, bias=True)
        self.fc2 = layers.conv(squeezed, channels, 1, bias=True)
        self.activation, self.gate = layers.activations[activation](), layers.activations[gate]()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        mean = x.mean((2, 3), keepdim=True)
        return x * self.gate(self.fc2(self.activation(self.fc1(mean))))
