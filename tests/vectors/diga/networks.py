"""Network vectors of DiGA: official outputs in evaluation mode, and key manifests. Everything is read from the file."""

import re
from collections.abc import Iterator
from importlib import import_module

import numpy as np

from common.names import translate
from common.networks.deeplabv2_se import DeepLabV2SEConfig
from common.networks.hrnet_ocr import HRNetOCRConfig
from common.networks.mit import DEPTHS, MitConfig
from common.networks.residual_layers import DEPTHS as RESIDUAL_DEPTHS
from tests.twins import Twin, twin
from tests.vectors import Check, Vector

TOL = 1e-4


def images_of(side: Twin, array: np.ndarray):
    """Return the network input of uint8 images (N, 3, H, W)."""
    return side.tensor(array.astype(np.float32) / 128 - 1)


def filled(side: Twin, network, prefix: str = ""):
    """Give a network the reference weights of its canonical names; return it in evaluation mode."""
    side.fill(network, "torch", prefix)
    side.training.set_mode(network, False)
    return network


def compare(vector: Vector, side: Twin, outputs: dict) -> Iterator[Check]:
    """Compare every stored array with the output of its name; ``_cK`` keeps channels ::K, ``_sK`` rows and columns."""
    for name, want in vector.arrays.items():
        match = re.fullmatch(r"(.+?)(?:_c(k|\d+))?(?:_s(\d+))?", name)
        if match[1] not in outputs:
            continue
        got = side.numpy(outputs[match[1]])
        apart = got.shape[1] // want.shape[1] if match[2] == "k" else int(match[2] or 1)
        rows = int(match[3] or 1) if got.shape[2] == want.shape[2] or match[3] else -(-got.shape[2] // want.shape[2])
        yield Check(name, got[:, ::apart, ::rows, ::rows], want, TOL)


def deeplab(vector: Vector, backend) -> Iterator[Check]:
    """DiGA's DeepLabV2: logits, feature, stages 2 and 4; or its manifest."""
    side = twin(backend.name)
    make = import_module(f"{side.package}.nets.deeplabv2_se").DeepLabV2SE
    if vector.path.suffix == ".json":
        shapes = {name: shape for name, shape, _ in vector.content}
        config = DeepLabV2SEConfig(depth=_depth(shapes), width=shapes["layer0.0.weight"][0])
        yield from manifest(vector, side, make(config, shapes["final.head.1.weight"][0]))
        return
    depth = int(vector.params.get("depth", 101)) if isinstance(vector.params, dict) else 101
    network = filled(side, make(DeepLabV2SEConfig(depth=depth), vector.arrays["logits"].shape[1]))
    names = ("layer2", "layer4", "feat", "logits")
    yield from compare(vector, side, dict(zip(names, network(images_of(side, vector.arrays["x_u8"])))))


def hrnet_ocr(vector: Vector, backend) -> Iterator[Check]:
    """HRNet with the OCR head: backbone, soft regions, feature, logits; or its manifest."""
    side = twin(backend.name)
    make = import_module(f"{side.package}.nets.hrnet_ocr").HRNetOCR
    if vector.path.suffix == ".json":
        shapes = {name: shape for name, shape, _ in vector.content}
        config = HRNetOCRConfig(width=shapes["hrnet.stage2.0.branches.0.0.conv1.weight"][0])
        yield from manifest(vector, side, make(config, shapes["ocrnet.segmentation_classes.0.weight"][0]))
        return
    channels = vector.shapes["backbone"][1] if "backbone" in vector.shapes else 720
    network = make(HRNetOCRConfig(width=channels // 15), vector.arrays["logits"].shape[1])
    names = ("backbone", "soft_regions", "feat", "logits")
    outputs = filled(side, network)(images_of(side, vector.arrays["x_u8"]))
    yield from compare(vector, side, dict(zip(names, outputs)))


def translator_nets(vector: Vector, backend) -> Iterator[Check]:
    """Encoder, decoder behind it, and the discriminator's three scales."""
    side = twin(backend.name)
    module = import_module(f"{side.package}.nets.translator")
    images = images_of(side, vector.arrays["x_u8"])
    content = filled(side, module.ImgEncoder())(images)
    judged = filled(side, module.Discriminator())(images)
    outputs = {"enc": content, "dec_out": filled(side, module.ImgDecoder())(content)}
    yield from compare(vector, side, outputs | {f"dis_{scale}": one for scale, one in enumerate(judged)})


def translator_manifest(vector: Vector, backend) -> Iterator[Check]:
    """Names of the translator's networks."""
    side = twin(backend.name)
    names = {"encoder": "ImgEncoder", "decoder": "ImgDecoder", "discriminator": "Discriminator"}
    make = getattr(import_module(f"{side.package}.nets.translator"), names[vector.stem.removeprefix("translator_")])
    yield from manifest(vector, side, make())


def mit(vector: Vector, backend) -> Iterator[Check]:
    """Mix Transformer with both heads: stages, what the heads fuse, logits; or the manifest of one of the three."""
    side = twin(backend.name)
    encoder = import_module(f"{side.package}.nets.mit").MixTransformer
    heads = import_module(f"{side.package}.nets.mit_heads")
    config = MitConfig(variant=re.match(r"mit_(b\d)", vector.stem)[1])
    if vector.path.suffix == ".json":
        shapes = {name: shape for name, shape, _ in vector.content}
        name, make, classifier = next(
            (one for one in _HEADS.values() if one[2] in shapes), (None, "MixTransformer", None)
        )
        if name is None:
            assert config.stage_depths == DEPTHS[config.variant]
            yield from manifest(vector, side, encoder(config))
        else:
            channels = MitConfig(head=name).decoder_channels
            network = getattr(heads, make)(config.channels, channels, shapes[classifier][0], 0.1)
            yield from manifest(vector, side, network)
        return
    stages = filled(side, encoder(config))(images_of(side, vector.arrays["x_u8"]))
    outputs = {f"stage{number}": one for number, one in enumerate(stages, 1)}
    for short, (name, make, _) in _HEADS.items():
        if f"{short}_logits" not in vector.arrays:
            continue
        classes = vector.arrays[f"{short}_logits"].shape[1]
        head = getattr(heads, make)(config.channels, MitConfig(head=name).decoder_channels, classes, 0.1)
        joined, _, logits = filled(side, head)(stages)
        outputs |= {f"{short}_logits": logits, f"{short}_fused_input": joined}
    yield from compare(vector, side, outputs)


_HEADS = {
    "segformer": ("segformer", "SegFormerHead", "linear_pred.weight"),
    "daformer": ("daformer", "DAFormerHead", "conv_seg.weight"),
}


def manifest(vector: Vector, side: Twin, network) -> Iterator[Check]:
    """Compare names and shapes with the official ones; counters of batches, which MindSpore lacks, are left out."""
    own = side.weights.get_weights(network)
    kinds = side.weights.layer_kinds(network)
    names = translate(own, kinds, "torch") if side.name == "mindspore" else dict(zip(own, own))
    counters = ".num_batches_tracked"
    got = sorted((new, list(own[old].shape)) for old, new in names.items() if not new.endswith(counters))
    want = sorted((name, list(shape)) for name, shape, _ in vector.content if not name.endswith(counters))
    yield Check("names, shapes", np.array(list(map(str, got))), np.array(list(map(str, want))), kind="exact")


def _depth(shapes: dict[str, list[int]]) -> int:
    """Read the depth off a manifest's names."""
    blocks = tuple(
        1 + max(int(match[1]) for name in shapes if (match := re.match(rf"layer{stage}\.(\d+)\.", name)))
        for stage in (1, 2, 3, 4)
    )
    factor = 4 if "layer1.0.conv3.weight" in shapes else 1
    return next(depth for depth, layout in RESIDUAL_DEPTHS.items() if layout == (factor, blocks))


RUNNERS = {
    "deeplab": deeplab,
    "hrnet_ocr": hrnet_ocr,
    "translator_nets": translator_nets,
    "translator_": translator_manifest,
    "mit_": mit,
}
