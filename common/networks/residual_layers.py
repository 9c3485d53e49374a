"""Layout of residual networks in numbers only: blocks, strides, dilations, stem padding."""

from dataclasses import dataclass

# depth -> (channels out of a block per channel inside it, blocks of each stage)
DEPTHS = {
    10: (1, (1, 1, 1, 1)),
    18: (1, (2, 2, 2, 2)),
    34: (1, (3, 4, 6, 3)),
    50: (4, (3, 4, 6, 3)),
    101: (4, (3, 4, 23, 3)),
    152: (4, (3, 8, 36, 3)),
}
_LAYOUTS = {8: ((1, 2, 1, 1), (1, 1, 2, 4)), 32: ((1, 2, 2, 2), (1, 1, 1, 1))}  # strides, dilations of the stages


@dataclass(frozen=True)
class Block:
    """One residual block.

    Attributes:
        inputs: Channels that enter.
        planes: Channels inside; ``planes * expansion`` leave.
        stride: Stride of the block.
        dilation: Dilation, and padding, of its 3x3 convolutions.
        downsample: Whether the shortcut is a strided 1x1 convolution with BatchNorm.
    """

    inputs: int
    planes: int
    stride: int
    dilation: int
    downsample: bool


def expansion(depth: int) -> int:
    """Return 1 for networks of basic blocks (10, 18, 34), 4 for bottlenecks (50, 101)."""
    return DEPTHS[depth][0]


def stages(depth: int, width: int, stride_in: str, output_stride: int = 8) -> tuple[tuple[Block, ...], ...]:
    """Return the blocks of the four stages.

    Args:
        depth: A key of ``DEPTHS``.
        width: Channels inside the first stage; each further stage doubles them.
        stride_in: ``"conv1"``: every block of a dilated stage has its dilation (Caffe style: DeepLab, AdvEnt, DDM);
            ``"conv2"``: the first block keeps the dilation of the stage before (torchvision's rule: IAST).
        output_stride: 8: the last two stages are dilated instead of strided (DeepLab); 32: classification.
    """
    result, inputs, before = [], width, 1
    factor, counts = DEPTHS[depth]
    for stage, (count, stride, dilation) in enumerate(zip(counts, *_LAYOUTS[output_stride])):
        blocks, planes = [], width * 2**stage
        for index in range(count):
            first = index == 0
            own = before if first and stride_in == "conv2" else dilation
            step = stride if first else 1
            blocks.append(Block(inputs, planes, step, own, first and (step != 1 or inputs != planes * factor)))
            inputs = planes * factor
        result.append(tuple(blocks))
        before = dilation
    return tuple(result)


def pool_padding(length: int, mode: str) -> tuple[int, int]:
    """Return the padding (before, after) that makes an unpadded 3/2 pooling equal to a form of the stem's pooling.

    Args:
        length: Pixels of the axis before pooling.
        mode: ``"ceil"``: padding 1, ceil mode (AdvEnt); ``"floor"``: padding 1 (torchvision); ``"same"``: a zero frame
            of 1, then MindSpore's "same" pooling (DDM), one pixel longer and shifted when ``length`` is odd;
            ``"unpadded"``: padding 0, ceil mode (the ResNets of MME, APE and S3D).
    """
    odd = length % 2
    return {"ceil": (1, 2 - odd), "floor": (1, 1), "same": (1 + odd, 2), "unpadded": (0, 1 - odd)}[mode]
