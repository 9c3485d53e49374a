"""Networks of the MindSpore twin, one file a family."""

from mindspore.nn import Cell as Network

from common.networks import NetworkConfig
from common.networks.mobile_layers import EFFICIENT
from ms_impl.nets.alexnet import AlexNet
from ms_impl.nets.deeplabv2 import DeepLabV2
from ms_impl.nets.deeplabv2_efficientnet import DeepLabV2EfficientNet
from ms_impl.nets.deeplabv2_se import DeepLabV2SE
from ms_impl.nets.efficientnet import EfficientNet
from ms_impl.nets.hrnet_ocr import HRNetOCR
from ms_impl.nets.latent import AnchorNet, Encoder, Generator
from ms_impl.nets.mit_segmenter import MitSegmenter
from ms_impl.nets.mobilenetv2 import MobileNetV2
from ms_impl.nets.mobilenetv3 import MobileNetV3
from ms_impl.nets.output_discriminator import OutputDiscriminator
from ms_impl.nets.resnet_classifier import ResNetClassifier
from ms_impl.nets.shufflenetv2 import ShuffleNetV2
from ms_impl.nets.training import set_mode
from ms_impl.nets.translator import Critics, Translator
from ms_impl.nets.vgg import VGG16
from ms_impl.nets.vgg19 import Vgg19
from ms_impl.weights import initialise

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
    network = NETWORKS[config.name](config, classes)
    initialise(network, seed, config.init)
    set_mode(network, False)
    return network
