"""IAST's G and M: DeepLabV2 with one classifier on a torchvision-style ResNet; and the warm-up's discriminator."""

from convert.layouts import form
from convert.layouts.layout import Layout, Shapes
from convert.layouts.residual import deeplab, norm

_INSTANCE = ".ibnc.IN.weight"
_DISCRIMINATOR = "discriminators.Origin-Predictor."


def _expected(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return what the network holds; with IBN, half of each first norm is an instance norm."""
    result = deeplab(shapes, aux=False)
    for block in _mixed(shapes):
        planes = result[f"{block}.bn1.weight"][0]
        result = {name: shape for name, shape in result.items() if not name.startswith(f"{block}.bn1.")}
        half = planes // 2
        result |= {f"{block}.ibnc.IN.weight": (half,), f"{block}.ibnc.IN.bias": (half,)}
        result |= norm(f"{block}.ibnc.BN", planes - half)
    return result


def _mixed(shapes: Shapes) -> list[str]:
    """Return the blocks that have IBN."""
    return [name.removesuffix(_INSTANCE) for name in shapes if name.endswith(_INSTANCE)]


def _unused(shapes: Shapes) -> dict[str, str]:
    """Return the first BatchNorm of blocks with IBN, which the official code keeps and never calls."""
    blocks = tuple(f"{block}.bn1." for block in _mixed(shapes))
    return {name: "replaced by IBN; the official code never calls it" for name in shapes if name.startswith(blocks)}


def _restored(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return what the official code wants in a file and never uses."""
    result = {
        "backbone.fc.weight": (1000, shapes["layer4.0.downsample.0.weight"][0]),
        "backbone.fc.bias": (1000,),
    }
    for block in _mixed(shapes):
        result |= norm(f"backbone.{block}.bn1", shapes[f"{block}.conv1.weight"][0])
    return result


def _discriminator(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return what the discriminator holds; width and classes are the file's own."""
    width, classes = (shapes.get("conv1.weight") or (64, 19))[:2]
    result: dict[str, tuple[int, ...]] = {"conv1.weight": (width, classes, 3, 3), "conv1.bias": (width,)}
    for number in (2, 3, 4):
        inputs, outputs = width * 2 ** (number - 2), width * 2 ** (number - 1)
        result |= {f"conv{number}.weight": (outputs, inputs, 4, 4), f"conv{number}.bias": (outputs,)}
    return result | {"classifier.weight": (1, 8 * width, 4, 4), "classifier.bias": (1,)}


IAST = Layout(
    name="iast",
    title="IAST's G and M (.pth, 634 keys, 644 with the warm-up's discriminator)",
    framework="torch",
    expected=_expected,
    rules=(("backbone.", ""), ("decoder.aspp.", "layer6.")),
    foreign=(
        ("backbone.fc.", "an ImageNet classifier that IAST never uses"),
        ("discriminators.", "the discriminator of the warm-up; import it with the layout iast-discriminator"),
    ),
    unused=_unused,
    restored=_restored,
    form=form.residual("deeplabv2", stride_in="conv2", maxpool="floor", aux=False),
)
DISCRIMINATOR = Layout(
    name="iast-discriminator",
    title="the discriminator in a file of IAST's warm-up (.pth, 10 of 644 keys)",
    framework="torch",
    expected=_discriminator,
    rules=((_DISCRIMINATOR, ""),),
    foreign=(
        ("backbone.", "the segmentation network; import it with the layout iast"),
        ("decoder.", "the segmentation network; import it with the layout iast"),
    ),
)
