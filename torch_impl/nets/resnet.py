"""Residual backbones 10, 18, 34, 50, 101, 152 (He et al., CVPR 2016), output stride 32, or 8 by dilation (DeepLab)."""

from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from common.networks.deeplabv2 import DeepLabV2Config
from common.networks.residual_layers import Block, expansion, pool_padding, stages
from common.networks.resnet import ResNetConfig
from torch_impl.nets.layers import conv, softplus
from torch_impl.nets.norms import IBN, batch_norm
from torch_impl.nets.recompute import run_block

ACTIVATIONS = {"relu": partial(nn.ReLU, inplace=True), "softplus": softplus}  # in place: a map less


def convolution(
    inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Conv2d:
    """Return a convolution without bias whose zero padding keeps the size at stride 1."""
    return conv(inputs, outputs, kernel, stride, dilation * (kernel // 2), dilation, groups, bias=False)


def shortcut(block: Block, outputs: int) -> nn.Sequential | None:
    """Return the strided 1x1 convolution with BatchNorm of a block's shortcut, or None for the identity."""
    if not block.downsample:
        return None
    return nn.Sequential(convolution(block.inputs, outputs, 1, block.stride), batch_norm(outputs))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; the stride is in the first."""

    def __init__(self, block: Block, config: DeepLabV2Config | ResNetConfig) -> None:
        super().__init__()
        self.conv1 = convolution(block.inputs, block.planes, 3, block.stride, block.dilation)
        self.bn1 = batch_norm(block.planes)
        self.conv2 = convolution(block.planes, block.planes, 3, 1, block.dilation)
        self.bn2 = batch_norm(block.planes)
        self.activation = ACTIVATIONS[config.activation]()
        self.downsample = shortcut(block, block.planes)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, planes, ceil(H / stride), ceil(W / stride))."""
        out = self.activation(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        identity = x if self.downsample is None else self.downsample(x)
        return self.activation(out + identity)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut; the stride is in the first (Caffe) or the second (torchvision).

    With ``groups`` that of ResNeXt (Xie et al., CVPR 2017): more channels inside, the 3x3 convolution in parts.
    """

    def __init__(self, block: Block, config: DeepLabV2Config | ResNetConfig) -> None:
        super().__init__()
        outputs, grouped = block.planes * expansion(config.depth), hasattr(config, "group_width")
        groups = config.groups if grouped else 1  # those of DiGA's network are its GroupNorms'
        inner = block.planes * (config.group_width if grouped else 64) // 64 * groups
        first, second = (block.stride, 1) if config.stride_in == "conv1" else (1, block.stride)
        self.conv1 = convolution(block.inputs, inner, 1, first)
        mixed = getattr(config, "ibn", False) and block.planes < 8 * config.width  # not in the last stage
        if mixed:
            self.ibnc = IBN(inner)
        else:
            self.bn1 = batch_norm(inner)
        self._mixed = mixed
        self.conv2 = convolution(inner, inner, 3, second, block.dilation, groups)
        self.bn2 = batch_norm(inner)
        self.conv3 = convolution(inner, outputs, 1)
        self.bn3 = batch_norm(outputs)
        self.activation = ACTIVATIONS[config.activation]()
        self.downsample = shortcut(block, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, 4 * planes, ceil(H / stride), ceil(W / stride))."""
        out = self.conv1(x)
        out = self.activation(self.ibnc(out) if self._mixed else self.bn1(out))
        out = self.activation(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        identity = x if self.downsample is None else self.downsample(x)
        return self.activation(out + identity)


class StemPool(nn.Module):
    """3x3 pooling with stride 2 in the four official forms (``common.networks.residual_layers.pool_padding``)."""

    def __init__(self, mode: str, kind: str) -> None:
        super().__init__()
        self.mode, self.kind = mode, kind

    def forward(self, x: Tensor) -> Tensor:
        """Pool (N, C, H, W), which must not be negative: then zero padding is as good as none."""
        if self.kind == "max" and self.mode in ("ceil", "floor"):
            return functional.max_pool2d(x, 3, 2, 1, ceil_mode=self.mode == "ceil")
        top, bottom = pool_padding(x.shape[2], self.mode)
        left, right = pool_padding(x.shape[3], self.mode)
        padded = functional.pad(x, (left, right, top, bottom))
        return functional.max_pool2d(padded, 3, 2) if self.kind == "max" else functional.avg_pool2d(padded, 3, 2)


def block_class(config: Any) -> type:
    """Return the class of a network's blocks: ``BasicBlock`` below depth 50, else ``Bottleneck``."""
    return BasicBlock if expansion(config.depth) == 1 else Bottleneck


def residual_blocks(network: Any) -> list[nn.Module]:
    """Return the residual blocks of a network with stages ``layer1`` to ``layer4``, in order."""
    stages = (network.layer1, network.layer2, network.layer3, network.layer4)
    return [block for stage in stages for block in stage]


class ResNet(nn.Module):
    """Stem and four stages; with output stride 8 the last two are dilated, not strided."""

    def __init__(self, config: DeepLabV2Config | ResNetConfig, output_stride: int = 8) -> None:
        super().__init__()
        self.conv1 = convolution(3, config.width, 7, 2)
        self.bn1 = batch_norm(config.width)
        self.activation = ACTIVATIONS[config.activation]()
        self.pool = StemPool(config.maxpool, config.pool)
        layout = stages(config.depth, config.width, config.stride_in, output_stride)
        block = block_class(config)
        self.layer1 = nn.Sequential(*[block(one, config) for one in layout[0]])
        self.layer2 = nn.Sequential(*[block(one, config) for one in layout[1]])
        self.layer3 = nn.Sequential(*[block(one, config) for one in layout[2]])
        self.layer4 = nn.Sequential(*[block(one, config) for one in layout[3]])

    def blocks(self) -> list[nn.Module]:
        """Return the residual blocks in order."""
        return residual_blocks(self)

    def stem(self, images: Tensor) -> Tensor:
        """Return the output of the first layer (N, width, H / 2, W / 2) of normalised images, before its pooling."""
        return self.activation(self.bn1(self.conv1(images)))

    def features(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return the pooled stem (stride 4) and the outputs of the four stages (strides 4, 8, 8, 8, or 4 to 32).

        Args:
            images: (N, 3, H, W) float32, normalised.
        """
        outputs = [self.pool(self.stem(images))]
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = outputs[-1]
            for block in stage:
                x = run_block(block, x)
            outputs.append(x)
        return tuple(outputs)
