"""HRNetV2 (Wang et al., TPAMI 2020, arXiv 1908.07919): parallel branches at strides 4 to 32 that exchange maps."""

from typing import Any

import torch
from torch import Tensor, nn

from common.networks.residual_layers import Block
from torch_impl.losses import upsample
from torch_impl.nets.recompute import run_block
from torch_impl.nets.resnet import ACTIVATIONS, BasicBlock, Bottleneck, batch_norm, convolution

_STEM = 64
_BLOCKS = 4  # residual blocks of stage 1 and of every branch of a module


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int, activation: str | None) -> nn.Sequential:
    """Return convolution without bias, BatchNorm and, unless None, an activation."""
    layers = [convolution(inputs, outputs, kernel, stride), batch_norm(outputs)]
    return nn.Sequential(*layers, *([ACTIVATIONS[activation]()] if activation else []))


class ExchangeModule(nn.Module):
    """Four basic blocks a branch, then every branch receives the sum of all (multi-resolution fusion)."""

    def __init__(self, widths: tuple[int, ...], config: Any) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [nn.ModuleList([BasicBlock(Block(w, w, 1, 1, False), config) for _ in range(_BLOCKS)]) for w in widths]
        )
        self.activation, places = ACTIVATIONS[config.activation](), range(len(widths))
        rows = [[_exchange(widths, i, j, config.activation) for j in places] for i in places]
        self.fuse_layers = nn.ModuleList([nn.ModuleList(row) for row in rows])

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Map one tensor a branch, (N, width, h, w), to one a branch of the same shape."""
        inputs = []
        for branch, x in zip(self.branches, maps):
            for block in branch:
                x = run_block(block, x)
            inputs.append(x)
        outputs = []
        for i, row in enumerate(self.fuse_layers):
            size, total = tuple(inputs[i].shape[2:]), None
            for j, layer in enumerate(row):
                value = inputs[j] if i == j else layer(inputs[j])
                value = upsample(value, size) if j > i else value
                total = value if total is None else total + value
            outputs.append(self.activation(total))
        return outputs


def _exchange(widths: tuple[int, ...], i: int, j: int, activation: str) -> nn.Module:
    """Return what brings branch j into the form of branch i, but for the resizing of coarser maps."""
    if i == j:
        return nn.Identity()
    if j > i:
        return conv_bn(widths[j], widths[i], 1, 1, None)
    steps = [conv_bn(widths[j], widths[j], 3, 2, activation) for _ in range(i - j - 1)]
    return nn.Sequential(*steps, conv_bn(widths[j], widths[i], 3, 2, None))


class HRNet(nn.Module):
    """Stem, a stage of bottlenecks, and three stages of exchange modules with 2, 3 and 4 branches."""

    def __init__(self, config: Any) -> None:
        """Build.

        Args:
            config: Of class ``common.networks.hrnet_ocr.HRNetOCRConfig``.
        """
        super().__init__()
        widths, modules, activation = config.branch_widths, config.modules, config.activation
        self.activation = ACTIVATIONS[activation]()
        self.conv1, self.bn1 = convolution(3, _STEM, 3, 2), batch_norm(_STEM)
        self.conv2, self.bn2 = convolution(_STEM, _STEM, 3, 2), batch_norm(_STEM)
        first = Block(_STEM, _STEM, 1, 1, True)
        rest = [Block(4 * _STEM, _STEM, 1, 1, False)] * (_BLOCKS - 1)
        self.stage1 = nn.Sequential(*[Bottleneck(one, config) for one in (first, *rest)])
        self.transition_stage_1_2 = nn.ModuleList(
            [
                conv_bn(4 * _STEM, widths[0], 3, 1, activation),
                nn.Sequential(conv_bn(4 * _STEM, widths[1], 3, 2, activation)),
            ]
        )
        self.stage2 = nn.ModuleList([ExchangeModule(widths[:2], config) for _ in range(modules[0])])
        self.transition_stage_2_3 = _new_branch(widths, 2, activation)
        self.stage3 = nn.ModuleList([ExchangeModule(widths[:3], config) for _ in range(modules[1])])
        self.transition_stage_3_4 = _new_branch(widths, 3, activation)
        self.stage4 = nn.ModuleList([ExchangeModule(widths[:4], config) for _ in range(modules[2])])

    def blocks(self) -> list[nn.Module]:
        """Return the residual blocks in order."""
        modules = [one for stage in (self.stage2, self.stage3, self.stage4) for one in stage]
        return [*self.stage1, *[block for one in modules for branch in one.branches for block in branch]]

    def forward(self, images: Tensor) -> Tensor:
        """Return the four branches at the first one's size, joined: (N, sum of widths, H / 4, W / 4).

        Args:
            images: (N, 3, H, W) float32, normalised.
        """
        x = self.activation(self.bn1(self.conv1(images)))
        x = self.activation(self.bn2(self.conv2(x)))
        for block in self.stage1:
            x = run_block(block, x)
        maps = [layer(x) for layer in self.transition_stage_1_2]
        for module in self.stage2:
            maps = module(maps)
        maps = [*maps, self.transition_stage_2_3[2](maps[-1])]
        for module in self.stage3:
            maps = module(maps)
        maps = [*maps, self.transition_stage_3_4[3](maps[-1])]
        for module in self.stage4:
            maps = module(maps)
        size = tuple(maps[0].shape[2:])
        return torch.cat([maps[0], *[upsample(one, size) for one in maps[1:]]], dim=1)


def _new_branch(widths: tuple[int, ...], number: int, activation: str) -> nn.ModuleList:
    """Return a transition whose only layer makes branch ``number`` from the one above; the others pass."""
    passed = [nn.Identity() for _ in range(number)]
    return nn.ModuleList([*passed, nn.Sequential(conv_bn(widths[number - 1], widths[number], 3, 2, activation))])
