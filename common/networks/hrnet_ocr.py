"""Options of HRNetV2 (Wang et al., TPAMI 2020) with the OCR head (Yuan et al., ECCV 2020)."""

from typing import Literal

from pydantic import PositiveInt

from common.networks.base import NetworkBase
from common.schema import Fraction


class HRNetOCRConfig(NetworkBase):
    """HRNet with object-contextual representations."""

    name: Literal["hrnet_ocr"] = "hrnet_ocr"
    width: PositiveInt = 48  # channels of the finest branch: 48, 32 or 18; each further branch doubles them
    modules: tuple[PositiveInt, PositiveInt, PositiveInt] = (1, 4, 3)  # exchange modules of stages 2 to 4
    head_channels: PositiveInt = 512  # channels of the feature
    key_channels: PositiveInt = 256  # of queries, keys and values
    dropout: Fraction = 0.05  # of the feature's channels
    reverse_channels: bool = False  # the network reverses its input's channels: DiGA feeds it BGR
    stride_in: Literal["conv2"] = "conv2"  # torchvision's bottleneck
    init: Literal["hrnet_ocr", "normal001", "kaiming", "torchvision"] = "hrnet_ocr"
    freeze_bn_affine: bool = False
    freeze_bn_stats: bool = False
    activation: Literal["relu", "softplus"] = "relu"  # softplus: smooth form for gradient tests

    @property
    def depth(self) -> int:
        """Depth whose bottlenecks stage 1 has."""
        return 50

    @property
    def branch_widths(self) -> tuple[int, ...]:
        """Channels of the four branches."""
        return tuple(self.width * 2**branch for branch in range(4))

    @property
    def draws(self) -> int:
        """Random numbers that one image takes in training: one a channel of the feature."""
        return self.head_channels
