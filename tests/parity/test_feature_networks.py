"""Rungs P1 and P2b of the networks with a feature output: SE head, Mix Transformers, EfficientNet, HRNet with OCR."""

import numpy as np
import pytest

from common.draws import generator
from common.networks import FAMILIES
from tests.compare import assert_close
from tests.tolerances import FLOOR_FACTOR, FLOOR_SLACK, GRADIENT, LOGITS
from tests.twins import need_both, twin

need_both()

CLASSES = 5
TINY_MIT = {"name": "mit", "variant": "b0", "width": 8, "depths": (1, 2, 1, 1), "head_channels": 16}
NETWORKS = {
    "deeplabv2_se": {"name": "deeplabv2_se", "depth": 50, "width": 8, "head_channels": 16, "groups": 4},
    "mit-segformer": {**TINY_MIT, "head": "segformer"},
    "mit-daformer": {**TINY_MIT, "head": "daformer"},
    "deeplabv2_efficientnet": {"name": "deeplabv2_efficientnet", "width": 0.25, "depth": 0.5},
    "deeplabv2_efficientnet-stride16": {
        "name": "deeplabv2_efficientnet", "variant": "b5", "width": 0.25, "depth": 0.5, "output_stride": 16,
    },
    "hrnet_ocr": {
        "name": "hrnet_ocr", "width": 4, "modules": (1, 1, 1), "head_channels": 16, "key_channels": 8,
        "reverse_channels": True,
    },
}  # fmt: skip
MARKS = {
    "hrnet_ocr": pytest.mark.slow,
    "deeplabv2_efficientnet": pytest.mark.slow,
    "deeplabv2_efficientnet-stride16": pytest.mark.exhaustive,
}
NOTHING = 1e-6  # of the largest gradient
SMOOTH = {"activation": "softplus", "pool": "average"}


def pair(options: dict):
    """Return the description, both twins, and their networks with the same reference weights."""
    family = FAMILIES[options["name"]]
    config = family(**{key: value for key, value in options.items() if key in family.model_fields})
    sides = [twin(name) for name in ("torch", "mindspore")]
    networks = [side.nets.build_network(config, CLASSES) for side in sides]
    for side, network in zip(sides, networks):
        side.fill(network, "torch")
    return config, sides, networks


def inputs(config) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return two images, labels, and the random numbers of dropout and stochastic depth."""
    draw = generator(1, "parity", "features")
    images = draw.standard_normal((2, 3, 64, 96), np.float32)
    label = draw.integers(0, CLASSES, (2, 64, 96)).astype(np.int32)
    return images, label, draw.random((2, config.draws), np.float32)


@pytest.mark.parametrize("name", [pytest.param(n, marks=MARKS.get(n, ()) if "eff" in n else ()) for n in NETWORKS])
def test_outputs_agree_in_evaluation_mode(name):
    config, sides, networks = pair(NETWORKS[name])
    images, _, _ = inputs(config)
    want, got = ([side.numpy(o) for o in net(side.tensor(images))] for side, net in zip(sides, networks))
    for place, (a, b) in enumerate(zip(got, want)):
        assert_close(f"{name} output {place}", a, b, LOGITS)
    channels = want[networks[0].FEATURE].shape[1]
    assert channels == networks[0].feature_channels == networks[1].feature_channels
    if hasattr(config, "dropout"):
        assert channels == config.draws - getattr(config, "path_draws", 0)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS.get(name, ())) for name in NETWORKS])
def test_gradients_and_statistics_of_the_smooth_network_agree(name, training):
    """HRNet's batch statistics over a dozen values are ill-conditioned: there PyTorch's own noise is the measure."""
    config, sides, networks = pair({**NETWORKS[name], **SMOOTH, "freeze_bn_affine": False, "drop_path": 0.5})
    results = [gradients(side, network, config, training) for side, network in zip(sides, networks)]
    if name == "hrnet_ocr" and training:
        _compare_to_noise(config, sides[0], pair({**NETWORKS[name], **SMOOTH})[2][0], results)
        return
    for want, got in zip(*results):
        assert got.keys() == want.keys()
        largest = max((np.abs(value).max() for value in want.values()), default=0.0)
        for key in want:
            if np.abs(want[key]).max() < NOTHING * largest:  # a bias before BatchNorm: 0 but for rounding
                assert np.abs(got[key]).max() < NOTHING * largest, key
            else:
                assert_close(f"{name} {key}", got[key], want[key], GRADIENT)


def _compare_to_noise(config, side, network, results) -> None:
    """Compare both twins with PyTorch in float64; the measure is PyTorch's noise where it is worst.

    Which tensor a chaotic network's noise falls on is chance, and differs with the number of threads.
    """
    exact = gradients(side, network.double(), config, True, np.float64)[0]
    largest = max(np.linalg.norm(value) for value in exact.values())
    sizes = {key: max(np.linalg.norm(value), NOTHING * largest) for key, value in exact.items()}
    noise, gaps = (
        {key: np.linalg.norm(found[0][key] - exact[key]) / size for key, size in sizes.items()} for found in results
    )
    bound = FLOOR_FACTOR * max(noise.values()) + FLOOR_SLACK
    worst = max(gaps, key=gaps.get)
    assert gaps[worst] <= bound, f"{worst}: {gaps[worst]:.1e} > {bound:.1e}"


def gradients(side, network, config, training: bool, dtype=np.float32) -> tuple[dict, dict]:
    """Return the gradients of a loss on logits and feature, and the running statistics after it, by canonical name."""
    images, label, noise = inputs(config)
    target, given = side.tensor(label), side.tensor(noise.astype(dtype)) if training else None

    def loss(network, images):
        outputs = network(images, given)
        main = side.losses.cross_entropy(side.losses.upsample(outputs[-1], tuple(label.shape[1:])), target)
        return main + 0.1 * (outputs[network.FEATURE] * outputs[network.FEATURE]).mean()

    side.training.set_mode(network, training)
    found = side.canonical(side.parameter_gradients(network, loss, images.astype(dtype)), network)
    weights = side.canonical(side.weights.get_weights(network), network)
    return found, {key: value for key, value in weights.items() if "running_" in key}


@pytest.mark.parametrize("name", ["deeplabv2_se", "mit-daformer"])
def test_dropout_follows_its_numbers(name):
    config, sides, networks = pair({**NETWORKS[name], "dropout": 0.5})
    images, _, noise = inputs(config)
    for side, network in zip(sides, networks):
        plain, dropped = (network(side.tensor(images), x)[network.FEATURE] for x in (None, side.tensor(noise)))
        channels = noise[:, getattr(config, "path_draws", 0) :]
        gone = np.abs(side.numpy(dropped)).max(axis=(2, 3)) == 0
        assert np.array_equal(gone | (channels >= 0.5), np.ones_like(gone))
        if name == "deeplabv2_se":
            assert_close(name, side.numpy(dropped)[~gone], 2 * side.numpy(plain)[~gone], LOGITS)


@pytest.mark.parametrize("name", ["torch", "mindspore"])
def test_groups_of_the_head_are_none_of_the_backbone(name):
    """DiGA's ``groups`` are those of GroupNorm; ResNeXt's, of the same name, would make the network twenty times it."""
    options = {"name": "deeplabv2_se", "depth": 50, "width": 4, "head_channels": 8, "groups": 4}
    network = twin(name).nets.build_network(FAMILIES["deeplabv2_se"].model_validate(options), 3, 0)
    shapes = {key: value.shape for key, value in twin(name).weights.get_weights(network).items()}
    assert shapes["layer1.0.conv2.weight"] == (4, 4, 3, 3) and shapes["layer4.2.conv2.weight"] == (32, 32, 3, 3)
