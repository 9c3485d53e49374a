"""Descriptions of the mobile networks of image classification, all with torchvision's names."""

from typing import Literal

import numpy as np
from pydantic import PositiveFloat

from common.networks.base import NetworkBase
from common.networks.mobile_layers import (
    DROP_PATH,
    EFFICIENT,
    Compound,
    MobileBlock,
    efficientnet,
    mobilenet_v2,
    mobilenet_v3,
)
from common.schema import Fraction


class MobileBase(NetworkBase):
    """What they have in common."""

    TASK = "classification"

    init: Literal["torchvision_mobile"] = "torchvision_mobile"
    dropout: Fraction = 0.2  # before the last layer
    activation: Literal["own", "softplus"] = "own"  # softplus: smooth form for gradient tests

    def dropout_units(self) -> int:
        """Return how many numbers of an image's pass dropout may set to zero; 0: the network drops nothing."""
        return 0

    def dropout_rate(self) -> float | np.ndarray:
        """Return the probability with which each of them is set to zero: one for all, or (units,) float64."""
        return self.dropout


class MobileNetV3Config(MobileBase):
    """MobileNetV3 (Howard et al., ICCV 2019)."""

    name: Literal["mobilenet_v3"] = "mobilenet_v3"
    size: Literal["small", "large"] = "small"
    norms: Literal["torchvision", "mindcv"] = "torchvision"  # whose constants BatchNorm has
    width: PositiveFloat = 1.0  # factor of all channels

    def dropout_units(self) -> int:
        """Return the width of the hidden layer."""
        return mobilenet_v3(self.size, self.width)[-1] if self.dropout else 0


class MobileNetV2Config(MobileBase):
    """MobileNetV2 (Sandler et al., CVPR 2018)."""

    name: Literal["mobilenet_v2"] = "mobilenet_v2"
    width: PositiveFloat = 1.0  # factor of all channels

    def dropout_units(self) -> int:
        """Return the number of features."""
        return mobilenet_v2(self.width)[-1] if self.dropout else 0


class EfficientNetConfig(MobileBase):
    """EfficientNet-B0 to B7 (Tan and Le, ICML 2019)."""

    name: Literal[
        "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3",
        "efficientnet_b4", "efficientnet_b5", "efficientnet_b6", "efficientnet_b7",
    ] = "efficientnet_b0"  # fmt: skip
    dropout: Fraction | None = None  # before the last layer; None: torchvision's, from 0.2 (B0) to 0.5 (B7)
    drop_path: Fraction = DROP_PATH  # chance that a branch beside a shortcut is dropped: 0 at the input to this

    @property
    def form(self) -> Compound:
        """Factors and constants of the variant."""
        return EFFICIENT[self.name.removeprefix("efficientnet_")]

    @property
    def head_dropout(self) -> float:
        """Share of the features that is dropped."""
        return self.form.dropout if self.dropout is None else self.dropout

    def dropout_units(self) -> int:
        """Return the number of blocks with a shortcut and of the features together."""
        dropped = self.head_dropout or self.drop_path
        return len(self.path_rates()) + efficientnet(self.form)[-1] if dropped else 0

    def dropout_rate(self) -> np.ndarray:
        """Return the rate of each block with a shortcut, then that of each feature."""
        return np.array([*self.path_rates(), *[self.head_dropout] * efficientnet(self.form)[-1]])

    def path_rates(self) -> list[float]:
        """Return the rate of each block with a shortcut."""
        return path_rates(efficientnet(self.form)[1], self.drop_path)


def path_rates(stages: list[list[MobileBlock]], drop_path: float) -> list[float]:
    """Return the rate of each block with a shortcut; it grows with the number of the block (torchvision).

    Args:
        stages: Blocks of an EfficientNet.
        drop_path: The rate that a block behind the last would have.
    """
    blocks = [block for stage in stages for block in stage]
    return [drop_path * index / len(blocks) for index, block in enumerate(blocks) if block.residual]


class ShuffleNetV2Config(MobileBase):
    """ShuffleNetV2 (Ma et al., ECCV 2018); it drops nothing."""

    name: Literal["shufflenet_v2"] = "shufflenet_v2"
    width: Literal["x0_5", "x1_0", "x1_5", "x2_0"] = "x1_0"
    init: Literal["pytorch"] = "pytorch"
    dropout: Literal[0.0] = 0.0
