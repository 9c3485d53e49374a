"""VGG-19 features of five levels (Simonyan & Zisserman, ICLR 2015) for the perceptual loss of Johnson et al."""

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional

from common.networks.translator import Vgg19Config
from torch_impl.nets.layers import conv

# channels of the 13 convolutions up to relu5_1 by slice; the number is the layer's place in torchvision's VGG-19
_SLICES = (
    ((0, 3, 64),),
    ((2, 64, 64), (5, 64, 128)),
    ((7, 128, 128), (10, 128, 256)),
    ((12, 256, 256), (14, 256, 256), (16, 256, 256), (19, 256, 512)),
    ((21, 512, 512), (23, 512, 512), (25, 512, 512), (28, 512, 512)),
)


class Slice(nn.Sequential):
    """The convolutions between two levels; all but the first slice pool before their last convolution."""

    def __init__(self, layers: tuple[tuple[int, int, int], ...]) -> None:
        super().__init__(OrderedDict((str(place), conv(*channels, 3, 1, 1)) for place, *channels in layers))
        self.last = len(layers) - 1

    def forward(self, x: Tensor) -> Tensor:
        """Map a level (N, inputs, H, W) to the next, (N, outputs, H // 2, W // 2) but for the first slice."""
        for index, layer in enumerate(self):
            if index == self.last and index > 0:
                x = functional.max_pool2d(x, 2, 2)
            x = functional.relu(layer(x))
        return x


class Vgg19(nn.Module):
    """The features after relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1."""

    HEADS = ()

    def __init__(self, config: Vgg19Config, classes: int) -> None:
        """Build; ``classes`` counts for nothing."""
        super().__init__()
        self.slice1, self.slice2, self.slice3, self.slice4, self.slice5 = (Slice(layers) for layers in _SLICES)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return five maps at strides 1, 2, 4, 8 and 16 of images (N, 3, H, W), sides of at least 16."""
        outputs = []
        for part in (self.slice1, self.slice2, self.slice3, self.slice4, self.slice5):
            images = part(images)
            outputs.append(images)
        return tuple(outputs)
