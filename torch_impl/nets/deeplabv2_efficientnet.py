"""DeepLabV2 on EfficientNet (Tan and Le, ICML 2019), the encoders that IAST's official code has beside its ResNets."""

from torch import Tensor, nn

from common.networks.deeplabv2_efficientnet import DeepLabV2EfficientNetConfig
from torch_impl.nets.deeplabv2 import Classifier
from torch_impl.nets.efficientnet import encoder
from torch_impl.nets.recompute import run_block
from torch_impl.nets.training import freeze_affine


class DeepLabV2EfficientNet(nn.Module):
    """Encoder ``features``, named as torchvision's, and DeepLabV2's main classifier ``layer6``."""

    HEADS = ("layer6.",)
    AUXILIARY = None  # no auxiliary logits in the output
    FEATURE = -2  # place in the output of the feature before the classifier

    def __init__(self, config: DeepLabV2EfficientNetConfig, classes: int) -> None:
        super().__init__()
        self.path_rates = config.path_rates()
        self.features, self.feature_channels = encoder(config.form, output_stride=config.output_stride)
        self.layer6 = Classifier(self.feature_channels, classes)
        self.freeze_bn_stats = config.freeze_bn_stats
        if config.freeze_bn_affine:
            freeze_affine(self)

    def blocks(self) -> list[nn.Module]:
        """Return the inverted residual blocks in order."""
        return [block for stage in range(1, len(self.features) - 1) for block in self.features[stage]]

    def forward(self, images: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return (last convolution, logits) at the output stride, neither upsampled nor normalised.

        Args:
            images: (N, 3, H, W) float32, normalised.
            noise: (N, ``config.draws``) float32 in [0, 1) for stochastic depth; None drops nothing.
        Returns:
            Two (N, channels, h, w) with h = ceil(H / stride).
        """
        x, column = self.features[0](images), 0
        for block in self.blocks():
            if block.residual and noise is not None and noise.shape[1]:
                rate = self.path_rates[column]
                x = run_block(block, x, noise[:, column : column + 1] >= rate, rate)
                column += 1
            else:
                x = run_block(block, x)
        feature = self.features[len(self.features) - 1](x)
        return feature, self.layer6(feature)
