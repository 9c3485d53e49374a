"""Networks of the PyTorch twin, one file a family."""

import torch
from torch.nn import Module as Network

from common.networks import NetworkConfig
from common.networks.mobile_layers import EFFICIENT
from torch_impl.nets.alexnet import AlexNet
from torch_impl.nets.deeplabv2 import DeepLabV2
from torch_impl.nets.deeplabv2_efficientnet import DeepLabV2EfficientNet
from torch_impl.nets.deeplabv2_se import DeepLabV2SE
from torch_impl.nets.efficientnet import EfficientNet
from torch_impl.nets.hrnet_ocr import HRNetOCR
from torch_impl.nets.latent import AnchorNet, Encoder, Generator
from torch_impl.nets.mit_segmenter import MitSegmenter
from torch_impl.nets.mobilenetv2 import MobileNetV2
from torch_impl.nets.mobilenetv3 import MobileNetV3
from torch_impl.nets.output_discriminator import OutputDiscriminator
from torch_impl.nets.resnet_classifier import ResNetClassifier
from torch_impl.nets.shufflenetv2 import ShuffleNetV2
from torch_impl.nets.training import set_mode
from torch_impl.nets.translator import Critics, Translator
from torch_impl.nets.vgg import VGG16
from torch_impl.nets.vgg19 import Vgg19
from torch_impl.weights import initialise

NETWORKS = {
    "deeplabv2": DeepLabV2,
    "deeplabv2_efficientnet": DeepLabV2EfficientNet,
    "deeplabv2_se": DeepLabV2SE,
    "mit": MitSegmenter,
    "hrnet_ocr": HRNetOCR,
    "resnet": ResNetClassifier,
    "alexnet": AlexNet,
    "vgg16": VGG16,
    "mobilenet_v3": MobileNetV3,
    "mobilenet_v2": MobileNetV2,
    **{f"efficientnet_{variant}": EfficientNet for variant in EFFICIENT},
    "shufflenet_v2": ShuffleNetV2,
    "generator": Generator,
    "encoder": Encoder,
    "anchor": AnchorNet,
    "output_discriminator": OutputDiscriminator,
    "translator": Translator,
    "critics": Critics,
    "vgg19_features": Vgg19,
}


def build_network(config: NetworkConfig, classes: int, seed: int = 0) -> Network:
    """Return the network that a configuration names, in evaluation mode, with the initial weights of ``seed``.

    ``config.weights`` is not read here: loading a file is the objective's business.
    """
    with torch.device("meta"):  # no framework draws weights that are overwritten at once
        network = NETWORKS[config.name](config, classes)
    network.to_empty(device="cpu")
    initialise(network, seed, config.init)
    set_mode(network, False)
    return network
