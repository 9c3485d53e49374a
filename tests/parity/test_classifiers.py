"""Rungs P1 and P2b for the networks of classification, and what S3D asks of them: styles and assistants.

A new network, or a variation of one, is one line in ``NETWORKS``.
"""

import numpy as np
import pytest

from common.draws import generator
from common.networks.plain import AlexNetConfig, VGG16Config
from common.networks.resnet import ResNetConfig
from tests.compare import assert_beside_noise, assert_close, assert_within_floor
from tests.parity.kinks import CLEAR, clearance
from tests.tolerances import FLOOR_FACTOR, GRADIENT, LOGITS
from tests.twins import need_both, twin

CLASSES, IMAGES = 5, 4
SMALL = {"stem": "small", "width": 8, "head": "predictor_deep"}
PLAIN = {"width": 4, "hidden": 24, "grid": 1}
NETWORKS = {  # name -> (description, options, pixels)
    "r10-s3d": (ResNetConfig, {"depth": 10, "width": 8, "maxpool": "unpadded", "head": "predictor_deep"}, 66),
    "r18": (ResNetConfig, {"depth": 18, "width": 8}, 64),
    "r34-small": (ResNetConfig, {"depth": 34, **SMALL}, 32),
    "r50": (ResNetConfig, {"depth": 50, "width": 8}, 128),
    "r10-fixed7": (ResNetConfig, {"depth": 10, **SMALL, "average": "fixed7", "imagenet_fc": True}, 60),
    "r10-predictor": (ResNetConfig, {"depth": 10, **SMALL, "head": "predictor", "freeze_bn_stats": True}, 24),
    "alexnet": (AlexNetConfig, PLAIN, 63),
    "alexnet-grid2": (AlexNetConfig, {**PLAIN, "grid": 2, "dropout": 0.25, "head": "predictor_deep"}, 99),
    "vgg16": (VGG16Config, {**PLAIN, "grid": 2, "head": "linear"}, 64),
}
SMOOTH = {"activation": "softplus", "pool": "average"}
PUBLISHED = {  # torchvision's name -> description, numbers in all parameters
    "resnet18": ({"depth": 18}, 11_689_512),
    "resnet34": ({"depth": 34}, 21_797_672),
    "resnet50": ({"depth": 50}, 25_557_032),
    "resnet101": ({"depth": 101}, 44_549_160),
    "resnet152": ({"depth": 152}, 60_192_808),
    "resnext50_32x4d": ({"depth": 50, "groups": 32, "group_width": 4}, 25_028_904),
    "resnext101_32x8d": ({"depth": 101, "groups": 32, "group_width": 8}, 88_791_336),
    "wide_resnet50_2": ({"depth": 50, "group_width": 128}, 68_883_240),
    "wide_resnet101_2": ({"depth": 101, "group_width": 128}, 126_886_696),
}
THIN = {
    "resnet152": {"depth": 152},
    "resnext": {"depth": 50, "groups": 4, "group_width": 16},
    "wide": {"depth": 50, "group_width": 128},
}


def pair(name: str, **options):
    """Return both twins and their networks, filled with the same reference weights."""
    kind, own, _ = NETWORKS[name]
    sides = [twin(one) for one in ("torch", "mindspore")]
    networks = [side.nets.build_network(kind(**own, **options), CLASSES) for side in sides]
    for side, network in zip(sides, networks):
        side.fill(network, "torch")
    return sides, networks


def inputs(name: str, seed: int = 0) -> dict[str, np.ndarray]:
    """Return images, labels, mixing factors, and dropout where the network has it."""
    kind, own, pixels = NETWORKS[name]
    draw, units = generator(seed, "classifiers", name), kind(**own).dropout_units()
    arrays = {"images": draw.standard_normal((IMAGES, 3, pixels, pixels), np.float32)}
    arrays["labelled"] = 0.5 + 2 * draw.standard_normal((IMAGES, 3, pixels, pixels), np.float32)
    arrays["label"] = draw.integers(0, CLASSES, IMAGES).astype(np.int32)
    arrays["mix"] = draw.random((4, IMAGES), np.float32)
    if units:
        arrays["dropout"] = (draw.random((IMAGES, units)) < 0.5).astype(np.uint8)
    return arrays


@pytest.mark.parametrize("name", NETWORKS)
def test_features_latent_and_logits_agree_in_evaluation_mode(name):
    need_both()
    sides, networks = pair(name)
    arrays = inputs(name)
    outputs = [network(side.tensor(arrays["images"])) for side, network in zip(sides, networks)]
    for part, want, got in zip(("features", "latent", "logits"), *outputs):
        assert_close(f"{name} {part}", sides[1].numpy(got), sides[0].numpy(want), LOGITS)
    assert tuple(outputs[0][2].shape) == (IMAGES, CLASSES)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_of_the_smooth_network_agree(name, training):
    """Beside PyTorch's own distance from float64, for batch statistics multiply rounding."""
    need_both()
    sides, networks = pair(name, **SMOOTH)
    arrays, exact = inputs(name), pair(name, **SMOOTH)[1][0].double()
    torch32, got = (gradients(side, network, arrays, training) for side, network in zip(sides, networks))
    want = gradients(sides[0], exact, {**arrays, "images": arrays["images"].astype(np.float64)}, training)
    assert got.keys() == want.keys()
    assert not [key for key in want if NETWORKS[name][1].get("imagenet_fc") and key.startswith("fc.")]
    for key, value in want.items():
        assert_beside_noise(key, got[key], value, torch32[key], GRADIENT, FLOOR_FACTOR)


@pytest.mark.parametrize("name", ["r18", "r10-predictor", "alexnet", "vgg16"])
def test_gradients_of_the_real_network_agree_to_the_noise_of_float32(name):
    """With ReLU, max pooling, BatchNorm in evaluation mode, and images that keep clear of every kink."""
    need_both()
    sides, networks = pair(name)
    exact_network = pair(name)[1][0].double()
    seed = next(seed for seed in range(200) if clear_of_kinks(exact_network, inputs(name, seed)))
    arrays = inputs(name, seed)
    torch32, mindspore32 = (gradients(*one, arrays, False) for one in zip(sides, networks))
    exact = gradients(sides[0], exact_network, {**arrays, "images": arrays["images"].astype(np.float64)}, False)
    for key, want in exact.items():
        assert_within_floor(key, mindspore32[key], want, float(np.linalg.norm(torch32[key] - want)))


@pytest.mark.parametrize("points", [1, 2, 4])
@pytest.mark.parametrize("name", ["r10-s3d", "alexnet-grid2", "vgg16"])
def test_assistants_and_the_statistics_they_leave_agree(name, points):
    need_both()
    sides, networks = pair(name, **SMOOTH)
    arrays = inputs(name)
    found = []
    for side, network in zip(sides, networks):
        side.training.set_mode(network, True)
        features = assistants(side, network, arrays, points, network.OWN_STATISTICS)
        found.append((features, side.canonical(side.weights.get_weights(network), network)))
    (want, want_weights), (got, got_weights) = found
    assert_close("features", got[0], want[0], GRADIENT)
    assert_close("assistants", got[1], want[1], GRADIENT)
    assert np.abs(want[1] - want[0]).max() > 1e-4 * np.abs(want[0]).max()
    for key, value in want_weights.items():
        assert_close(key, got_weights[key], value, GRADIENT)


def test_an_assistant_without_another_style_is_the_image_itself(side):
    _, own, _ = NETWORKS["r10-s3d"]
    network = side.nets.build_network(ResNetConfig(**own), CLASSES)
    side.fill(network, "torch")
    arrays = {**inputs("r10-s3d"), "mix": np.zeros((4, IMAGES), np.float32)}
    features, assistant = assistants(side, network, arrays, 4, "assistant")
    assert_close("assistant", assistant, features, LOGITS)


def test_the_last_transfer_mixes_the_pooled_features(side):
    """Pooled assistant = mix * pooled labelled feature + (1 - mix) * pooled assistant before the last transfer."""
    _, own, _ = NETWORKS["r10-s3d"]
    network = side.nets.build_network(ResNetConfig(**own), CLASSES)
    side.fill(network, "torch")
    arrays = inputs("r10-s3d")
    labelled, _ = network.embed(side.tensor(arrays["labelled"]))
    _, before = assistants(side, network, arrays, 3, "assistant")
    _, after = assistants(side, network, arrays, 4, "assistant")
    share = arrays["mix"][3][:, None]
    assert_close("features", after, share * side.numpy(labelled) + (1 - share) * before, GRADIENT)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_residual_network_has_its_parameters(name):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    own, count = PUBLISHED[name]
    with torch.device("meta"):  # shapes without numbers
        network = twin("torch").nets.NETWORKS["resnet"](ResNetConfig(**own), 1000)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.slow
@pytest.mark.parametrize("name", THIN)
def test_deep_wide_and_parted_residual_networks_agree(name):
    """Bottlenecks with an eighth of the channels, in evaluation mode; 152 layers of batch statistics multiply noise."""
    need_both()
    images = generator(0, "classifiers", name).standard_normal((IMAGES, 3, 20, 12), np.float32)
    outputs = []
    for side in map(twin, ("torch", "mindspore")):
        network = side.nets.build_network(ResNetConfig(**THIN[name], width=8, stem="small"), CLASSES)
        side.fill(network, "torch")
        outputs.append(side.numpy(network(side.tensor(images))[-1]))
    assert_close(name, outputs[1], outputs[0], LOGITS)


def assistants(side, network, arrays: dict, points: int, own: str) -> list[np.ndarray]:
    """Return features of the images and of their assistants in the labelled images' styles."""
    _, styles = network.embed(side.tensor(arrays["labelled"]), points)
    images, mix = side.tensor(arrays["images"]), side.tensor(arrays["mix"])
    return [side.numpy(x) for x in network.assist(images, styles, mix, own)]


def gradients(side, network, arrays: dict, training: bool) -> dict[str, np.ndarray]:
    """Return the gradients of the cross entropy by canonical name."""
    target, dropout = (side.tensor(arrays[key]) if key in arrays else None for key in ("label", "dropout"))

    def loss(network, images):
        return side.losses.cross_entropy(network(images, dropout)[-1], target)

    side.training.set_mode(network, training)
    return side.canonical(side.parameter_gradients(network, loss, arrays["images"]), network)


def clear_of_kinks(network, arrays: dict) -> bool:
    """Return whether float32's rounding of these images moves nothing past a kink."""
    import torch

    def is_pool(path, layer):
        return isinstance(layer, torch.nn.MaxPool2d) or (path == "pool" and network.stem == "imagenet")

    exact = torch.from_numpy(arrays["images"].astype(np.float64))
    dropout = torch.from_numpy(arrays["dropout"]) if "dropout" in arrays else None
    return clearance(network, lambda net: net(exact, dropout), is_pool) > CLEAR
