"""Names and shapes of residual networks and of DeepLabV2 upon them, read off the file's own numbers."""

from convert.layouts.layout import COUNTER, Shapes, numbered

_DEPTHS = {(1, 1, 1, 1): (1,), (2, 2, 2, 2): (1,), (3, 4, 6, 3): (1, 4), (3, 4, 23, 3): (4,), (3, 8, 36, 3): (4,)}
_STAGES = (1, 2, 3, 4)


def with_bias(path: str, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Return a convolution, a linear layer or a norm without statistics: its weight and its bias."""
    return {f"{path}.weight": shape, f"{path}.bias": shape[:1]}


def norm(path: str, channels: int) -> dict[str, tuple[int, ...]]:
    """Return the members of a BatchNorm."""
    vector = (channels,)
    members = {"weight": vector, "bias": vector, "running_mean": vector, "running_var": vector, COUNTER: ()}
    return {f"{path}.{leaf}": shape for leaf, shape in members.items()}


def backbone(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return what a residual network of the file's depth and width holds, without classifier.

    Args:
        shapes: Our names of the file; the number of blocks, the width and the kind of block are read from them.
    Returns:
        Name -> shape, in PyTorch's order; that of ResNet-101 when the blocks make no known depth.
    """
    counts = tuple(numbered(shapes, f"layer{stage}.") for stage in _STAGES)
    wide = "layer1.0.conv3.weight" in shapes
    if (4 if wide else 1) not in _DEPTHS.get(counts, ()):
        counts, wide = (3, 4, 23, 3), True
    width = (shapes.get("conv1.weight") or (64,))[0]
    form = (*inner(shapes, width), 4 * width) if wide else (width, width, width)
    result = {"conv1.weight": (width, 3, 7, 7), **norm("bn1", width)}
    inputs = width
    for stage, count in enumerate(counts, 1):
        planes = width * 2 ** (stage - 1)
        for index in range(count):
            channels = tuple(one * planes // width for one in form)
            result |= _block(f"layer{stage}.{index}", inputs, channels, wide, index == 0 and (stage > 1 or wide))
            inputs = planes * (4 if wide else 1)
    return result


def deeplab(shapes: Shapes, aux: bool) -> dict[str, tuple[int, ...]]:
    """Return what DeepLabV2 on a residual network holds; the number of classes is read from the main classifier."""
    result = backbone(shapes)
    outputs = result["layer4.0.downsample.0.weight"][0]
    classes = (shapes.get("layer6.conv2d_list.0.bias") or (19,))[0]
    for path, inputs in (("layer5", outputs // 2), ("layer6", outputs)) if aux else (("layer6", outputs),):
        for index in range(4):
            result[f"{path}.conv2d_list.{index}.weight"] = (classes, inputs, 3, 3)
            result[f"{path}.conv2d_list.{index}.bias"] = (classes,)
    return result


def classifier(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return what an ImageNet residual network holds, with its classifier ``fc``."""
    result = backbone(shapes)
    classes = (shapes.get("fc.bias") or (1000,))[0]
    return {**result, "fc.weight": (classes, result["layer4.0.downsample.0.weight"][0]), "fc.bias": (classes,)}


def depth(shapes: Shapes) -> int:
    """Return the number of layers of a file's residual network: the convolutions of its blocks and two more."""
    convolutions = 3 if "layer1.0.conv3.weight" in shapes else 2
    return convolutions * sum(numbered(shapes, f"layer{stage}.") for stage in _STAGES) + 2


def inner(shapes: Shapes, width: int) -> tuple[int, int]:
    """Return the channels inside the first bottleneck, and those that a channel of its 3x3 convolution sees.

    They are ``width`` but for ResNeXt, which has more inside and groups them.
    """
    shape = shapes.get("layer1.0.conv2.weight") or ()
    return (shape[0], shape[1]) if len(shape) == 4 and shape[0] * shape[1] else (width, width)


def _block(
    path: str, inputs: int, channels: tuple[int, int, int], wide: bool, shortcut: bool
) -> dict[str, tuple[int, ...]]:
    """Return what a block holds that has these channels inside, seen by each of its 3x3 convolution, and leaving."""
    inner, seen, outputs = channels
    if wide:
        convolutions = [(inner, inputs, 1, 1), (inner, seen, 3, 3), (outputs, inner, 1, 1)]
    else:
        convolutions = [(inner, inputs, 3, 3), (inner, inner, 3, 3)]
    result: dict[str, tuple[int, ...]] = {}
    for number, shape in enumerate(convolutions, 1):
        result |= {f"{path}.conv{number}.weight": shape, **norm(f"{path}.bn{number}", shape[0])}
    if shortcut:
        result |= {f"{path}.downsample.0.weight": (outputs, inputs, 1, 1), **norm(f"{path}.downsample.1", outputs)}
    return result
