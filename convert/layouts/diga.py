"""DiGA's files: student and teacher, the translator's two halves, and the ImageNet weights that they begin with."""

from convert.layouts import form
from convert.layouts.layout import Layout, Shapes
from convert.layouts.residual import backbone, norm, with_bias

_STEM = (("layer0.0.", "conv1."), ("layer0.1.", "bn1."))
_OLD_HEAD = ("layer5.", "an old classifier of other classes")
# torchvision's numbers of VGG-19's convolutions up to relu5_1, by the slice that holds them
_SLICES = {1: (0,), 2: (2, 5), 3: (7, 10), 4: (12, 14, 16, 19), 5: (21, 23, 25, 28)}
_BACK = ("enc_t.", "dec_t2s.")  # of a translator that was trained here; the official code throws them away
_BEYOND = tuple((f"features.{number}.", "behind relu5_1, the last level of the loss") for number in (30, 32, 34))


def _backbone(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return the residual backbone under DiGA's names."""
    plain = {_renamed(name, _STEM): shape for name, shape in shapes.items()}
    return {_renamed(name, tuple((b, a) for a, b in _STEM)): shape for name, shape in backbone(plain).items()}


def _student(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return what DiGA's DeepLabV2 holds; classes and the feature's channels are the file's own."""
    result = _backbone(shapes)
    inputs = result["layer4.0.downsample.0.weight"][0]
    classes, channels = (shapes.get("final.head.1.weight") or (19, 256))[:2]
    for index in range(5):
        side = 1 if index == 0 else 3
        result |= with_bias(f"final.conv2d_list.{index}.0", (channels, inputs, side, side))
        result |= with_bias(f"final.conv2d_list.{index}.1", (channels,))
    wide, excitation = 5 * channels, "final.bottleneck.0.se"
    inner = max(wide // 16, 1)
    result |= with_bias(f"{excitation}.0", (inner, wide)) | with_bias(f"{excitation}.2", (wide, inner))
    result |= with_bias("final.bottleneck.1", (channels, wide, 3, 3)) | with_bias("final.bottleneck.2", (channels,))
    return result | {"final.head.1.weight": (classes, channels, 1, 1)}


def _half(prefix: str, encoder: bool):
    """Return what an encoder or a decoder of the translator holds."""

    def expected(shapes: Shapes) -> dict[str, tuple[int, ...]]:
        first = shapes.get(f"{prefix}model.{0 if encoder else 5}.conv.weight") or ((64, 3) if encoder else (3, 64))
        width = first[0] if encoder else first[1]
        ends = {0: (width, 3, 7, 7), 1: (2 * width, width, 4, 4), 2: (4 * width, 2 * width, 4, 4)}
        if not encoder:
            ends = {2: (2 * width, 4 * width, 5, 5), 4: (width, 2 * width, 5, 5), 5: (3, width, 7, 7)}
        result: dict[str, tuple[int, ...]] = {}
        for number, shape in ends.items():
            result |= with_bias(f"{prefix}model.{number}.conv", shape)
        for block in range(4):
            for step in range(2):
                path = f"{prefix}model.{3 if encoder else 0}.model.{block}.model.{step}.conv"
                result |= with_bias(path, (4 * width, 4 * width, 3, 3))
        return result

    return expected


def _vgg(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return what VGG-19 holds up to relu5_1."""
    width = (shapes.get("slice1.0.weight") or (64,))[0]
    widths = (3, *(width * factor for factor in (1, 1, 2, 2, 4, 4, 4, 4, 8, 8, 8, 8, 8)))
    places = [(part, number) for part, numbers in _SLICES.items() for number in numbers]
    result: dict[str, tuple[int, ...]] = {}
    for (part, number), inputs, outputs in zip(places, widths, widths[1:]):
        result |= with_bias(f"slice{part}.{number}", (outputs, inputs, 3, 3))
    return result


def _renamed(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    return next((new + name.removeprefix(old) for old, new in rules if name.startswith(old)), name)


def _hrnet(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return what HRNetV2 holds; the width of the finest branch is the file's own."""
    prefix = "hrnet."
    width = (shapes.get("hrnet.transition_stage_1_2.0.0.weight") or (48,))[0]
    widths, plain = [width * 2**branch for branch in range(4)], {}
    stem = (shapes.get("hrnet.conv1.weight") or (64,))[0]
    for number, inputs in ((1, 3), (2, stem)):
        plain |= {f"conv{number}.weight": (stem, inputs, 3, 3), **norm(f"bn{number}", stem)}
    for index in range(4):
        plain |= _bottleneck(f"stage1.{index}", stem if index == 0 else 4 * stem, stem, index == 0)
    plain |= _conv_norm("transition_stage_1_2.0", (widths[0], 4 * stem, 3, 3))
    plain |= _conv_norm("transition_stage_1_2.1.0", (widths[1], 4 * stem, 3, 3))
    for stage, modules in ((2, 1), (3, 4), (4, 3)):
        if stage > 2:
            path = f"transition_stage_{stage - 1}_{stage}.{stage - 1}.0"
            plain |= _conv_norm(path, (widths[stage - 1], widths[stage - 2], 3, 3))
        for module in range(modules):
            plain |= _exchange(f"stage{stage}.{module}", widths[:stage])
    return {prefix + name: shape for name, shape in plain.items()}


def _bottleneck(path: str, inputs: int, planes: int, shortcut: bool) -> dict[str, tuple[int, ...]]:
    result: dict[str, tuple[int, ...]] = {}
    for number, shape in enumerate(((planes, inputs, 1, 1), (planes, planes, 3, 3), (4 * planes, planes, 1, 1)), 1):
        result |= {f"{path}.conv{number}.weight": shape, **norm(f"{path}.bn{number}", shape[0])}
    return result | (_conv_norm(f"{path}.downsample", (4 * planes, inputs, 1, 1)) if shortcut else {})


def _exchange(path: str, widths: list[int]) -> dict[str, tuple[int, ...]]:
    """Return what an exchange module holds: four basic blocks a branch, and the layers between the branches."""
    result: dict[str, tuple[int, ...]] = {}
    for branch, width in enumerate(widths):
        for block in range(4):
            for number in (1, 2):
                inner = f"{path}.branches.{branch}.{block}"
                result |= {f"{inner}.conv{number}.weight": (width, width, 3, 3), **norm(f"{inner}.bn{number}", width)}
    for i, outputs in enumerate(widths):
        for j, inputs in enumerate(widths):
            inner = f"{path}.fuse_layers.{i}.{j}"
            if j > i:
                result |= _conv_norm(inner, (outputs, inputs, 1, 1))
            for step in range(i - j):
                result |= _conv_norm(f"{inner}.{step}", (outputs if step == i - j - 1 else inputs, inputs, 3, 3))
    return result


def _ocr(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return what HRNet with the OCR head holds; its channels and classes are the file's own."""
    result, head = _hrnet(shapes), "ocrnet."
    inputs = sum(shape[0] for shape in _branches(result))
    classes, channels = (shapes.get(f"{head}segmentation_classes.0.weight") or (19, 512))[:2]
    keys = (shapes.get(f"{head}value.0.weight") or (256,))[0]
    result |= with_bias(f"{head}pixel_representations.0", (channels, inputs, 3, 3))
    result |= norm(f"{head}pixel_representations.1", channels)
    result |= with_bias(f"{head}soft_object_regions.0", (inputs, inputs, 1, 1))
    result |= norm(f"{head}soft_object_regions.1", inputs)
    result |= with_bias(f"{head}soft_object_regions.3", (classes, inputs, 1, 1))
    for name in ("pixel_rep", "obj_reg_rep"):
        path = f"{head}pixel_region_relations.{name}"
        result |= _conv_norm(path, (keys, channels, 1, 1)) | {f"{path}.3.weight": (keys, keys, 1, 1)}
        result |= norm(f"{path}.4", keys)
    result |= _conv_norm(f"{head}value", (keys, channels, 1, 1)) | _conv_norm(f"{head}ocr_up", (channels, keys, 1, 1))
    result |= _conv_norm(f"{head}augmented_rep", (channels, 2 * channels, 1, 1))
    return result | with_bias(f"{head}segmentation_classes.0", (classes, channels, 1, 1))


def _branches(shapes: Shapes) -> list[tuple[int, ...]]:
    return [shapes[f"hrnet.stage4.0.branches.{branch}.0.conv1.weight"] for branch in range(4)]


def _conv_norm(path: str, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {f"{path}.0.weight": shape, **norm(f"{path}.1", shape[0])}


DIGA = Layout(
    name="diga",
    title="DiGA's student.pth and teacher.pth, DeepLabV2-ResNet101 (.pth, 653 keys)",
    framework="torch",
    expected=_student,
    form=form.diga,
)
INIT = Layout(
    name="diga-init",
    title="Caffe ImageNet ResNet-101, DeepLab_resnet_pretrained_*.pth, for DiGA's network",
    framework="torch",
    expected=_backbone,
    prefixes=("module.", "Scale."),
    rules=tuple((old, new) for new, old in _STEM),
    foreign=(_OLD_HEAD,),
    form=form.diga,
)
SEMI = Layout(
    name="diga-semi",
    title="DiGA's semi-supervised student.pth and teacher.pth, HRNet with OCR (.pth, 1890 keys)",
    framework="torch",
    expected=_ocr,
    form=form.hrnet_ocr,
)
SEMI_INIT = Layout(
    name="diga-hrnet-init",
    title="ImageNet HRNetV2, hrnetv2_w48_imagenet_pretrained.pth, for DiGA's semi-supervised network",
    framework="torch",
    expected=_hrnet,
    rules=(
        ("layer1.", "hrnet.stage1."),
        *((f"transition{k}.", f"hrnet.transition_stage_{k}_{k + 1}.") for k in (1, 2, 3)),
        ("", "hrnet."),
    ),
    foreign=tuple(
        (name, "part of the ImageNet classifier")
        for name in ("incre_modules.", "downsamp_modules.", "final_layer.", "classifier.")
    ),
    form=form.hrnet_ocr,
)
ENCODER = Layout(
    name="diga-encoder",
    title="the encoder of DiGA's translator, enc_s.pth (22 keys)",
    framework="torch",
    expected=_half("enc_s.", encoder=True),
    rules=(("model.", "enc_s.model."),),
    others=("dec_s2t.", *_BACK),
)
DECODER = Layout(
    name="diga-decoder",
    title="the decoder of DiGA's translator, dec_s2t.pth (22 keys)",
    framework="torch",
    expected=_half("dec_s2t.", encoder=False),
    rules=(("model.", "dec_s2t.model."),),
    others=("enc_s.", *_BACK),
)
VGG19 = Layout(
    name="vgg19-features",
    title="torchvision's VGG-19 (.pth), up to relu5_1, for the perceptual loss of DiGA's translator",
    framework="torch",
    expected=_vgg,
    rules=tuple((f"features.{n}.", f"slice{part}.{n}.") for part, numbers in _SLICES.items() for n in numbers),
    foreign=(("classifier.", "an ImageNet classifier"), *_BEYOND),
)
