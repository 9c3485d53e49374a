"""What AuG-KD's vector files say beside their arrays, and the networks and images that they mean."""

import json
import re

import numpy as np

from common.networks.mobile import EfficientNetConfig, MobileNetV2Config, MobileNetV3Config, ShuffleNetV2Config
from common.networks.resnet import ResNetConfig
from tests.twins import Twin
from tests.vectors import Vector

LATENT = 100
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
CIFAR = {
    "cifar10": {"mean": (0.4914, 0.4822, 0.4465), "std": (0.2023, 0.1994, 0.2010)},
    "cifar100": {"mean": (0.5071, 0.4867, 0.4408), "std": (0.2675, 0.2565, 0.2761)},
}


def meta_of(vector: Vector) -> dict | list:
    """Return the parameters of a file: one dictionary, or one a case."""
    return json.loads(str(vector.arrays["meta"]))


def cases_of(vector: Vector) -> list[tuple[str, dict]]:
    """Return the prefix and the parameters of every case of a file whose arrays are called ``c0_x``, ``c1_x``, ..."""
    numbers = sorted({int(match[1]) for name in vector.arrays if (match := re.match(r"c(\d+)_", name))})
    known = {entry["case"]: entry for entry in meta_of(vector)}
    return [(f"c{number}_", known[number]) for number in numbers]


def classifier_config(model: str) -> object:
    """Return the description of a torchvision classifier by torchvision's name for it."""
    if match := re.match(r"(wide_)?resne[xt]t?(\d+)(?:_(\d+)x(\d+)d)?", model):
        wide, depth, *parts = match.groups()
        groups, width = map(int, parts) if parts[0] else (1, 128 if wide else 64)
        return ResNetConfig(depth=int(depth), groups=groups, group_width=width)
    if match := re.match(r"mobilenet_v3_(small|large)", model):
        return MobileNetV3Config(size=match[1])
    if match := re.match(r"shufflenet_v2_(x\d_\d)", model):
        return ShuffleNetV2Config(width=match[1])
    if model.startswith("efficientnet_"):
        return EfficientNetConfig(name=model)
    return {"mobilenet_v2": MobileNetV2Config}[model]()


def network_of(side: Twin, config: object, classes: int):
    """Return a network in evaluation mode with the reference weights of its official keys."""
    network = side.nets.build_network(config, classes)
    side.fill(network, "torch")
    return network


def unit_images(images: np.ndarray) -> np.ndarray:
    """Return uint8 images as float32 in [0, 1]."""
    return images.astype(np.float32) / np.float32(255)


def images_of(images: np.ndarray, meta: dict) -> np.ndarray:
    """Return uint8 images (N, 3, H, W) as the classifier of a dataset sees them."""
    constants = CIFAR.get(meta.get("dataset", ""), IMAGENET)
    mean, std = (np.array(constants[name], np.float32).reshape(1, 3, 1, 1) for name in ("mean", "std"))
    return (unit_images(images) - mean) / std
