"""Rungs P1 and P2b for the blocks beside DeepLabV2, IBN and the output discriminator."""

import numpy as np
import pytest

from common.draws import generator
from common.networks.deeplabv2 import DeepLabV2Config
from common.networks.output_discriminator import OutputDiscriminatorConfig
from tests.compare import assert_close
from tests.tolerances import GRADIENT, LOGITS
from tests.twins import Twin, need_both, twin

need_both()

BLOCKS = {  # name -> (builder, shape of the input, further arguments)
    "ibn": (lambda side: side.module("nets.norms").IBN(6), (2, 6, 7, 5), ()),
    "scse": (lambda side: side.module("nets.blocks").SpatialChannelExcitation(8, 2), (2, 8, 5, 6), ()),
    "ppm": (lambda side: side.module("nets.blocks").PyramidPooling(4, 2), (2, 4, 9, 11), ()),
    "base_predictor": (lambda side: side.module("nets.blocks").BasePredictor(8, 3), (2, 8, 4, 5), ((9, 11),)),
    "spectral_norm": (lambda side: side.module("nets.blocks").SpectralNormConv(3, 4, 3, 2, 1), (2, 3, 8, 6), ()),
    "discriminator": (lambda side: discriminator(side, False), (2, 5, 48, 64), ()),
    "discriminator-sn": (lambda side: discriminator(side, True), (2, 5, 48, 64), ()),
}
CONTEXTS = {
    "scse": {"width": 16},
    "ppm": {"width": 8},
    "ibn": {"depth": 50, "width": 8, "ibn": True, "context": "none"},
    "resnext": {"depth": 50, "width": 16, "groups": 4, "group_width": 8, "context": "none"},
}


def discriminator(side: Twin, spectral_norm: bool):
    """Return a thin smooth discriminator of five classes."""
    config = OutputDiscriminatorConfig(width=4, spectral_norm=spectral_norm, activation="softplus")
    return side.nets.build_network(config, 5)


def passes(side: Twin, name: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return output and gradients of a weighted sum of it in training mode, and all weights after the pass."""
    build, shape, further = BLOCKS[name]
    network = build(side)
    network.HEADS = ()
    side.fill(network, "torch")
    side.training.set_mode(network, True)
    x = generator(0, "blocks", name).standard_normal(shape, np.float32)
    found = {"output": side.numpy(network(side.tensor(x), *further))}
    weight = side.tensor(generator(1, "blocks", name).standard_normal(found["output"].shape, np.float32))
    gradients = side.parameter_gradients(network, lambda net, one: (net(one, *further) * weight).sum(), x)
    found |= side.canonical(gradients, network)
    _, (found["input"],) = side.gradients(lambda one: ((network(one, *further) * weight).sum(),), x)
    return found, side.canonical(side.weights.get_weights(network), network)


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_agree(name: str) -> None:
    """Outputs, gradients in inputs and parameters, and the buffers that training moves."""
    (want, after), (got, moved) = (passes(twin(one), name) for one in ("torch", "mindspore"))
    assert got.keys() == want.keys()
    for key, value in want.items():
        assert_close(f"{name} {key}", got[key], value, LOGITS if key == "output" else GRADIENT)
    for key, value in after.items():
        assert_close(f"{name} {key}", moved[key], value, GRADIENT)


@pytest.mark.parametrize("name", CONTEXTS)
def test_networks_with_options_agree(name: str) -> None:
    """DeepLabV2 with a context block, with IBN or on ResNeXt: logits in evaluation mode; the block takes part."""
    options = {"depth": 18, "context": name, "aux": False, **CONTEXTS[name]}
    images = generator(0, "options").standard_normal((1, 3, 40, 56), np.float32)
    found = []
    for one in ("torch", "mindspore"):
        side = twin(one)
        network = side.nets.build_network(DeepLabV2Config(**options), 5)
        side.fill(network, "torch")
        found.append(side.numpy(network(side.tensor(images))[-1]))
    assert_close(name, found[1], found[0], LOGITS)


def test_ibn_and_groups_need_bottlenecks() -> None:
    """Basic blocks have no place for it, nor for groups."""
    for option in ({"ibn": True}, {"groups": 32}):
        with pytest.raises(ValueError, match="needs bottlenecks"):
            DeepLabV2Config(depth=18, **option)
