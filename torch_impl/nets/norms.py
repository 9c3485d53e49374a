"""Normalisation layers of residual networks: BatchNorm, instance norm, and half of each (Pan et al., ECCV 2018)."""

import torch
from torch import Tensor, nn

_EPS = 1e-5
_NEW_WEIGHT = 0.1  # of a batch in the running statistics; the running variance is unbiased


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Return a BatchNorm with eps 1e-5 that gives a new batch the weight 0.1 in its running statistics."""
    return nn.BatchNorm2d(channels, eps=_EPS, momentum=_NEW_WEIGHT)


class InstanceNorm2d(nn.InstanceNorm2d):
    """Normalises every channel of every image by its own mean and biased variance; scale and shift are trained."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=_EPS, affine=True, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, channels, H, W)."""
        return super().forward(x)


class IBN(nn.Module):
    """Instance norm for the first half of the channels, BatchNorm for the rest (IBN-a)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.half = channels // 2
        self.IN = InstanceNorm2d(self.half)
        self.BN = batch_norm(channels - self.half)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, channels, H, W)."""
        return torch.cat((self.IN(x[:, : self.half]), self.BN(x[:, self.half :])), dim=1)
