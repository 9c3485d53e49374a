"""Rungs P1 and P2b: logits and parameter gradients of every network, both twins with the same weights.

A new network, or a variation of one, is one line in ``NETWORKS``.
"""

import numpy as np
import pytest

from common.draws import generator
from common.networks.deeplabv2 import DeepLabV2Config
from tests.compare import assert_close, assert_within_floor
from tests.parity.kinks import CLEAR, clearance
from tests.tolerances import GRADIENT, LOGITS
from tests.twins import need_both, twin

need_both()

CLASSES = 5
ODD, EVEN = (57, 90), (48, 64)  # the stem's output has odd and even axes
NETWORKS = {
    "r18": ({"depth": 18, "width": 8}, EVEN),
    "r34-floor": ({"depth": 34, "width": 8, "maxpool": "floor"}, ODD),
    "r50": ({"depth": 50, "width": 8, "maxpool": "ceil"}, ODD),
    "r50-same": ({"depth": 50, "width": 8, "maxpool": "same"}, ODD),
    "r50-torchvision": ({"depth": 50, "width": 8, "maxpool": "floor", "stride_in": "conv2", "aux": False}, EVEN),
    "r50-frozen": ({"depth": 50, "width": 8, "freeze_bn_stats": True}, EVEN),
    "r101": ({"depth": 101, "width": 8}, EVEN),
}
SMOOTH = {"activation": "softplus", "pool": "average"}


def pair(options: dict):
    """Return both twins and their networks, filled with the same reference weights."""
    sides = [twin(name) for name in ("torch", "mindspore")]
    networks = [side.nets.build_network(DeepLabV2Config(**options), CLASSES) for side in sides]
    for side, network in zip(sides, networks):
        side.fill(network, "torch")
    return sides, networks


def inputs(size: tuple[int, int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return two images and labels with ignored pixels."""
    draw = generator(seed, "parity", *size)
    images = draw.standard_normal((2, 3, *size), np.float32)
    label = draw.integers(0, CLASSES, (2, *size)).astype(np.int32)
    label[:, :9] = 255
    return images, label


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_agree_in_evaluation_mode(name):
    options, size = NETWORKS[name]
    sides, networks = pair(options)
    images, _ = inputs(size)
    outputs = [network(side.tensor(images)) for side, network in zip(sides, networks)]
    for head, want, got in zip(("aux", "main"), *outputs):
        assert (want is None) == (got is None)
        if want is not None:
            assert_close(f"{name} {head}", sides[1].numpy(got), sides[0].numpy(want), LOGITS)


@pytest.mark.parametrize("name", NETWORKS)
def test_running_statistics_agree_after_a_step_in_training_mode(name):
    options, size = NETWORKS[name]
    sides, networks = pair({**options, **SMOOTH})
    images, _ = inputs(size)
    changes = []
    for side, network in zip(sides, networks):
        before = side.canonical(side.weights.get_weights(network), network)
        side.training.set_mode(network, True)
        network(side.tensor(images))
        after = side.canonical(side.weights.get_weights(network), network)
        changes.append({key: after[key] - before[key] for key in before})
    moved = {key for key, change in changes[0].items() if np.any(change)}
    running = {key for key in changes[0] if "running_" in key}
    assert moved == (set() if options.get("freeze_bn_stats") else running)
    for key in moved:
        assert_close(f"{name} {key}", changes[1][key], changes[0][key], GRADIENT)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_of_the_smooth_network_agree(name, training):
    options, size = NETWORKS[name]
    sides, networks = pair({**options, **SMOOTH, "freeze_bn_affine": False})
    want, got = (gradients(side, network, size, training) for side, network in zip(sides, networks))
    assert got.keys() == want.keys()
    for key in want:
        assert_close(f"{name} {key}", got[key], want[key], GRADIENT)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_of_the_real_network_agree_to_the_noise_of_float32(name):
    """With ReLU, max pooling, BatchNorm in evaluation mode, and images that keep clear of every kink.

    One ReLU that float32 puts on the other side makes a difference of 1e-4, and batch statistics multiply it to 1e-2,
    in either framework by chance: real errors would hide behind it. The smooth networks test batch statistics.
    """
    options, size = NETWORKS[name]
    options = {**options, "freeze_bn_affine": False}
    sides, networks = pair(options)
    exact_network = pair(options)[1][0].double()
    seed = next(seed for seed in range(100) if clear_of_kinks(exact_network, inputs(size, seed)[0]))
    torch32, mindspore32 = (gradients(*one, size, False, seed) for one in zip(sides, networks))
    exact = gradients(sides[0], exact_network, size, False, seed, np.float64)
    for key, want in exact.items():
        assert_within_floor(key, mindspore32[key], want, float(np.linalg.norm(torch32[key] - want)))


def clear_of_kinks(network, images: np.ndarray) -> bool:
    """Return whether float32's rounding of these images moves nothing past a kink."""
    import torch

    exact = torch.from_numpy(images.astype(np.float64))
    return clearance(network, lambda net: net(exact), lambda path, _: path == "pool") > CLEAR


def gradients(side, network, size, training: bool, seed: int = 0, dtype=np.float32) -> dict[str, np.ndarray]:
    """Return the gradients of the segmentation loss by canonical name."""
    images, label = inputs(size, seed)
    target = side.tensor(label)

    def loss(network, images):
        aux, _, main = network(images)
        return side.losses.segmentation_loss(aux, main, target)[0]

    side.training.set_mode(network, training)
    return side.canonical(side.parameter_gradients(network, loss, images.astype(dtype)), network)
