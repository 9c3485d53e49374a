"""AlexNet (Krizhevsky, 2014) as backbone and classifier, with the names of SSDA_MME."""

from collections import OrderedDict

from mindspore import Tensor, nn

from common.networks.plain import AlexNetConfig
from ms_impl.nets.classifier import Classifier, drop
from ms_impl.nets.predictors import linear
from ms_impl.nets.resnet import ACTIVATIONS

_ENDS = (3, 6, 8, 10)  # of the layers before each style point


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 1) -> nn.Conv2d:
    """Return a convolution with bias."""
    return nn.Conv2d(
        inputs, outputs, kernel, stride, "pad", padding, has_bias=True, weight_init="zeros", bias_init="zeros"
    )


class AlexNet(Classifier):
    """Five convolutions and two hidden layers; the features are the second one's."""

    HEADS = ("head.", "fc.", "classifier.")
    OWN_STATISTICS = "ordinary"

    def __init__(self, config: AlexNetConfig, classes: int) -> None:
        super().__init__()
        width, hidden, activation = config.width, config.hidden, ACTIVATIONS[config.activation]
        pool = nn.MaxPool2d if config.pool == "max" else nn.AvgPool2d
        self.rate, self.flat = config.dropout, 4 * width * config.grid**2
        self.features = nn.SequentialCell(
            *(convolution(3, width, 11, 4, 2), activation(), pool(3, 2, "valid")),
            *(convolution(width, 3 * width, 5, 1, 2), activation(), pool(3, 2, "valid")),
            *(convolution(3 * width, 6 * width, 3), activation()),
            *(convolution(6 * width, 4 * width, 3), activation()),
            *(convolution(4 * width, 4 * width, 3), activation(), pool(3, 2, "valid")),
        )
        layers = {"classifier1": linear(self.flat, hidden), "classifier4": linear(hidden, hidden)}
        self.classifier, self.activation = nn.SequentialCell(OrderedDict(layers)), activation()
        self.add_head(config, hidden, classes)

    def stage(self, x: Tensor, number: int) -> Tensor:
        """Map images (N, 3, H, W), or maps, to the maps of a point: both first poolings, two further activations."""
        for index in range(0 if number == 1 else _ENDS[number - 2], _ENDS[number - 1]):
            x = self.features[index](x)
        return x

    def tail(self, x: Tensor, dropout: Tensor | None = None) -> Tensor:
        """Return features (N, hidden); ``dropout`` (N, flattened map + hidden) belongs to the inputs of both layers."""
        for index in range(_ENDS[-1], len(self.features)):
            x = self.features[index](x)
        first, second = (None, None) if dropout is None else (dropout[:, : self.flat], dropout[:, self.flat :])
        x = self.activation(self.classifier[0](drop(x.reshape(x.shape[0], -1), first, self.rate)))
        return self.activation(self.classifier[1](drop(x, second, self.rate)))
