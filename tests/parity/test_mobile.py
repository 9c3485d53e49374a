"""Rungs P1 and P2b for the mobile networks and those around a latent space: outputs, statistics, gradients.

A network is one line in ``NETWORKS``: its description, and the arrays that it takes.
"""

import numpy as np
import pytest

from common.draws import generator
from common.methods.class_samples import dropout
from common.methods.samples import Draws
from common.networks.latent import AnchorConfig, EncoderConfig, GeneratorConfig
from common.networks.mobile import EfficientNetConfig, MobileNetV2Config, MobileNetV3Config, ShuffleNetV2Config
from tests.compare import assert_beside_noise, assert_close, assert_within_floor
from tests.tolerances import FLOOR_FACTOR, GRADIENT, LOGITS
from tests.twins import need_both, twin

need_both()

CLASSES, IMAGES = 5, 6
MOBILE = {
    "v3-small": MobileNetV3Config(width=0.5),
    "v3-large": MobileNetV3Config(size="large", width=0.25),
    "v2": MobileNetV2Config(width=0.25),
    "efficientnet": EfficientNetConfig(),
    "shufflenet": ShuffleNetV2Config(width="x0_5"),
}
LATENT = {
    "generator": GeneratorConfig(latent=12, size=8),
    "generator-conditional": GeneratorConfig(latent=12, size=8, conditional=True),
    "encoder": EncoderConfig(latent=12, size=8),
    "anchor": AnchorConfig(latent=12),
}


SLOW = [pytest.param(name, marks=[pytest.mark.slow] * (name != "v3-small")) for name in MOBILE]


def inputs(name: str) -> tuple[np.ndarray, ...]:
    """Return what a network takes: images and what dropout keeps, or images, labels, noise, latent vectors."""
    draw = generator(0, "mobile", name)
    labels = draw.integers(0, CLASSES, IMAGES).astype(np.int32)
    if name in MOBILE:
        kept = dropout(MOBILE[name], Draws(0, name), "mobile", range(IMAGES))
        return (draw.standard_normal((IMAGES, 3, 64, 48), np.float32), *([] if kept is None else [kept]))
    noise = draw.standard_normal((IMAGES, 12), np.float32)
    if name == "encoder":
        return draw.random((IMAGES, 3, 8, 8), np.float32), labels, noise
    return noise, labels


def pair(name: str, smooth: bool = False) -> tuple[list, list]:
    """Return both twins and their networks, filled with the same reference weights."""
    config = {**MOBILE, **LATENT}[name]
    config = config.model_copy(update={"activation": "softplus"}) if smooth else config
    sides = [twin(one) for one in ("torch", "mindspore")]
    networks = [side.nets.build_network(config, CLASSES) for side in sides]
    for side, network in zip(sides, networks):
        side.fill(network, "torch")
    return sides, networks


def outputs(side, network, arrays) -> list[np.ndarray]:
    """Return all outputs of a network."""
    found = network(*map(side.tensor, arrays))
    return [side.numpy(one) for one in (found if isinstance(found, tuple) else (found,))]


@pytest.mark.parametrize("name", [*MOBILE, *LATENT])
def test_outputs_and_running_statistics_agree(name):
    sides, networks = pair(name)
    arrays = inputs(name)
    for side, network in zip(sides, networks):
        side.training.set_mode(network, True)
    for want, got in zip(*(outputs(*one, arrays) for one in zip(sides, networks))):
        assert_close(f"{name}, training", got, want, GRADIENT)
    want, got = (side.canonical(side.weights.get_weights(n), n) for side, n in zip(sides, networks))
    for key, value in want.items():
        assert_close(f"{name} {key}", got[key], value, GRADIENT if "running_" in key else 0.0)
    for side, network in zip(sides, networks):
        side.training.set_mode(network, False)
    for want, got in zip(*(outputs(*one, arrays) for one in zip(sides, networks))):
        assert_close(f"{name}, evaluation", got, want, LOGITS)


@pytest.mark.parametrize("name", SLOW)
def test_parameter_gradients_of_the_smooth_network_agree(name):
    """In training mode. A bias before a BatchNorm has no gradient but noise, as large as PyTorch's own."""
    for key, (want, got, torch32) in compared(name, training=True, smooth=True).items():
        assert_beside_noise(key, got, want, torch32, GRADIENT, FLOOR_FACTOR)


@pytest.mark.parametrize("name", ["v3-small", *LATENT])
def test_parameter_gradients_of_the_real_network_agree_to_the_noise_of_float32(name):
    """In evaluation mode, against PyTorch in float64: batch statistics would multiply what a flipped kink does."""
    for key, (want, got, torch32) in compared(name, training=False).items():
        assert_within_floor(key, got, want, float(np.linalg.norm(torch32 - want)))


def compared(name: str, training: bool, smooth: bool = False) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return the gradients of every parameter: PyTorch's in float64, MindSpore's, PyTorch's in float32."""
    sides, networks = pair(name, smooth)
    arrays, exact = inputs(name), pair(name, smooth)[1][0].double()
    wide = tuple(one.astype(np.float64) if one.dtype == np.float32 else one for one in arrays)
    torch32, got = (gradients(side, network, arrays, training) for side, network in zip(sides, networks))
    want = gradients(sides[0], exact, wide, training)
    assert got.keys() == want.keys()
    return {key: (value, got[key], torch32[key]) for key, value in want.items()}


def gradients(side, network, arrays, training: bool) -> dict[str, np.ndarray]:
    """Return the gradients of a weighted sum of the last output, or of all for the latent networks."""

    def loss(network, *given):
        found = network(*given)
        found = found if isinstance(found, tuple) else (found,)
        total = 0.0
        for output in found:
            weight = generator(1, "weights", *output.shape).standard_normal(tuple(output.shape)).astype(arrays[0].dtype)
            total = total + (output * side.tensor(weight)).sum()
        return total

    side.training.set_mode(network, training)
    return side.canonical(side.parameter_gradients(network, loss, *arrays), network)
