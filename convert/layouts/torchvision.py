"""torchvision's ImageNet weights, the canonical names of our backbones."""

from common.networks import mobile_layers
from convert.layouts import form
from convert.layouts.layout import Layout, Shapes
from convert.layouts.residual import classifier, norm

SMALL, LARGE = (mobile_layers.mobilenet_v3(size)[1] for size in ("small", "large"))  # their blocks


def mobilenet_v3(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return what MobileNetV3, small or large as the file's own names say, holds."""
    size = "large" if f"features.{len(LARGE) + 1}.0.weight" in shapes else "small"
    stem, blocks, wide, hidden = mobile_layers.mobilenet_v3(size)
    result = {"features.0.0.weight": (stem, 3, 3, 3), **norm("features.0.1", stem)}
    for number, block in enumerate(blocks, 1):
        result |= _block(f"features.{number}.block", block)
    last = f"features.{len(blocks) + 1}"
    classes = (shapes.get("classifier.3.bias") or (1000,))[0]
    result |= {f"{last}.0.weight": (wide, blocks[-1].outputs, 1, 1), **norm(f"{last}.1", wide)}
    result |= {"classifier.0.weight": (hidden, wide), "classifier.0.bias": (hidden,)}
    return {**result, "classifier.3.weight": (classes, hidden), "classifier.3.bias": (classes,)}


def _block(path: str, block: mobile_layers.MobileBlock) -> dict[str, tuple[int, ...]]:
    """Return what one inverted residual block holds."""
    result, index, wide, small = {}, 0, block.expanded, block.squeezed
    if wide != block.inputs:
        result |= {f"{path}.0.0.weight": (wide, block.inputs, 1, 1), **norm(f"{path}.0.1", wide)}
        index = 1
    result |= {f"{path}.{index}.0.weight": (wide, 1, block.kernel, block.kernel), **norm(f"{path}.{index}.1", wide)}
    index += 1
    if small:
        result |= {f"{path}.{index}.fc1.weight": (small, wide, 1, 1), f"{path}.{index}.fc1.bias": (small,)}
        result |= {f"{path}.{index}.fc2.weight": (wide, small, 1, 1), f"{path}.{index}.fc2.bias": (wide,)}
        index += 1
    result |= {f"{path}.{index}.0.weight": (block.outputs, wide, 1, 1), **norm(f"{path}.{index}.1", block.outputs)}
    return result


RESNET = Layout(
    name="torchvision-resnet",
    title="torchvision's ResNet-18/34/50/101/152 (.pth); --drop-head leaves fc out",
    framework="torch",
    expected=classifier,
    head=("fc.",),
    form=form.residual("resnet"),
)
MOBILENET_V3 = Layout(
    name="torchvision-mobilenetv3",
    title="torchvision's MobileNetV3 small and large (.pth); --drop-head leaves the classifier out",
    framework="torch",
    expected=mobilenet_v3,
    head=("classifier.",),
    form=form.mobilenet_v3("torchvision"),
)
