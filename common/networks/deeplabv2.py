"""DeepLabV2 on a residual network (Chen et al., TPAMI 2018, arXiv 1606.00915)."""

from typing import Literal

from pydantic import PositiveInt, ValidationInfo, field_validator

from common.networks.base import NetworkBase


class DeepLabV2Config(NetworkBase):
    """Every option is one in which the published forms of the network differ."""

    name: Literal["deeplabv2"] = "deeplabv2"
    depth: Literal[18, 34, 50, 101, 152] = 101
    width: PositiveInt = 64  # channels of the first stage; thinner for toy runs
    stride_in: Literal["conv1", "conv2"] = "conv1"  # bottleneck: Caffe (conv1) or torchvision (conv2)
    maxpool: Literal["ceil", "same", "floor"] = "ceil"  # AdvEnt, DDM's MindSpore form, torchvision
    aux: bool = True  # auxiliary classifier on the third stage
    ibn: bool = False  # bottlenecks of the first three stages: instance norm for half of the first norm's channels
    context: Literal["none", "scse", "ppm"] = "none"  # before the main classifier: excitation, or pyramid pooling
    freeze_bn_affine: bool = True  # scales and shifts of BatchNorm are not trained
    freeze_bn_stats: bool = False  # running statistics are used and kept in training too
    activation: Literal["relu", "softplus"] = "relu"  # softplus and average: smooth form for gradient tests
    pool: Literal["max", "average"] = "max"

    @field_validator("ibn")
    @classmethod
    def _only_bottlenecks(cls, ibn: bool, info: ValidationInfo) -> bool:
        if ibn and info.data.get("depth", 101) < 50:
            raise ValueError("needs bottlenecks: depth 50, 101 or 152")
        return ibn
