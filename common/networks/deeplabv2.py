"""DeepLabV2 on a residual network (Chen et al., TPAMI 2018, arXiv 1606.00915)."""

from typing import Literal

from pydantic import PositiveInt, ValidationInfo, field_validator

from common.networks.base import NetworkBase


class DeepLabV2Config(NetworkBase):
    """Every option is one in which the published forms of the network differ."""

    name: Literal["deeplabv2"] = "deeplabv2"
    depth: Literal[18, 34, 50, 101, 152] = 101
    width: PositiveInt = 64  # channels of the first stage; thinner for toy runs
    groups: PositiveInt = 1  # ResNeXt: parts of a bottleneck's 3x3 convolution; 32 in the published ones ...
    group_width: PositiveInt = 64  # ... with 4 (depth 50) or 8 (101) channels each where the stage has 64
    stride_in: Literal["conv1", "conv2"] = "conv1"  # bottleneck: Caffe (conv1) or torchvision (conv2)
    maxpool: Literal["ceil", "same", "floor"] = "ceil"  # AdvEnt, DDM's MindSpore form, torchvision
    aux: bool = True  # auxiliary classifier on the third stage
    ibn: bool = False  # bottlenecks of the first three stages: instance norm for half of the first norm's channels
    context: Literal["none", "scse", "ppm"] = "none"  # before the main classifier: excitation, or pyramid pooling
    freeze_bn_affine: bool = True  # scales and shifts of BatchNorm are not trained
    freeze_bn_stats: bool = False  # running statistics are used and kept in training too
    activation: Literal["relu", "softplus"] = "relu"  # softplus and average: smooth form for gradient tests
    pool: Literal["max", "average"] = "max"

    @field_validator("ibn", "groups")
    @classmethod
    def _only_bottlenecks(cls, asked: int, info: ValidationInfo) -> int:
        wanted = asked if isinstance(asked, bool) else asked > 1
        if wanted and info.data.get("depth", 101) < 50:
            raise ValueError("needs bottlenecks: depth 50, 101 or 152")
        return asked
