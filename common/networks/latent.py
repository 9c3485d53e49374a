"""Descriptions of AuG-KD's networks around a latent space; they are parts of its stages, not networks of a task."""

from typing import Literal

from pydantic import PositiveInt, field_validator

from common.networks.base import NetworkBase


class LatentBase(NetworkBase):
    """What generator, encoder and anchor network share."""

    TASK = "classification"

    latent: PositiveInt = 100  # numbers of a latent vector


class ImageLatentBase(LatentBase):
    """What generator and encoder share."""

    size: PositiveInt = 32  # height and width of the image, pixels
    width: PositiveInt = 64  # channels beside the image; further inwards there are two and four times as many

    @field_validator("size")
    @classmethod
    def _in_quarters(cls, size: int) -> int:
        if size % 4:
            raise ValueError(f"the size must be a multiple of 4, not {size}")
        return size


class GeneratorConfig(ImageLatentBase):
    """Latent vector to image."""

    name: Literal["generator"] = "generator"
    conditional: bool = False  # the label enters beside the latent vector
    init: Literal["pytorch"] = "pytorch"


class EncoderConfig(ImageLatentBase):
    """Image and label to latent vector."""

    name: Literal["encoder"] = "encoder"
    init: Literal["latent"] = "latent"


class AnchorConfig(LatentBase):
    """Latent vector and label to the latent vector of an anchor."""

    name: Literal["anchor"] = "anchor"
    init: Literal["latent"] = "latent"
