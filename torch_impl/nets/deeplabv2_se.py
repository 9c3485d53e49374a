"""DeepLabV2 with GroupNorm, squeeze-and-excitation and a feature output (Shen et al., DiGA, CVPR 2023).

The head is ProDA's (Zhang et al., CVPR 2021).
"""

from typing import Any

import torch
from torch import Tensor, nn

from common.networks.residual_layers import expansion, stages
from torch_impl.nets.layers import conv, group_norm, linear
from torch_impl.nets.noise import channel_dropout
from torch_impl.nets.recompute import run_block
from torch_impl.nets.resnet import ACTIVATIONS, StemPool, batch_norm, block_class, convolution, residual_blocks
from torch_impl.nets.training import freeze_affine

_DILATIONS = (6, 12, 18, 24)
_REDUCTION = 16


class SqueezeExcitation(nn.Module):
    """Scales every channel by a function of all channels' means (Hu et al., CVPR 2018)."""

    def __init__(self, channels: int, activation: str) -> None:
        super().__init__()
        inner = max(channels // _REDUCTION, 1)
        self.se = nn.Sequential(
            linear(channels, inner), ACTIVATIONS[activation](), linear(inner, channels), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        return x * self.se(x.mean((2, 3))).unsqueeze(2).unsqueeze(3)


class FeatureHead(nn.Module):
    """Five parallel convolutions, their fusion to the feature, and a classifier without bias."""

    def __init__(
        self, inputs: int, channels: int, classes: int, groups: int, dropout: float, activation: str
    ) -> None:
        super().__init__()
        self.dropout = dropout
        branches = [conv(inputs, channels, 1)]
        branches += [conv(inputs, channels, 3, 1, rate, rate) for rate in _DILATIONS]
        self.conv2d_list = nn.ModuleList(
            [nn.Sequential(one, group_norm(groups, channels), ACTIVATIONS[activation]()) for one in branches]
        )
        width = len(branches) * channels
        self.bottleneck = nn.Sequential(
            SqueezeExcitation(width, activation), conv(width, channels, 3, 1, 1), group_norm(groups, channels)
        )
        self.head = nn.Sequential(nn.Identity(), conv(channels, classes, 1, bias=False))

    def forward(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the feature (N, channels, h, w), after its dropout, and raw logits (N, classes, h, w).

        Args:
            x: (N, inputs, h, w).
            noise: (N, channels) float32 in [0, 1) for the dropout; None drops nothing.
        """
        joined = torch.cat([branch(x) for branch in self.conv2d_list], dim=1)
        feature = channel_dropout(self.bottleneck(joined), noise, self.dropout)
        return feature, self.head(feature)


class DeepLabV2SE(nn.Module):
    """Residual backbone of stride 8 with DiGA's head, under the names of the official checkpoints."""

    HEADS = ("final.",)
    AUXILIARY = None  # no auxiliary logits in the output
    FEATURE = -2  # place in the output of the feature before the classifier

    def __init__(self, config: Any, classes: int) -> None:
        """Build.

        Args:
            config: Of class ``common.networks.deeplabv2_se.DeepLabV2SEConfig``.
            classes: Number of classes.
        """
        super().__init__()
        layout, block = stages(config.depth, config.width, "conv1"), block_class(config)
        self.layer0 = nn.Sequential(convolution(3, config.width, 7, 2), batch_norm(config.width))
        self.activation = ACTIVATIONS[config.activation]()
        self.pool = StemPool("ceil", config.pool)
        self.layer1 = nn.Sequential(*[block(one, config) for one in layout[0]])
        self.layer2 = nn.Sequential(*[block(one, config) for one in layout[1]])
        self.layer3 = nn.Sequential(*[block(one, config) for one in layout[2]])
        self.layer4 = nn.Sequential(*[block(one, config) for one in layout[3]])
        width = 8 * config.width * expansion(config.depth)
        channels, groups = config.head_channels, config.groups
        self.final = FeatureHead(width, channels, classes, groups, config.dropout, config.activation)
        self.feature_channels = channels
        self.freeze_bn_stats = config.freeze_bn_stats
        if config.freeze_bn_affine:
            freeze_affine(self)

    def blocks(self) -> list[nn.Module]:
        """Return the residual blocks in order."""
        return residual_blocks(self)

    def forward(self, images: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return (second stage, fourth stage, feature, logits), all at stride 8.

        Args:
            images: (N, 3, H, W) float32, normalised.
            noise: (N, ``config.draws``) float32 in [0, 1) for the feature's dropout; None drops nothing.
        """
        x = self.pool(self.activation(self.layer0(images)))
        outputs = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            for block in stage:
                x = run_block(block, x)
            outputs.append(x)
        feature, logits = self.final(x, noise)
        return outputs[1], outputs[3], feature, logits
