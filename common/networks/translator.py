"""Descriptions of DiGA's image translator (Shen et al., CVPR 2023) and of its discriminators."""

from typing import Literal

from pydantic import PositiveInt

from common.networks.base import NetworkBase

SIDE_STEP = 4  # the decoders give back an image's size only where it divides the sides
TRANSLATED_SIDE = 8  # smallest: convolutions mirror the border of a map a quarter as large
JUDGED_SIDE = 64  # smallest: the coarsest discriminator halves the image six times


class TranslatorConfig(NetworkBase):
    """Encoders and decoders of both directions."""

    name: Literal["translator"] = "translator"
    width: PositiveInt = 64  # channels at full size
    init: Literal["pytorch"] = "pytorch"


class CriticsConfig(NetworkBase):
    """The discriminators of both directions."""

    name: Literal["critics"] = "critics"
    width: PositiveInt = 64  # channels of the first convolution
    init: Literal["pytorch"] = "pytorch"


class Vgg19Config(NetworkBase):
    """VGG-19 up to relu5_1, the features of the perceptual loss."""

    name: Literal["vgg19_features"] = "vgg19_features"
    init: Literal["kaiming"] = "kaiming"
