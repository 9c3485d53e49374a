"""Descriptions of the mobile networks of image classification, all with torchvision's names."""

from typing import Literal

import numpy as np
from pydantic import PositiveFloat

from common.mobilenet import DROP_PATH, efficientnet_b0, mobilenet_v2, mobilenet_v3
from common.networks.base import NetworkBase
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
    """EfficientNet-B0 (Tan and Le, ICML 2019)."""

    name: Literal["efficientnet_b0"] = "efficientnet_b0"
    drop_path: Fraction = DROP_PATH  # chance that a branch beside a shortcut is dropped: 0 at the input to this

    def dropout_units(self) -> int:
        """Return the number of blocks with a shortcut and of the features together."""
        return len(self.path_rates()) + efficientnet_b0()[-1] if self.dropout or self.drop_path else 0

    def dropout_rate(self) -> np.ndarray:
        """Return the rate of each block with a shortcut, then that of each feature."""
        return np.array([*self.path_rates(), *[self.dropout] * efficientnet_b0()[-1]])

    def path_rates(self) -> list[float]:
        """Return the rate of each block with a shortcut; it grows with the number of the block (torchvision)."""
        blocks = [block for stage in efficientnet_b0()[1] for block in stage]
        return [self.drop_path * index / len(blocks) for index, block in enumerate(blocks) if block.residual]


class ShuffleNetV2Config(MobileBase):
    """ShuffleNetV2 (Ma et al., ECCV 2018); it drops nothing."""

    name: Literal["shufflenet_v2"] = "shufflenet_v2"
    width: Literal["x0_5", "x1_0", "x1_5", "x2_0"] = "x1_0"
    init: Literal["pytorch"] = "pytorch"
    dropout: Literal[0.0] = 0.0
