"""ResNet for classification (He et al., CVPR 2016), in torchvision's form and in that of MME, APE and S3D."""

from mindspore import Tensor, nn

from common.networks.residual_layers import expansion
from common.networks.resnet import ResNetConfig
from ms_impl.nets.classifier import Classifier
from ms_impl.nets.layers import linear
from ms_impl.nets.recompute import run_block
from ms_impl.nets.resnet import ResNet, convolution
from ms_impl.nets.training import freeze_affine

_IMAGENET_CLASSES, _WINDOW = 1000, 7


class ResNetClassifier(ResNet, Classifier):
    """Residual backbone with output stride 32 and a classifier upon the mean of its last maps.

    Names are torchvision's; a linear classifier is ``fc``, as there, a predictor ``head.*``.
    """

    HEADS = ("head.", "fc.")

    def __init__(self, config: ResNetConfig, classes: int) -> None:
        super().__init__(config, output_stride=32)
        self.stem, self.average = config.stem, config.average
        self.windows = nn.AvgPool2d(_WINDOW, _WINDOW, "valid")
        if config.stem == "small":
            self.conv1 = convolution(3, config.width, 3)
        width = 8 * config.width * expansion(config.depth)
        if config.imagenet_fc and config.head != "linear":
            self.fc = linear(width, _IMAGENET_CLASSES)
            self.fc.weight.requires_grad = self.fc.bias.requires_grad = False
        self.add_head(config, width, classes)
        self.freeze_bn_stats = config.freeze_bn_stats
        if config.freeze_bn_affine:
            freeze_affine(self)

    def stage(self, x: Tensor, number: int) -> Tensor:
        """Map images (N, 3, H, W), or maps, to the maps of a point; strides 4, 8, 16, 32, with a small stem 1 to 8."""
        if number == 1:
            x = self.activation(self.bn1(self.conv1(x)))
            x = x if self.stem == "small" else self.pool(x)
        for block in (self.layer1, self.layer2, self.layer3, self.layer4)[number - 1]:
            x = run_block(block, x)
        return x

    def tail(self, x: Tensor, dropout: Tensor | None = None) -> Tensor:
        """Return the mean of each map, (N, D); with ``fixed7`` that of the whole windows of 7x7, flattened."""
        if self.average == "fixed7":
            return self.windows(x).reshape(x.shape[0], -1)
        return x.mean(axis=(2, 3))
