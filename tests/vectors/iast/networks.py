"""Networks of IAST: the segmentation network with and without IBN, the discriminator, dormant blocks, key manifests."""

import re
from collections.abc import Iterator

import numpy as np

from common.networks.deeplabv2 import DeepLabV2Config
from common.networks.output_discriminator import OutputDiscriminatorConfig
from common.networks.residual_layers import DEPTHS
from convert.layouts.iast import DISCRIMINATOR, IAST
from convert.layouts.layout import Layout
from tests.reference.fill import fill
from tests.twins import Twin, twin
from tests.vectors import Check, Vector
from tests.vectors.iast.cases import cases_of, decoded, imagenet

LOGITS, BLOCK, ADVERSARIAL = 1e-4, 1e-5, 1e-3
PREDICTED = 5e-3  # share of pixels
KEPT = 16  # channels that the vectors keep of every feature map


def segmentation_config(depth: int, ibn: bool = False, frozen: bool = True, **options) -> DeepLabV2Config:
    """Return IAST's form of the network."""
    form = {"stride_in": "conv2", "maxpool": "floor", "aux": False, "freeze_bn_affine": frozen}
    return DeepLabV2Config(depth=depth, ibn=ibn, **form, **options)


def give_official_weights(side: Twin, network, layout: Layout, damped: float = 1.0) -> dict[str, str]:
    """Fill a network by its official keys; return own name -> official key.

    Args:
        side: The twin.
        network: Changed in place.
        layout: Tells the official keys.
        damped: Factor of every ``bn3.weight``.
    """
    weights, canonical = side.weights.get_weights(network), side.names(network)
    names = layout.official({new: weights[own].shape for own, new in canonical.items()})
    keys = {own: names[new] for own, new in canonical.items()}
    filled = {own: fill(key, weights[own].shape) for own, key in keys.items()}
    for own, key in keys.items():
        if key.endswith("bn3.weight"):
            filled[own] = filled[own] * np.float32(damped)
    side.weights.set_weights(network, filled)
    return keys


def network_input(image: np.ndarray) -> np.ndarray:
    """Return (N, 3, H, W) float32 of (N, H, W, 3) uint8 RGB."""
    config = imagenet()
    scaled = (image.astype(np.float32) * np.float32(config.scale) - np.float32(config.mean)) / np.float32(config.std)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def segmentation(vector: Vector, backend) -> Iterator[Check]:
    """Backbone outputs, decoder output, full logits and labels in evaluation mode; depth and IBN by the file's name."""
    side, arrays = twin(backend.name), vector.arrays
    kind, depth = re.search(r"_(rx?)(\d+)", vector.stem).groups()
    options = {"groups": 32, "group_width": {"50": 4, "101": 8}[depth]} if kind == "rx" else {}
    config = segmentation_config(int(depth), "ibn" in vector.stem, **options)
    network = side.nets.build_network(config, arrays["decoder"].shape[1])
    give_official_weights(side, network, IAST)
    images = network_input(arrays["image"])
    checksum = np.array([images.sum(dtype=np.float64), np.abs(images).sum(dtype=np.float64)])
    yield Check("input", checksum, arrays["input_checksum"], BLOCK)
    inputs = side.tensor(images)
    features = [network.stem(inputs), *network.features(inputs)[1:]]
    for number, feature in enumerate(features, 1):
        yield Check(f"feature {number} shape", np.array(feature.shape), arrays[f"feat{number}_shape"], kind="exact")
        got, want = side.numpy(feature), arrays[f"feat{number}_sub"]
        yield _close(f"feature {number}", got[:, :: got.shape[1] // want.shape[1], ::2, ::2], want)
    logits = network(inputs)[-1]
    yield _close("decoder", side.numpy(logits), arrays["decoder"])
    size = arrays["image"].shape[1:3]
    whole = side.losses.upsample(logits, tuple(size))
    full = side.numpy(whole)
    if "logits_shape" in arrays:
        yield Check("logits shape", np.array(full.shape), arrays["logits_shape"], kind="exact")
    yield _close("logits", full[:, :, ::5, ::7], arrays["logits_sub"])
    label = side.numpy(side.predict.label_map(whole))
    yield Check("labels", (label != arrays["pred"]).mean(), 0.0, PREDICTED, "absolute")


def _close(name: str, got: np.ndarray, want: np.ndarray) -> Check:
    """Compare with atol 1e-4 + rtol 1e-4; the error is in units of what is allowed."""
    if got.shape != want.shape:
        return Check(name, got, want)
    allowed = LOGITS + LOGITS * np.abs(want)
    return Check(name, got / allowed, want / allowed, 1.0, "absolute")


def discriminator(vector: Vector, backend) -> Iterator[Check]:
    """Outputs on both domains, its loss with gradients, and the adversarial gradient in the target's logits."""
    side, arrays = twin(backend.name), vector.arrays
    losses = side.module("adversarial")
    network = side.nets.build_network(OutputDiscriminatorConfig(), arrays["s_logits"].shape[1])
    keys = give_official_weights(side, network, DISCRIMINATOR)
    maps = [_softmax(arrays[name]) for name in ("s_logits", "t_logits")]
    outputs = [network(side.tensor(one)) for one in maps]
    for name, output in zip(("d_source", "d_target"), outputs):
        yield Check(name, side.numpy(output), arrays[name], BLOCK, "absolute")
    yield Check("D loss", side.numpy(losses.discriminator_loss(*outputs)), arrays["d_loss"], BLOCK, "absolute")

    def loss(network, source, target):
        return losses.discriminator_loss(network(source), network(target))

    gradients = side.parameter_gradients(network, loss, *maps)
    for own, gradient in gradients.items():
        key = f"grad__{keys[own].removeprefix('discriminators.Origin-Predictor.')}"
        want = arrays[key]
        yield Check(key, gradient[tuple(slice(0, n) for n in want.shape)], want, ADVERSARIAL)

    def adversarial(logits):
        return (losses.fooling_loss(network(side.module("losses").softmax(logits))),)

    (value,), (gradient,) = side.gradients(adversarial, arrays["t_logits"])
    yield Check("adversarial loss", value, arrays["adv"], BLOCK, "absolute")
    yield Check("adversarial gradient", gradient[:, :, ::3, ::4], arrays["adv_grad_t_logits"], ADVERSARIAL)


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def blocks(vector: Vector, backend) -> Iterator[Check]:
    """The dormant blocks, each with the weights that belong to its short keys."""
    side = twin(backend.name)
    for case, arrays in cases_of(vector).items():
        shapes = {name: tuple(shape) for name, shape in decoded(arrays["keys"])}
        kind = next(known for known in sorted(BLOCKS, key=len, reverse=True) if case.startswith(known))
        network = BLOCKS[kind](side, arrays, shapes)
        side.fill(network, "torch")
        side.training.set_mode(network, "train" in case)
        size = [tuple(int(one) for one in arrays["target_hw"])] if "target_hw" in arrays else []
        yield Check(case, side.numpy(network(side.tensor(arrays["x"]), *size)), arrays["y"], BLOCK, "absolute")
        after = side.canonical(side.weights.get_weights(network), network)
        for name in arrays.keys() & after.keys():
            yield Check(f"{case} {name}", after[name], arrays[name], BLOCK, "absolute")


def _ibn(side: Twin, arrays: dict, shapes: dict):
    return side.module("nets.norms").IBN(arrays["x"].shape[1])


def _scse(side: Twin, arrays: dict, shapes: dict):
    channels, reduced = arrays["x"].shape[1], shapes["channel_excitation.0.bias"][0]
    return side.module("nets.blocks").SpatialChannelExcitation(channels, channels // reduced)


def _ppm(side: Twin, arrays: dict, shapes: dict):
    return side.module("nets.blocks").PyramidPooling(arrays["x"].shape[1], shapes["features.0.1.weight"][0])


def _snconv(side: Twin, arrays: dict, shapes: dict):
    outputs, inputs, kernel, _ = shapes["weight"]
    ends = [(arrays["x"].shape[axis], arrays["y"].shape[axis]) for axis in (2, 3)]
    forms = [(padding, stride) for padding in (1, 0, 2, 3) for stride in (1, 2, 3, 4)]
    fits = ((p, s) for p, s in forms if all((have + 2 * p - kernel) // s + 1 == made for have, made in ends))
    padding, stride = next(fits)
    return side.module("nets.blocks").SpectralNormConv(inputs, outputs, kernel, stride, padding)


def _base_predictor(side: Twin, arrays: dict, shapes: dict):
    return side.module("nets.blocks").BasePredictor(arrays["x"].shape[1], shapes["conv1_1.bias"][0])


BLOCKS = {"ibn": _ibn, "scse": _scse, "ppm": _ppm, "snconv": _snconv, "base_predictor": _base_predictor}


def manifest(vector: Vector, backend) -> Iterator[Check]:
    """Official keys, shapes and types of a network as the export writes them, with the discriminator where it is."""
    side = twin(backend.name)
    want = {name.removeprefix("module."): (tuple(shape), kind) for name, shape, kind in vector.content}
    blocks = {found.groups() for name in want if (found := re.match(r"backbone\.layer(\d)\.(\d+)\.", name))}
    counts = [sum(stage == str(number) for stage, _ in blocks) for number in (1, 2, 3, 4)]
    depth = next(depth for depth, (factor, own) in DEPTHS.items() if factor == 4 and list(own) == counts)
    classes = want["decoder.aspp.conv2d_list.0.bias"][0][0]
    inner, seen = want["backbone.layer1.0.conv2.weight"][0][:2]
    options = {"groups": inner // seen, "group_width": seen}  # 1 of 64 in a plain ResNet
    config = segmentation_config(depth, any(".ibnc." in name for name in want), **options)
    got = _exported(side, side.nets.build_network(config, classes), IAST)
    if any(name.startswith("discriminators.") for name in want):
        got |= _exported(side, side.nets.build_network(OutputDiscriminatorConfig(), classes), DISCRIMINATOR)
    text = [np.array(sorted(f"{name} {entry}" for name, entry in one.items())) for one in (got, want)]
    yield Check("keys, shapes, types", *text, kind="exact")


def _exported(side: Twin, network, layout: Layout) -> dict[str, tuple]:
    """Return official key -> (shape, type); PyTorch's counters, which MindSpore lacks, are added as the export does."""
    from common.names import added, split

    kinds = side.weights.layer_kinds(network)
    weights = {side.canonical_name(own, kinds): v for own, v in side.weights.get_weights(network).items()}
    entries = {name: (value.shape, str(value.dtype)) for name, value in weights.items()}
    entries |= {name: ((), "int64") for name in added(kinds, entries) if split(name)[0]}
    shapes = {name: shape for name, (shape, _) in entries.items()}
    names = layout.official(shapes)
    restored = {name: (shape, "int64" if shape == () else "float32") for name, shape in layout.restored(shapes).items()}
    return {names[name]: entry for name, entry in entries.items()} | restored


RUNNERS = {
    "net_deeplabv2": segmentation,
    "net_discriminator": discriminator,
    "ops_optional": blocks,
    "deeplabv2_r": manifest,
}
