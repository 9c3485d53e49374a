"""DeepLabV2 on EfficientNet-B0 to B7 (Tan and Le, ICML 2019), as IAST's official code offers its encoders by name."""

from typing import Literal

from pydantic import PositiveFloat

from common.networks.base import NetworkBase
from common.networks.mobile import path_rates
from common.networks.mobile_layers import DROP_PATH, EFFICIENT, Compound, MobileBlock, efficientnet
from common.schema import Fraction


class DeepLabV2EfficientNetConfig(NetworkBase):
    """All convolutions of the encoder, torchvision's names, and DeepLabV2's classifier behind the last of them.

    torchvision's file of weights fits as it is: ``may_miss: [layer6.]``, ``may_exceed: [classifier.]``. Where the
    strides become dilations is our choice: the official code names its encoders and has no setting that uses them.
    """

    name: Literal["deeplabv2_efficientnet"] = "deeplabv2_efficientnet"
    variant: Literal["b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7"] = "b0"
    output_stride: Literal[8, 16, 32] = 8  # of the logits; later strides become dilations
    width: PositiveFloat | None = None  # factor of all channels; None: the variant's
    depth: PositiveFloat | None = None  # factor of all blocks; None: the variant's
    drop_path: Fraction = DROP_PATH  # stochastic depth, where a method draws numbers for it: DiGA
    init: Literal["kaiming", "normal001"] = "kaiming"
    freeze_bn_affine: bool = False  # scales and shifts of BatchNorm are not trained
    freeze_bn_stats: bool = False  # running statistics are used and kept in training too

    @property
    def form(self) -> Compound:
        """Factors and constants of the variant, with those that are set otherwise."""
        own = {"width": self.width, "depth": self.depth}
        return EFFICIENT[self.variant]._replace(**{key: value for key, value in own.items() if value is not None})

    def layout(self) -> tuple[int, list[list[MobileBlock]], int]:
        """Return what ``common.networks.mobile_layers.efficientnet`` does of the encoder."""
        return efficientnet(self.form, self.output_stride)

    def path_rates(self) -> list[float]:
        """Return the chance of each block with a shortcut that its branch is dropped."""
        return path_rates(self.layout()[1], self.drop_path)

    @property
    def draws(self) -> int:
        """Random numbers that one image takes in training: one a block with a shortcut."""
        return len(self.path_rates()) if self.drop_path else 0
