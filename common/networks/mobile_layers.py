"""The layers of the mobile networks as tables: MobileNetV3, MobileNetV2, EfficientNet-B0 to B7, ShuffleNetV2.

Names, widths and orders are torchvision's, so that its weights fit.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

# MobileNetV3 (Howard et al., ICCV 2019, tables 1 and 2):
# kernel, expanded channels, output channels, squeeze-and-excitation, activation, stride
_SMALL = (
    (3, 16, 16, True, "relu", 2), (3, 72, 24, False, "relu", 2), (3, 88, 24, False, "relu", 1),
    (5, 96, 40, True, "hardswish", 2), (5, 240, 40, True, "hardswish", 1), (5, 240, 40, True, "hardswish", 1),
    (5, 120, 48, True, "hardswish", 1), (5, 144, 48, True, "hardswish", 1), (5, 288, 96, True, "hardswish", 2),
    (5, 576, 96, True, "hardswish", 1), (5, 576, 96, True, "hardswish", 1),
)  # fmt: skip
_LARGE = (
    (3, 16, 16, False, "relu", 1), (3, 64, 24, False, "relu", 2), (3, 72, 24, False, "relu", 1),
    (5, 72, 40, True, "relu", 2), (5, 120, 40, True, "relu", 1), (5, 120, 40, True, "relu", 1),
    (3, 240, 80, False, "hardswish", 2), (3, 200, 80, False, "hardswish", 1), (3, 184, 80, False, "hardswish", 1),
    (3, 184, 80, False, "hardswish", 1), (3, 480, 112, True, "hardswish", 1), (3, 672, 112, True, "hardswish", 1),
    (5, 672, 160, True, "hardswish", 2), (5, 960, 160, True, "hardswish", 1), (5, 960, 160, True, "hardswish", 1),
)  # fmt: skip
_V3 = {"small": (_SMALL, 1024), "large": (_LARGE, 1280)}  # blocks, width of the hidden layer of the classifier
NORMS = {"torchvision": (1e-3, 0.01), "mindcv": (1e-5, 0.1)}  # of MobileNetV3's BatchNorms: eps, momentum
# MobileNetV2 (Sandler et al., CVPR 2018, table 2): expansion, channels, blocks, stride of the first block
_V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
# EfficientNet-B0 (Tan and Le, ICML 2019, table 1): expansion, kernel, channels, blocks, stride of the first block
_B0 = (
    (1, 3, 16, 1, 1), (6, 3, 24, 2, 2), (6, 5, 40, 2, 2), (6, 3, 80, 3, 2), (6, 5, 112, 3, 1), (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)  # fmt: skip


class Compound(NamedTuple):
    """How an EfficientNet is larger than B0: factors of its channels and blocks, and torchvision's constants.

    Attributes:
        width, depth: Factors; channels are then rounded to multiples of 8, blocks of a stage up.
        dropout: Share of the features that is dropped before the classifier.
        eps, momentum: Of every BatchNorm.
    """

    width: float
    depth: float
    dropout: float
    eps: float = 1e-5
    momentum: float = 0.1


EFFICIENT = {
    "b0": Compound(1.0, 1.0, 0.2),
    "b1": Compound(1.0, 1.1, 0.2),
    "b2": Compound(1.1, 1.2, 0.3),
    "b3": Compound(1.2, 1.4, 0.3),
    "b4": Compound(1.4, 1.8, 0.4),
    "b5": Compound(1.6, 2.2, 0.4, 1e-3, 0.01),
    "b6": Compound(1.8, 2.6, 0.5, 1e-3, 0.01),
    "b7": Compound(2.0, 3.1, 0.5, 1e-3, 0.01),
}
# ShuffleNetV2 (Ma et al., ECCV 2018, table 5): channels of stem, three stages and last convolution
SHUFFLE_WIDTHS = {
    "x0_5": (24, 48, 96, 192, 1024),
    "x1_0": (24, 116, 232, 464, 1024),
    "x1_5": (24, 176, 352, 704, 1024),
    "x2_0": (24, 244, 488, 976, 2048),
}
SHUFFLE_UNITS = (4, 8, 4)  # in each stage
DROP_PATH = 0.2  # EfficientNet: chance that the last block is passed over, growing linearly from 0


@dataclass(frozen=True)
class MobileBlock:
    """One inverted residual block: expand (1x1), depthwise, optional squeeze-and-excitation, project (1x1).

    Attributes:
        inputs, expanded, outputs: Channels; equal inputs and expanded leave the expansion out.
        kernel, stride: Of the depthwise convolution.
        squeezed: Channels inside squeeze-and-excitation; 0 has none.
        activation: Behind expansion and depthwise convolution.
        dilation: Of the depthwise convolution.
    """

    inputs: int
    expanded: int
    outputs: int
    kernel: int
    stride: int
    squeezed: int
    activation: str
    dilation: int = 1

    @property
    def residual(self) -> bool:
        """Whether the input is added to the output."""
        return self.stride == 1 and self.inputs == self.outputs


def divisible(channels: float) -> int:
    """Round to a multiple of 8, at least 8, and never down by more than a tenth (TensorFlow's ``make_divisible``)."""
    near = max(8, int(channels + 4) // 8 * 8)
    return near + 8 if near < 0.9 * channels else near


def mobilenet_v3(size: str, width: float = 1.0) -> tuple[int, list[MobileBlock], int, int]:
    """Return the channels of the stem, the blocks, the channels of the last convolution and of the hidden layer.

    Args:
        size: ``"small"`` or ``"large"``.
        width: Factor of all channels.
    """
    rows, hidden = _V3[size]
    stem = inputs = divisible(16 * width)
    blocks = []
    for kernel, expanded, outputs, squeeze, activation, stride in rows:
        wide, narrow = divisible(expanded * width), divisible(outputs * width)
        squeezed = divisible(wide // 4) if squeeze else 0
        blocks.append(MobileBlock(inputs, wide, narrow, kernel, stride, squeezed, activation))
        inputs = narrow
    return stem, blocks, 6 * inputs, divisible(hidden * width)


def mobilenet_v2(width: float = 1.0) -> tuple[int, list[MobileBlock], int]:
    """Return the channels of the stem, the blocks and the channels of the last convolution."""
    stem = inputs = divisible(32 * width)
    blocks = []
    for expansion, outputs, count, stride in _V2:
        for index in range(count):
            narrow = divisible(outputs * width)
            here = stride if index == 0 else 1
            blocks.append(MobileBlock(inputs, inputs * expansion, narrow, 3, here, 0, "relu6"))
            inputs = narrow
    return stem, blocks, divisible(1280 * max(1.0, width))


def efficientnet(
    form: Compound = EFFICIENT["b0"], output_stride: int = 32
) -> tuple[int, list[list[MobileBlock]], int]:
    """Return the channels of the stem, the blocks of each stage and the channels of the last convolution.

    Args:
        form: A row of ``EFFICIENT``, or other factors.
        output_stride: 32: as published; 16 or 8: stages that would pass it are dilated instead of strided. A block that
            loses its stride keeps the dilation of the block before, so what it computes at every second place is what
            it computed before (torchvision's rule for residual networks).
    """
    stem = inputs = divisible(32 * form.width)
    stages, stride, dilation = [], 2, 1
    for expansion, kernel, outputs, count, first in _B0:
        stage, wide = [], divisible(outputs * form.width)
        for index in range(math.ceil(count * form.depth)):
            own, squeezed = first if index == 0 else 1, max(1, inputs // 4)
            step = 1 if stride * own > output_stride else own
            stage.append(MobileBlock(inputs, inputs * expansion, wide, kernel, step, squeezed, "silu", dilation))
            stride, dilation, inputs = stride * step, dilation * own // step, wide
        stages.append(stage)
    return stem, stages, 4 * inputs
