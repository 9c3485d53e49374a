"""Descriptions of AlexNet and VGG-16: plain stacks of convolutions with fully connected layers behind them."""

from typing import Literal

from pydantic import PositiveInt

from common.networks.classifier import ClassifierBase, Head
from common.schema import Fraction


class PlainBase(ClassifierBase):
    """What AlexNet and VGG-16 share."""

    head: Head = "predictor"
    width: PositiveInt = 64  # channels of the first convolution; the others grow with it
    hidden: PositiveInt = 4096  # features, and units of the layer before them
    grid: PositiveInt  # cells a side of the last map
    dropout: Fraction = 0.5
    activation: Literal["relu", "softplus"] = "relu"  # softplus and average: smooth form for gradient tests
    pool: Literal["max", "average"] = "max"

    def any_size(self) -> bool:
        """Return that images of one size alone end in a map of ``grid`` cells a side."""
        return False

    def features(self) -> int:
        """Return the units of the second hidden layer."""
        return self.hidden

    def dropout_rate(self) -> float:
        """Return the probability with which a unit is set to zero."""
        return self.dropout


class AlexNetConfig(PlainBase):
    """AlexNet (Krizhevsky, 2014) with the names of SSDA_MME: torchvision's without its last layer."""

    name: Literal["alexnet"] = "alexnet"
    grid: PositiveInt = 6  # images of 224 and 227 pixels

    def dropout_units(self) -> int:
        """Return the length of the flattened map and of the hidden layer together."""
        return 4 * self.width * self.grid**2 + self.hidden if self.dropout else 0


class VGG16Config(PlainBase):
    """VGG-16 (Simonyan & Zisserman, ICLR 2015) with the names of SSDA_MME: torchvision's without its last layer."""

    name: Literal["vgg16"] = "vgg16"
    grid: PositiveInt = 7  # images of 224 pixels

    def dropout_units(self) -> int:
        """Return the length of both hidden layers; the features themselves pass a dropout."""
        return 2 * self.hidden if self.dropout else 0
