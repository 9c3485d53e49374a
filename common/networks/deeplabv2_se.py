"""Options of DiGA's DeepLabV2 (Shen et al., CVPR 2023)."""

from typing import Literal

from pydantic import PositiveInt

from common.networks.base import NetworkBase
from common.schema import Fraction


class DeepLabV2SEConfig(NetworkBase):
    """DeepLabV2 with GroupNorm, squeeze-and-excitation and a feature output."""

    name: Literal["deeplabv2_se"] = "deeplabv2_se"
    depth: Literal[18, 34, 50, 101] = 101
    width: PositiveInt = 64  # channels of the first stage; thinner for toy runs
    head_channels: PositiveInt = 256  # channels of the feature
    groups: PositiveInt = 32  # of the head's GroupNorms
    dropout: Fraction = 0.1  # of the feature's channels
    stride_in: Literal["conv1"] = "conv1"  # Caffe's bottleneck
    init: Literal["deeplabv2_se", "normal001", "kaiming", "torchvision"] = "deeplabv2_se"
    freeze_bn_affine: bool = True  # scales and shifts of BatchNorm are not trained
    freeze_bn_stats: bool = False  # running statistics are used and kept in training too
    activation: Literal["relu", "softplus"] = "relu"  # softplus and average: smooth form for gradient tests
    pool: Literal["max", "average"] = "max"

    @property
    def draws(self) -> int:
        """Random numbers that one image takes in training: one a channel of the feature."""
        return self.head_channels
