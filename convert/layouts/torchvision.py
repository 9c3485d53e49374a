"""torchvision's ImageNet weights, the canonical names of our backbones."""

from convert.layouts.layout import Layout, Shapes
from convert.layouts.residual import classifier, norm

# MobileNetV3 (Howard et al., ICCV 2019, tables 1 and 2): kernel, expanded, output channels, squeeze-and-excitation
SMALL = (
    (3, 16, 16, True), (3, 72, 24, False), (3, 88, 24, False), (5, 96, 40, True), (5, 240, 40, True),
    (5, 240, 40, True), (5, 120, 48, True), (5, 144, 48, True), (5, 288, 96, True), (5, 576, 96, True),
    (5, 576, 96, True),
)  # fmt: skip
LARGE = (
    (3, 16, 16, False), (3, 64, 24, False), (3, 72, 24, False), (5, 72, 40, True), (5, 120, 40, True),
    (5, 120, 40, True), (3, 240, 80, False), (3, 200, 80, False), (3, 184, 80, False), (3, 184, 80, False),
    (3, 480, 112, True), (3, 672, 112, True), (5, 672, 160, True), (5, 960, 160, True), (5, 960, 160, True),
)  # fmt: skip
_HIDDEN = {len(SMALL): 1024, len(LARGE): 1280}


def mobilenet_v3(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return what MobileNetV3, small or large as the file's own names say, holds."""
    blocks = LARGE if f"features.{len(LARGE) + 1}.0.weight" in shapes else SMALL
    result = {"features.0.0.weight": (16, 3, 3, 3), **norm("features.0.1", 16)}
    inputs = 16
    for number, (kernel, wide, outputs, squeeze) in enumerate(blocks, 1):
        path, index = f"features.{number}.block", 0
        if wide != inputs:
            result |= {f"{path}.0.0.weight": (wide, inputs, 1, 1), **norm(f"{path}.0.1", wide)}
            index = 1
        result |= {f"{path}.{index}.0.weight": (wide, 1, kernel, kernel), **norm(f"{path}.{index}.1", wide)}
        index += 1
        if squeeze:
            small = _rounded(wide / 4)
            result |= {f"{path}.{index}.fc1.weight": (small, wide, 1, 1), f"{path}.{index}.fc1.bias": (small,)}
            result |= {f"{path}.{index}.fc2.weight": (wide, small, 1, 1), f"{path}.{index}.fc2.bias": (wide,)}
            index += 1
        result |= {f"{path}.{index}.0.weight": (outputs, wide, 1, 1), **norm(f"{path}.{index}.1", outputs)}
        inputs = outputs
    last, hidden = f"features.{len(blocks) + 1}", _HIDDEN[len(blocks)]
    classes = (shapes.get("classifier.3.bias") or (1000,))[0]
    result |= {f"{last}.0.weight": (6 * inputs, inputs, 1, 1), **norm(f"{last}.1", 6 * inputs)}
    result |= {"classifier.0.weight": (hidden, 6 * inputs), "classifier.0.bias": (hidden,)}
    return {**result, "classifier.3.weight": (classes, hidden), "classifier.3.bias": (classes,)}


def _rounded(value: float) -> int:
    """Round to a multiple of 8, never down by more than a tenth."""
    near = max(8, int(value + 4) // 8 * 8)
    return near + 8 if near < 0.9 * value else near


RESNET = Layout(
    name="torchvision-resnet",
    title="torchvision's ResNet-18/34/50/101/152 (.pth); --drop-head leaves fc out",
    framework="torch",
    expected=classifier,
    head=("fc.",),
)
MOBILENET_V3 = Layout(
    name="torchvision-mobilenetv3",
    title="torchvision's MobileNetV3 small and large (.pth); --drop-head leaves the classifier out",
    framework="torch",
    expected=mobilenet_v3,
    head=("classifier.",),
)
