"""The section ``network`` of a configuration: one file a family, told apart by ``name``.

The networks themselves are in ``torch_impl/nets`` and ``ms_impl/nets``, in tables under the same names; what both
share of them, their layers in numbers, is in ``residual_layers.py``, ``mobile_layers.py`` and ``mit.py``.
"""

from functools import reduce
from operator import or_
from typing import Annotated, Any

from pydantic import Discriminator, Tag

from common.networks.base import NetworkBase
from common.networks.deeplabv2 import DeepLabV2Config
from common.networks.deeplabv2_efficientnet import DeepLabV2EfficientNetConfig
from common.networks.deeplabv2_se import DeepLabV2SEConfig
from common.networks.hrnet_ocr import HRNetOCRConfig
from common.networks.mit import MitConfig
from common.networks.mobile import EfficientNetConfig, MobileNetV2Config, MobileNetV3Config, ShuffleNetV2Config
from common.networks.mobile_layers import EFFICIENT
from common.networks.plain import AlexNetConfig, VGG16Config
from common.networks.resnet import ResNetConfig

FAMILIES: dict[str, type[NetworkBase]] = {
    "deeplabv2": DeepLabV2Config,
    "deeplabv2_efficientnet": DeepLabV2EfficientNetConfig,
    "deeplabv2_se": DeepLabV2SEConfig,
    "mit": MitConfig,
    "hrnet_ocr": HRNetOCRConfig,
    "resnet": ResNetConfig,
    "alexnet": AlexNetConfig,
    "vgg16": VGG16Config,
    "mobilenet_v3": MobileNetV3Config,
    "mobilenet_v2": MobileNetV2Config,
    **{f"efficientnet_{variant}": EfficientNetConfig for variant in EFFICIENT},
    "shufflenet_v2": ShuffleNetV2Config,
}
DEFAULT = "deeplabv2"  # of a section without a name


def _name(section: Any) -> str:
    """Return the name in a section, as YAML gave it or as it was checked before."""
    return section.get("name", DEFAULT) if isinstance(section, dict) else getattr(section, "name", DEFAULT)


_tagged = [Annotated[family, Tag(name)] for name, family in FAMILIES.items()]
NetworkConfig = Annotated[reduce(or_, _tagged), Discriminator(_name)]
