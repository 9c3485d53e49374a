"""The discriminator of output-space adversarial training, as IAST's official code builds it (``Origin-Predictor``)."""

from mindspore import Tensor, nn

from common.networks.output_discriminator import OutputDiscriminatorConfig
from ms_impl.nets.blocks import SpectralNormConv
from ms_impl.nets.layers import conv, softplus

_SLOPE = 0.2


class OutputDiscriminator(nn.Cell):
    """Five convolutions with stride 2 over class probabilities; raw scores, low for source, high for target."""

    HEADS = ()

    def __init__(self, config: OutputDiscriminatorConfig, classes: int) -> None:
        super().__init__()
        widths = [config.width * 2**step for step in range(4)]
        make = SpectralNormConv if config.spectral_norm else conv
        self.conv1 = make(classes, widths[0], 3, 2, 1)
        self.conv2 = make(widths[0], widths[1], 4, 2, 1)
        self.conv3 = make(widths[1], widths[2], 4, 2, 1)
        self.conv4 = make(widths[2], widths[3], 4, 2, 1)
        self.classifier = conv(widths[3], 1, 4, 2, 1)
        self.activation = nn.LeakyReLU(_SLOPE) if config.activation == "leaky_relu" else softplus()

    def construct(self, probabilities: Tensor) -> Tensor:
        """Map (N, classes, H, W) to (N, 1, h, w) with about a 32nd of each side; sides of at least 24 pixels.

        Args:
            probabilities: Softmax of logits at full resolution.
        """
        x = self.activation(self.conv1(probabilities))
        x = self.activation(self.conv2(x))
        x = self.activation(self.conv3(x))
        x = self.activation(self.conv4(x))
        return self.classifier(x)
