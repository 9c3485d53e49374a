"""The section ``network`` of a configuration with which imported weights compute what the official network does.

The official forms of one network differ in what no weight shows: pooling, the stride's place, the constants of a norm.
Every function takes our names and shapes of a file.
"""

import json
from collections.abc import Callable, Mapping

from common.networks.mobile_layers import EFFICIENT, SHUFFLE_WIDTHS, efficientnet
from convert.layouts.layout import Shapes, numbered
from convert.layouts.residual import depth, inner

Form = dict[str, object]


def told(form: Mapping[str, object]) -> str:
    """Return a form as ``--set network=...`` takes it."""
    return "{" + ", ".join(f"{key}: {_text(value)}" for key, value in form.items()) + "}"


def fixed(**options: object) -> Callable[[Shapes], Form]:
    """Return what says the same of every file."""
    return lambda shapes: dict(options)


def residual(name: str, **options: object) -> Callable[[Shapes], Form]:
    """Return what says a residual network of a file's depth, width, groups and norms."""

    def form(shapes: Shapes) -> Form:
        width = shapes["conv1.weight"][0]
        result: Form = {"name": name, "depth": depth(shapes)} | ({} if width == 64 else {"width": width})
        channels, seen = inner(shapes, width)
        if seen != channels and depth(shapes) >= 50:
            result |= {"groups": channels // seen, "group_width": seen * 64 // width}
        if any(".ibnc." in key for key in shapes):
            result["ibn"] = True
        return result | options

    return form


def ssda(shapes: Shapes) -> Form:
    """Return that of G and F1 of MME, APE and S3D; G alone leaves the classifier to be drawn."""
    head: Form = {"head": "predictor_deep" if "head.fc1.weight" in shapes else "predictor"}
    if not any(key.startswith("head.") for key in shapes):
        head = {"may_miss": ["head."]}
    if "conv1.weight" in shapes:
        return residual("resnet", maxpool="unpadded", average="fixed7", imagenet_fc=True)(shapes) | head
    return {"name": "vgg16" if "features.5.weight" in shapes else "alexnet"} | head


def mit(shapes: Shapes) -> Form:
    """Return that of a Mix Transformer; the encoder alone leaves the head to be drawn."""
    counts = [numbered(shapes, f"backbone.block{stage}.") for stage in (1, 2, 3, 4)]
    result: Form = {"name": "mit", "depths": counts, "width": shapes["backbone.patch_embed1.proj.weight"][0]}
    for head, last in (("segformer", "decode_head.linear_pred"), ("daformer", "decode_head.conv_seg")):
        if f"{last}.weight" in shapes:
            return result | {"head": head, "head_channels": shapes[f"{last}.weight"][1]}
    return result | {"may_miss": ["decode_head."]}


def mobilenet_v3(norms: str) -> Callable[[Shapes], Form]:
    """Return what says the small or the large one, and whose norms it has."""

    def form(shapes: Shapes) -> Form:
        size = "large" if "features.16.0.weight" in shapes else "small"
        return {"name": "mobilenet_v3", "size": size, "norms": norms}

    return form


def shufflenet_v2(shapes: Shapes) -> Form:
    """Return that of ShuffleNetV2 of a file's width."""
    last = shapes["conv5.0.weight"][:2]
    width = next(name for name, row in SHUFFLE_WIDTHS.items() if (row[-1], row[-2]) == tuple(last))
    return {"name": "shufflenet_v2", "width": width}


def efficient(shapes: Shapes) -> str:
    """Return which EfficientNet a file holds, ``"b0"`` to ``"b7"``, by its blocks and its last convolution."""
    blocks = len({key.rsplit(".block.")[0] for key in shapes if ".block." in key})
    last = (shapes.get("features.8.0.weight") or (0,))[0]
    for variant, compound in EFFICIENT.items():
        _, stages, wide = efficientnet(compound)
        if (sum(map(len, stages)), wide) == (blocks, last):
            return variant
    return "b0"


def diga(shapes: Shapes) -> Form:
    """Return that of DiGA's DeepLabV2; the backbone alone leaves the head to be drawn."""
    plain = {key.replace("layer0.0.", "conv1."): shape for key, shape in shapes.items()}
    result = residual("deeplabv2_se")(plain)
    if "final.head.1.weight" not in shapes:
        return result | {"may_miss": ["final."]}
    channels = shapes["final.head.1.weight"][1]
    return result | ({} if channels == 256 else {"head_channels": channels})


def hrnet_ocr(shapes: Shapes) -> Form:
    """Return that of DiGA's semi-supervised network, which sees BGR; the backbone leaves the head to be drawn."""
    result: Form = {"name": "hrnet_ocr", "width": shapes["hrnet.transition_stage_1_2.0.0.weight"][0]}
    result["reverse_channels"] = True
    return result | ({} if any(key.startswith("ocrnet.") for key in shapes) else {"may_miss": ["ocrnet."]})


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
