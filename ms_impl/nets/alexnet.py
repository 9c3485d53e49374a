"""AlexNet (Krizhevsky, 2014) as backbone and classifier, with the names of SSDA_MME."""

from collections import OrderedDict

from mindspore import Tensor, nn

from common.networks.plain import AlexNetConfig
from ms_impl.nets.classifier import drop
from ms_impl.nets.layers import conv, linear
from ms_impl.nets.plain import PlainClassifier
from ms_impl.nets.resnet import ACTIVATIONS


class AlexNet(PlainClassifier):
    """Five convolutions and two hidden layers; the features are the second one's."""

    ENDS = (3, 6, 8, 10)

    def __init__(self, config: AlexNetConfig, classes: int) -> None:
        super().__init__()
        width, hidden, activation = config.width, config.hidden, ACTIVATIONS[config.activation]
        pool = nn.MaxPool2d if config.pool == "max" else nn.AvgPool2d
        self.rate, self.flat = config.dropout, 4 * width * config.grid**2
        self.features = nn.SequentialCell(
            *(conv(3, width, 11, 4, 2), activation(), pool(3, 2, "valid")),
            *(conv(width, 3 * width, 5, 1, 2), activation(), pool(3, 2, "valid")),
            *(conv(3 * width, 6 * width, 3, 1, 1), activation()),
            *(conv(6 * width, 4 * width, 3, 1, 1), activation()),
            *(conv(4 * width, 4 * width, 3, 1, 1), activation(), pool(3, 2, "valid")),
        )
        layers = {"classifier1": linear(self.flat, hidden), "classifier4": linear(hidden, hidden)}
        self.classifier, self.activation = nn.SequentialCell(OrderedDict(layers)), activation()
        self.add_head(config, hidden, classes)

    def tail(self, x: Tensor, dropout: Tensor | None = None) -> Tensor:
        """Return features (N, hidden); ``dropout`` (N, flattened map + hidden) belongs to the inputs of both layers."""
        x = self.rest(x)
        first, second = (None, None) if dropout is None else (dropout[:, : self.flat], dropout[:, self.flat :])
        x = self.activation(self.classifier[0](drop(x.reshape(x.shape[0], -1), first, self.rate)))
        return self.activation(self.classifier[1](drop(x, second, self.rate)))
