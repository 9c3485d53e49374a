"""DeepLabV2 with two classifiers (Chen et al., TPAMI 2018; multi-level form of AdaptSegNet, AdvEnt and DDM)."""

from torch import Tensor, nn

from common.networks.deeplabv2 import DeepLabV2Config
from common.networks.residual_layers import expansion
from torch_impl.nets.blocks import PyramidPooling, SpatialChannelExcitation
from torch_impl.nets.layers import conv
from torch_impl.nets.resnet import ResNet
from torch_impl.nets.training import freeze_affine

_DILATIONS = (6, 12, 18, 24)
CONTEXTS = {  # option -> (module on that many channels, channels that leave it)
    "none": lambda channels: (None, channels),
    "scse": lambda channels: (SpatialChannelExcitation(channels), channels),
    "ppm": lambda channels: (PyramidPooling(channels, channels // 4), 2 * channels),
}


class Classifier(nn.Module):
    """Sum of four 3x3 convolutions with bias and dilations 6, 12, 18, 24 (ASPP without image pooling)."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.conv2d_list = nn.ModuleList([conv(inputs, classes, 3, 1, rate, rate) for rate in _DILATIONS])

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, inputs, h, w) to raw logits (N, classes, h, w)."""
        logits = self.conv2d_list[0](x)
        for index in range(1, len(self.conv2d_list)):
            logits = logits + self.conv2d_list[index](x)
        return logits


class DeepLabV2(ResNet):
    """Residual backbone with the main classifier ``layer6`` and, by option, the auxiliary ``layer5`` on stage 3."""

    HEADS = ("layer5.", "layer6.", "context.")
    AUXILIARY = 0  # places in the output of the auxiliary logits and of the feature before the classifier
    FEATURE = 1

    def __init__(self, config: DeepLabV2Config, classes: int) -> None:
        super().__init__(config)
        width = config.width * expansion(config.depth)
        self.layer5 = Classifier(4 * width, classes) if config.aux else None
        self.context, wide = CONTEXTS[config.context](8 * width)
        self.layer6 = Classifier(wide, classes)
        self.feature_channels = wide
        self.freeze_bn_stats = config.freeze_bn_stats
        if config.freeze_bn_affine:
            freeze_affine(self)

    def forward(self, images: Tensor, noise: Tensor | None = None) -> tuple[Tensor | None, Tensor, Tensor]:
        """Return (auxiliary logits, fourth stage, main logits) at stride 8, neither upsampled nor normalised.

        Args:
            images: (N, 3, H, W) float32, normalised.
            noise: Counts for nothing: there is no dropout.
        Returns:
            Three (N, channels, h, w) with h = H / 8 + 1 for multiples of 8 and ceil pooling; the auxiliary is None
            when the network has no such classifier.
        """
        _, _, _, third, fourth = self.features(images)
        if self.context is not None:
            fourth = self.context(fourth)
        return None if self.layer5 is None else self.layer5(third), fourth, self.layer6(fourth)
