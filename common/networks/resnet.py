"""Description of residual networks for classification (He et al., CVPR 2016)."""

from typing import Literal

from pydantic import PositiveInt, ValidationInfo, field_validator

from common.networks.classifier import ClassifierBase
from common.networks.residual_layers import expansion


class ResNetConfig(ClassifierBase):
    """ResNet with torchvision's names. MME, APE and S3D pool otherwise: ``maxpool: unpadded``, ``average: fixed7``."""

    name: Literal["resnet"] = "resnet"
    depth: Literal[10, 18, 34, 50, 101, 152] = 34
    width: PositiveInt = 64  # channels of the first stage; thinner for small images
    groups: PositiveInt = 1  # ResNeXt: parts of a bottleneck's 3x3 convolution, 32 in the published ones ...
    group_width: PositiveInt = 64  # ... with 4 (depth 50) or 8 (101) channels each; Wide ResNet: one part of 128
    stem: Literal["imagenet", "small"] = "imagenet"  # small: 3x3, stride 1, no pooling, for images of about 32 pixels
    stride_in: Literal["conv1", "conv2"] = "conv2"  # bottleneck: Caffe (conv1) or torchvision (conv2)
    maxpool: Literal["floor", "ceil", "same", "unpadded"] = "floor"  # torchvision; unpadded: MME, APE and S3D
    average: Literal["global", "fixed7"] = "global"  # fixed7: windows of 7x7; equal for images of 224 pixels
    imagenet_fc: bool = False  # keep ImageNet's unused ``fc``, as official S3D checkpoints do; it never trains
    freeze_bn_affine: bool = False  # scales and shifts of BatchNorm are not trained
    freeze_bn_stats: bool = False  # running statistics are used and kept in training too
    activation: Literal["relu", "softplus"] = "relu"  # softplus and average: smooth form for gradient tests
    pool: Literal["max", "average"] = "max"

    @field_validator("groups", "group_width")
    @classmethod
    def _only_bottlenecks(cls, asked: int, info: ValidationInfo) -> int:
        if asked != cls.model_fields[info.field_name].default and info.data.get("depth", 34) < 50:
            raise ValueError("needs bottlenecks: depth 50, 101 or 152")
        if info.field_name == "group_width" and asked * info.data.get("width", 64) < 64:
            raise ValueError("leaves no channel inside: width times group_width must be 64 at least")
        return asked

    def any_size(self) -> bool:
        """Return whether the last map is averaged whatever its size."""
        return self.average == "global"

    def features(self) -> int:
        """Return the channels of the last stage."""
        return 8 * self.width * expansion(self.depth)
