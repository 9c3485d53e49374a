"""Normalisation layers of residual networks: BatchNorm, instance norm, and half of each (Pan et al., ECCV 2018)."""

import mindspore
from mindspore import Parameter, Tensor, nn, ops

_EPS = 1e-5
_OLD_WEIGHT = 0.9  # of the running statistics beside a batch; the running variance is unbiased


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Return a BatchNorm with eps 1e-5 that gives a new batch the weight 0.1 in its running statistics."""
    return nn.BatchNorm2d(channels, eps=_EPS, momentum=_OLD_WEIGHT)


class InstanceNorm2d(nn.Cell):
    """Normalises every channel of every image by its own mean and biased variance; scale and shift are trained."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = Parameter(ops.ones((channels,), mindspore.float32))
        self.beta = Parameter(ops.zeros((channels,), mindspore.float32))

    def construct(self, x: Tensor) -> Tensor:
        """Normalise (N, channels, H, W)."""
        centred = x - x.mean((2, 3), keep_dims=True)
        scale = self.gamma.reshape(1, -1, 1, 1) / ops.sqrt(ops.square(centred).mean((2, 3), keep_dims=True) + _EPS)
        return centred * scale + self.beta.reshape(1, -1, 1, 1)


class IBN(nn.Cell):
    """Instance norm for the first half of the channels, BatchNorm for the rest (IBN-a)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.half = channels // 2
        self.IN = InstanceNorm2d(self.half)
        self.BN = batch_norm(channels - self.half)

    def construct(self, x: Tensor) -> Tensor:
        """Normalise (N, channels, H, W)."""
        return ops.cat((self.IN(x[:, : self.half]), self.BN(x[:, self.half :])), 1)
