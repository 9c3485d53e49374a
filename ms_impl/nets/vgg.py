"""VGG-16 (Simonyan & Zisserman, ICLR 2015) as backbone and classifier, with the names of SSDA_MME."""

from mindspore import Parameter, Tensor, nn, ops

from common.networks.plain import VGG16Config
from ms_impl.nets.classifier import drop
from ms_impl.nets.layers import conv, linear
from ms_impl.nets.plain import PlainClassifier
from ms_impl.nets.resnet import ACTIVATIONS

_BLOCKS = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))  # width, convolutions


class VGG16(PlainClassifier):
    """Thirteen convolutions and two hidden layers; the features are the second one's, behind a dropout."""

    ENDS = (5, 10, 17, 24)  # the first four poolings, by analogy with AlexNet

    def __init__(self, config: VGG16Config, classes: int) -> None:
        super().__init__()
        hidden, activation = config.hidden, ACTIVATIONS[config.activation]
        self.rate, self.hidden = config.dropout, hidden
        self.s = Parameter(ops.zeros(1), name="s", requires_grad=False)  # the official file has it and never uses it
        flat = 8 * config.width * config.grid**2
        places = (linear(flat, hidden), activation(), nn.Identity(), linear(hidden, hidden), activation())
        self.classifier = nn.SequentialCell(*places)
        pool = nn.MaxPool2d if config.pool == "max" else nn.AvgPool2d
        layers, inputs = [], 3
        for width, count in _BLOCKS:
            for _ in range(count):
                layers += [conv(inputs, width * config.width, 3, 1, 1), activation()]
                inputs = width * config.width
            layers.append(pool(2, 2, "valid"))
        self.features = nn.SequentialCell(*layers)
        self.add_head(config, hidden, classes)

    def tail(self, x: Tensor, dropout: Tensor | None = None) -> Tensor:
        """Return features (N, hidden); ``dropout`` (N, 2 * hidden) belongs to the outputs of both layers."""
        x = self.rest(x)
        first, second = (None, None) if dropout is None else (dropout[:, : self.hidden], dropout[:, self.hidden :])
        x = drop(self.classifier[1](self.classifier[0](x.reshape(x.shape[0], -1))), first, self.rate)
        return drop(self.classifier[4](self.classifier[3](x)), second, self.rate)
