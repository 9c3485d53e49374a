"""torchvision's further mobile networks: MobileNetV2, EfficientNet-B0 to B7, ShuffleNetV2."""

from common.networks.mobile_layers import EFFICIENT, SHUFFLE_UNITS, SHUFFLE_WIDTHS, efficientnet, mobilenet_v2
from convert.layouts import form
from convert.layouts.layout import Layout, Shapes
from convert.layouts.residual import norm


def _unit(path: str, inputs: int, outputs: int, kernel: int) -> dict[str, tuple[int, ...]]:
    """Return a convolution and its BatchNorm; ``inputs`` are those of a group."""
    return {f"{path}.0.weight": (outputs, inputs, kernel, kernel), **norm(f"{path}.1", outputs)}


def _linear(path: str, classes: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{path}.weight": (classes, inputs), f"{path}.bias": (classes,)}


def mobilenetv2(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return what MobileNetV2 holds; the number of classes is the file's own."""
    stem, blocks, last = mobilenet_v2()
    result = _unit("features.0", 3, stem, 3)
    for number, block in enumerate(blocks, 1):
        path, index = f"features.{number}.conv", 0
        if block.expanded != block.inputs:
            result |= _unit(f"{path}.0", block.inputs, block.expanded, 1)
            index = 1
        result |= _unit(f"{path}.{index}", 1, block.expanded, block.kernel)
        result |= {f"{path}.{index + 1}.weight": (block.outputs, block.expanded, 1, 1)}
        result |= norm(f"{path}.{index + 2}", block.outputs)
    result |= _unit(f"features.{len(blocks) + 1}", blocks[-1].outputs, last, 1)
    return {**result, **_linear("classifier.1", (shapes.get("classifier.1.bias") or (1000,))[0], last)}


def efficientnets(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return what EfficientNet holds; variant and number of classes are the file's own."""
    stem, stages, last = efficientnet(EFFICIENT[form.efficient(shapes)])
    result = _unit("features.0", 3, stem, 3)
    for number, stage in enumerate(stages, 1):
        for place, block in enumerate(stage):
            path, index = f"features.{number}.{place}.block", 0
            if block.expanded != block.inputs:
                result |= _unit(f"{path}.0", block.inputs, block.expanded, 1)
                index = 1
            result |= _unit(f"{path}.{index}", 1, block.expanded, block.kernel)
            for leaf, outputs, inputs in (
                ("fc1", block.squeezed, block.expanded),
                ("fc2", block.expanded, block.squeezed),
            ):
                result |= {f"{path}.{index + 1}.{leaf}.weight": (outputs, inputs, 1, 1)}
                result |= {f"{path}.{index + 1}.{leaf}.bias": (outputs,)}
            result |= _unit(f"{path}.{index + 2}", block.expanded, block.outputs, 1)
    result |= _unit(f"features.{len(stages) + 1}", stages[-1][-1].outputs, last, 1)
    return {**result, **_linear("classifier.1", (shapes.get("classifier.1.bias") or (1000,))[0], last)}


def shufflenetv2(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return what ShuffleNetV2 holds; width and number of classes are the file's own."""
    second = (shapes.get("stage2.0.branch2.0.weight") or (58,))[0] * 2
    stem, *widths, last = next((row for row in SHUFFLE_WIDTHS.values() if row[1] == second), SHUFFLE_WIDTHS["x1_0"])
    result = _unit("conv1", 3, stem, 3)
    for stage, (inputs, outputs, count) in enumerate(zip((stem, *widths), widths, SHUFFLE_UNITS), 2):
        half = outputs // 2
        for index in range(count):
            path = f"stage{stage}.{index}"
            if index == 0:
                result |= {f"{path}.branch1.0.weight": (inputs, 1, 3, 3), **norm(f"{path}.branch1.1", inputs)}
                result |= {f"{path}.branch1.2.weight": (half, inputs, 1, 1), **norm(f"{path}.branch1.3", half)}
            entering = inputs if index == 0 else half
            for number, shape in ((0, (half, entering, 1, 1)), (3, (half, 1, 3, 3)), (5, (half, half, 1, 1))):
                result |= {f"{path}.branch2.{number}.weight": shape, **norm(f"{path}.branch2.{number + 1}", half)}
    result |= _unit("conv5", widths[-1], last, 1)
    return {**result, **_linear("fc", (shapes.get("fc.bias") or (1000,))[0], last)}


MOBILENET_V2 = Layout(
    name="torchvision-mobilenetv2",
    title="torchvision's MobileNetV2 (.pth); --drop-head leaves the classifier out",
    framework="torch",
    expected=mobilenetv2,
    head=("classifier.",),
    form=form.fixed(name="mobilenet_v2"),
)
EFFICIENTNET = Layout(
    name="torchvision-efficientnet",
    title="torchvision's EfficientNet-B0 to B7 (.pth); --drop-head leaves the classifier out",
    framework="torch",
    expected=efficientnets,
    head=("classifier.",),
    form=lambda shapes: {"name": f"efficientnet_{form.efficient(shapes)}"},
)
SHUFFLENET_V2 = Layout(
    name="torchvision-shufflenetv2",
    title="torchvision's ShuffleNetV2 x0.5 to x2.0 (.pth); --drop-head leaves fc out",
    framework="torch",
    expected=shufflenetv2,
    head=("fc.",),
    form=form.shufflenet_v2,
)
