"""mindcv's ImageNet weights (.ckpt), renamed to torchvision's names, which are canonical here."""

from collections.abc import Sequence

from common.networks.mobile_layers import MobileBlock
from convert.layouts import form
from convert.layouts.layout import Layout, Shapes
from convert.layouts.residual import classifier
from convert.layouts.torchvision import LARGE, SMALL, mobilenet_v3

_STEM = 3  # mindcv's stem is three entries of its sequence: convolution, norm, activation


def _resnet(shapes: Shapes, direction: str) -> dict[str, str]:
    pairs = (("down_sample", "downsample"), ("classifier", "fc"))
    swap = dict(pairs if direction == "import" else [pair[::-1] for pair in pairs])
    return {name: ".".join(swap.get(part, part) for part in name.split(".")) for name in shapes}


def _mobilenet_v3(shapes: Shapes, direction: str) -> dict[str, str]:
    large = any(name.startswith(("features.19.", f"features.{len(LARGE) + 1}.0.")) for name in shapes)
    table = _mobilenet_paths(LARGE if large else SMALL)
    if direction == "export":
        table = {ours: theirs for theirs, ours in table.items()}
    result = {}
    for name in shapes:
        path, _, leaf = name.rpartition(".")
        result[name] = f"{table.get(path, path)}.{leaf}" if path else name
    return result


def _mobilenet_paths(blocks: Sequence[MobileBlock]) -> dict[str, str]:
    """Return mindcv's path of every layer -> torchvision's."""
    paths = {"features.0": "features.0.0", "features.1": "features.0.1"}
    for number, block in enumerate(blocks):
        theirs, ours = f"features.{number + _STEM}.layers", f"features.{number + 1}.block"
        place = index = 0
        expands = block.expanded != block.inputs
        for _ in range(1 + expands):  # expansion, where there is one, and depthwise: convolution, norm, activation
            paths |= {f"{theirs}.{place}": f"{ours}.{index}.0", f"{theirs}.{place + 1}": f"{ours}.{index}.1"}
            place, index = place + 3, index + 1
        if block.squeezed:
            paths |= {f"{theirs}.{place}.conv_reduce": f"{ours}.{index}.fc1"}
            paths |= {f"{theirs}.{place}.conv_expand": f"{ours}.{index}.fc2"}
            place, index = place + 1, index + 1
        paths |= {f"{theirs}.{place}": f"{ours}.{index}.0", f"{theirs}.{place + 1}": f"{ours}.{index}.1"}
    last = len(blocks)
    return paths | {
        f"features.{last + _STEM}": f"features.{last + 1}.0",
        f"features.{last + _STEM + 1}": f"features.{last + 1}.1",
    }


RESNET = Layout(
    name="mindcv-resnet",
    title="mindcv's ResNet-18/34/50/101/152 (.ckpt); --drop-head leaves the classifier out",
    framework="mindspore",
    expected=classifier,
    head=("fc.",),
    rename=_resnet,
    form=form.residual("resnet", maxpool="same"),
)
MOBILENET_V3 = Layout(
    name="mindcv-mobilenetv3",
    title="mindcv's MobileNetV3 small and large (.ckpt); --drop-head leaves the classifier out",
    framework="mindspore",
    expected=mobilenet_v3,
    head=("classifier.",),
    rename=_mobilenet_v3,
    form=form.mobilenet_v3("mindcv"),
)
