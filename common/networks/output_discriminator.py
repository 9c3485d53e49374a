"""Description of the discriminator of output-space adversarial training (IAST; Tsai et al., CVPR 2018)."""

from typing import Literal

from pydantic import PositiveInt

from common.networks.base import NetworkBase


class OutputDiscriminatorConfig(NetworkBase):
    """Five strided convolutions over maps of class probabilities."""

    name: Literal["output_discriminator"] = "output_discriminator"
    width: PositiveInt = 64  # channels of the first convolution; each further one doubles them
    spectral_norm: bool = False  # of every convolution but the last
    init: Literal["pytorch"] = "pytorch"
    activation: Literal["leaky_relu", "softplus"] = "leaky_relu"  # softplus: smooth form for gradient tests
