"""Mix Transformers: their ImageNet weights, and whole networks with SegFormer's or DAFormer's head.

The published files are those of https://github.com/NVlabs/SegFormer and https://github.com/lhoyer/DAFormer. Both call
the encoder's layers as we do; ImageNet files hold the encoder alone, without a prefix.
"""

import re

from common.networks.mit import DEPTHS, HEADS, RATIOS
from convert.layouts import form
from convert.layouts.layout import Layout, Shapes
from convert.layouts.residual import norm, with_bias


def _encoder(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return what the encoder holds; its width and its depths are the file's own, B5's where it does not tell."""
    width = (shapes.get("backbone.patch_embed1.proj.weight") or (64,))[0]
    result: dict[str, tuple[int, ...]] = {}
    inputs = 3
    for stage, (heads, ratio, depth) in enumerate(zip(HEADS, RATIOS, _depths(shapes)), 1):
        channels, side = width * heads, 7 if stage == 1 else 3
        result |= with_bias(f"backbone.patch_embed{stage}.proj", (channels, inputs, side, side))
        result |= with_bias(f"backbone.patch_embed{stage}.norm", (channels,))
        for block in range(depth):
            result |= _block(f"backbone.block{stage}.{block}", channels, ratio)
        result |= with_bias(f"backbone.norm{stage}", (channels,))
        inputs = channels
    return result


def _depths(shapes: Shapes) -> tuple[int, ...]:
    found = [re.match(r"backbone\.block(\d)\.(\d+)\.norm1\.weight", name) for name in shapes]
    counts = [sum(1 for match in found if match and match[1] == str(stage)) for stage in range(1, 5)]
    return tuple(counts) if any(counts) else DEPTHS["b5"]


def _block(path: str, channels: int, ratio: int) -> dict[str, tuple[int, ...]]:
    result = with_bias(f"{path}.norm1", (channels,)) | with_bias(f"{path}.attn.q", (channels, channels))
    result |= with_bias(f"{path}.attn.kv", (2 * channels, channels))
    result |= with_bias(f"{path}.attn.proj", (channels, channels))
    if ratio > 1:
        result |= with_bias(f"{path}.attn.sr", (channels, channels, ratio, ratio))
        result |= with_bias(f"{path}.attn.norm", (channels,))
    result |= with_bias(f"{path}.norm2", (channels,)) | with_bias(f"{path}.mlp.fc1", (4 * channels, channels))
    result |= with_bias(f"{path}.mlp.dwconv.dwconv", (4 * channels, 1, 3, 3))
    return result | with_bias(f"{path}.mlp.fc2", (channels, 4 * channels))


def _segformer(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return what a network with SegFormer's head holds; channels and classes are the file's own."""
    result = _encoder(shapes)
    classes, channels = (shapes.get("decode_head.linear_pred.weight") or (19, 768))[:2]
    for stage in (4, 3, 2, 1):
        inputs = result[f"backbone.norm{stage}.weight"][0]
        result |= with_bias(f"decode_head.linear_c{stage}.proj", (channels, inputs))
    result |= _block_of("decode_head.linear_fuse", (channels, 4 * channels, 1, 1))
    return result | with_bias("decode_head.linear_pred", (classes, channels, 1, 1))


def _daformer(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return what a network with DAFormer's head holds; channels and classes are the file's own."""
    result = _encoder(shapes)
    classes, channels = (shapes.get("decode_head.conv_seg.weight") or (19, 256))[:2]
    for index in range(4):
        inputs = result[f"backbone.norm{index + 1}.weight"][0]
        result |= with_bias(f"decode_head.embed_layers.{index}.proj", (channels, inputs))
    fuse, wide = "decode_head.fuse_layer", 4 * channels
    result |= _block_of(f"{fuse}.aspp_modules.0", (channels, wide, 1, 1))
    for index in (1, 2, 3):
        path = f"{fuse}.aspp_modules.{index}"
        result |= _block_of(f"{path}.depthwise_conv", (wide, 1, 3, 3))
        result |= _block_of(f"{path}.pointwise_conv", (channels, wide, 1, 1))
    result |= _block_of(f"{fuse}.bottleneck", (channels, wide, 3, 3))
    return result | with_bias("decode_head.conv_seg", (classes, channels, 1, 1))


def _block_of(path: str, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Return a convolution without bias and its BatchNorm."""
    return {f"{path}.conv.weight": shape, **norm(f"{path}.bn", shape[0])}


INIT = Layout(
    name="mit-init",
    title="ImageNet Mix Transformer, mit_b0.pth to mit_b5.pth of SegFormer, for networks with either head",
    framework="torch",
    expected=_encoder,
    rules=(("", "backbone."),),
    foreign=(("head.", "an ImageNet classifier"),),
    form=form.mit,
)
SEGFORMER = Layout(
    name="segformer",
    title="SegFormer's trained networks, segformer.b0 to b5 (.pth)",
    framework="torch",
    expected=_segformer,
    foreign=(("decode_head.conv_seg.", "a classifier that SegFormer's head inherits and never calls"),),
    form=form.mit,
)
DAFORMER = Layout(
    name="daformer",
    title="DAFormer's trained networks, the student of a checkpoint with its teacher (.pth)",
    framework="torch",
    expected=_daformer,
    prefixes=("module.", "model."),
    foreign=(
        ("ema_model.", "the averaged teacher"),
        ("imnet_model.", "the frozen ImageNet network of the feature distance"),
    ),
    form=form.mit,
)
