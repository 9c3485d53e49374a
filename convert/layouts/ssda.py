"""Checkpoints of S3D, SSDA_MME and APE: a backbone G and a classifier F1; torchvision's nets, their first weights.

S3D keeps both in one file, beside its optimizers and the next step; MME and APE write a file for each: ``ssda`` takes
both, and ``G`` alone loads with ``network.may_miss: [head.]``. The unused ImageNet classifier of a ResNet's G stays
(``imagenet_fc``).
"""

from collections.abc import Mapping

from convert.layouts import form
from convert.layouts.layout import Layout, Shapes
from convert.layouts.residual import backbone, with_bias

_IMAGENET = 1000
_ALEXNET = ((3, 1, 11), (1, 3, 5), (3, 6, 3), (6, 4, 3), (4, 4, 3))  # inputs, outputs in widths, kernel
_PLACES = (0, 3, 6, 8, 10)
_VGG = ((0, 1), (2, 1), (5, 2), (7, 2), (10, 4), (12, 4), (14, 4), (17, 8), (19, 8), (21, 8), (24, 8), (26, 8), (28, 8))


def generator(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return what G holds: a ResNet with ImageNet's classifier, AlexNet or VGG-16, as the file's names say."""
    if "features.0.weight" not in shapes:
        result = backbone(shapes)
        wide = result["layer4.0.conv2.weight"][0] if "layer4.0.conv3.weight" not in result else None
        wide = wide or result["layer4.0.conv3.weight"][0]
        return {**result, **with_bias("fc", (_IMAGENET, wide))}
    return _vgg(shapes) if "features.5.weight" in shapes else _alexnet(shapes)


def whole(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return what G and F1 hold together, under our names."""
    return {**generator(shapes), **classifier(shapes)}


def classifier(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return what F1 holds, under our names: ``fc``, or ``fc1`` and ``fc2``; sizes are the file's own."""
    if "head.fc1.weight" in shapes:
        hidden, features = shapes["head.fc1.weight"]
        classes = (shapes.get("head.fc2.weight") or (0,))[0]
        return {**with_bias("head.fc1", (hidden, features)), "head.fc2.weight": (classes, hidden)}
    return {"head.fc.weight": tuple(shapes.get("head.fc.weight") or (0, 0))}


def _alexnet(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    width, result = (shapes.get("features.0.weight") or (64,))[0], {}
    for place, (inputs, outputs, kernel) in zip(_PLACES, _ALEXNET):
        seen = 3 if place == 0 else inputs * width
        result |= with_bias(f"features.{place}", (outputs * width, seen, kernel, kernel))
    return result | _hidden(shapes, "classifier.classifier1", "classifier.classifier4")


def _vgg(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    width, inputs = shapes["features.0.weight"][0], 3
    result = {"s": (1,), **_hidden(shapes, "classifier.0", "classifier.3")}
    for place, outputs in _VGG:
        result |= with_bias(f"features.{place}", (outputs * width, inputs, 3, 3))
        inputs = outputs * width
    return result


def _hidden(shapes: Shapes, *paths: str) -> dict[str, tuple[int, ...]]:
    """Return two linear layers of one width; the flattened map is the file's own."""
    hidden, flat = tuple(shapes.get(f"{paths[0]}.weight") or (4096, 9216))
    return with_bias(paths[0], (hidden, flat)) | with_bias(paths[1], (hidden, hidden))


def _plain_vgg(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return what VGG-16 as backbone holds; unlike ``_vgg`` it is told by its layers alone."""
    return _vgg({"features.0.weight": (64, 3, 3, 3), **shapes})


def _torchvision_names(shapes: Shapes, way: str) -> Mapping[str, str]:
    """Return torchvision's ``classifier.1`` and ``classifier.4`` as ``classifier.classifier1`` and back."""
    leaves = [f"{number}.{leaf}" for number in (1, 4) for leaf in ("weight", "bias")]
    pairs = {f"classifier.{leaf}": f"classifier.classifier{leaf}" for leaf in leaves}
    table = pairs if way == "import" else {new: old for old, new in pairs.items()}
    return {name: table.get(name, name) for name in shapes}


S3D = Layout(
    name="s3d",
    title="S3D's model_*.pth.tar (G and F1 in one file); its optimizers are left out",
    framework="torch",
    expected=whole,
    prefixes=(),
    rules=(("G.", ""), ("F1.", "head.")),
    head=("head.",),
    sections={"G": "G.", "F1": "F1."},
    form=form.ssda,
)
PAIR = Layout(
    name="ssda",
    title="SSDA_MME's and APE's G_*.pth.tar and, as --beside, F1_*.pth.tar: the whole network",
    framework="torch",
    expected=whole,
    rules=(("F1.", "head."),),
    beside="F1.",
    form=form.ssda,
)
BACKBONE = Layout(
    name="ssda-g",
    title="SSDA_MME's and APE's G_*.pth.tar: the backbone alone",
    framework="torch",
    expected=generator,
    form=form.ssda,
)
HEAD = Layout(
    name="ssda-f1",
    title="SSDA_MME's and APE's F1_*.pth.tar: the classifier alone",
    framework="torch",
    expected=classifier,
    rules=(("", "head."),),
)
ALEXNET = Layout(
    name="torchvision-alexnet",
    title="torchvision's AlexNet (.pth) as backbone of MME, APE and S3D",
    framework="torch",
    expected=_alexnet,
    foreign=(("classifier.6.", "ImageNet's classifier, which these methods replace"),),
    rename=_torchvision_names,
    form=form.ssda,
)
VGG16 = Layout(
    name="torchvision-vgg16",
    title="torchvision's VGG-16 without BatchNorm (.pth) as backbone of MME and APE",
    framework="torch",
    expected=_plain_vgg,
    foreign=(("classifier.6.", "ImageNet's classifier, which these methods replace"),),
    completed={"s": 10.0},
    form=form.ssda,
)
