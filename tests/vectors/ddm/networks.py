"""Network vectors of DDM: official logits, features, train-mode statistics and key manifests."""

import re
from collections.abc import Iterator

import numpy as np

from common.names import added, to_canonical, translate
from common.networks.deeplabv2 import DeepLabV2Config
from common.networks.residual_layers import DEPTHS
from tests.twins import Twin, twin
from tests.vectors import Check, Vector

MEAN_BGR = np.array((104.00698793, 116.66876762, 122.67891434), np.float32)
FEATURES = ("pool", "layer1", "layer2", "layer3", "layer4")


def official_network(side: Twin, params: dict, classes: int, spelling: str):
    """Build the network of an official implementation with the weights that belong to its keys.

    Args:
        side: Twin that builds it.
        params: Of the vector; may name ``depth`` or the blocks of the stages (``layers``), ``maxpool`` and ``aux``.
        classes: Number of classes.
        spelling: ``"torch"`` (AdvEnt) or ``"mindspore"`` (DDM): names of the weights and default form of the pooling.
    """
    default = "ceil" if spelling == "torch" else "same"
    config = DeepLabV2Config(
        depth=depth_of(params), maxpool=params.get("maxpool", default), aux=params.get("aux", True)
    )
    network = side.nets.build_network(config, classes)
    side.fill(network, spelling)
    return network


def depth_of(params: dict) -> int:
    """Return the depth that a vector's parameters name; 101, the official one, when they are silent."""
    if named := params.get("depth") or params.get("num_layers"):
        return int(named)
    if blocks := params.get("layers") or params.get("blocks"):  # of 34 and 50, which have the same, 50 is official
        return next(depth for depth, (factor, own) in DEPTHS.items() if factor == 4 and list(own) == list(blocks))
    digits = re.search(r"(\d+)", str(params.get("backbone") or params.get("arch") or ""))
    return int(digits[1]) if digits else 101


def images_of(side: Twin, bgr: np.ndarray):
    """Return the network input of N x H x W x 3 uint8 BGR images."""
    return side.tensor(np.ascontiguousarray((bgr.astype(np.float32) - MEAN_BGR).transpose(0, 3, 1, 2)))


def forward_runner(spelling: str):
    """Return the runner of evaluation-mode vectors made with the names of ``spelling``."""

    def run(vector: Vector, backend) -> Iterator[Check]:
        side = twin(backend.name)
        for case in vector.cases:
            yield from _forward(vector, side, case, spelling)

    return run


def _forward(vector: Vector, side: Twin, case: str, spelling: str) -> Iterator[Check]:
    arrays, params = vector.arrays, {**vector.params, **_case(vector.params, case)}
    network = official_network(side, params, arrays[f"main_{case}"].shape[1], spelling)
    images = images_of(side, arrays[f"bgr_u8_{case}"])
    aux, _, main = network(images)
    yield Check(f"{case} main", side.numpy(main), arrays[f"main_{case}"], 1e-3, "absolute")
    if f"aux_{case}" in arrays:
        yield Check(f"{case} aux", side.numpy(aux), arrays[f"aux_{case}"], 1e-3, "absolute")
    for name, feature in zip(FEATURES, network.features(images)):
        want = arrays.get(f"{name}_{case}")
        if want is not None:
            got = side.numpy(feature)[: want.shape[0], : want.shape[1]]
            yield Check(f"{case} {name}", got, want, *((1e-5, "relative") if name == "pool" else (1e-3, "absolute")))


def _case(params: dict, case: str) -> dict:
    cases = params.get("cases", [])
    return cases[int(case)] if int(case) < len(cases) else {}


def train_mode(vector: Vector, backend) -> Iterator[Check]:
    """One train-mode forward of both official networks; running statistics are updated once."""
    side, arrays = twin(backend.name), vector.arrays
    for short, spelling in (("ms", "mindspore"), ("pt", "torch")):
        if f"{short}_main" not in arrays:
            continue
        network = official_network(side, vector.params, arrays[f"{short}_main"].shape[1], spelling)
        side.training.set_mode(network, True)
        aux, _, main = network(images_of(side, arrays["bgr_u8"]))
        yield Check(f"{short} main", side.numpy(main), arrays[f"{short}_main"], 1e-2, "absolute")
        yield Check(f"{short} aux", side.numpy(aux), arrays[f"{short}_aux"], 1e-2, "absolute")
        kinds = side.weights.layer_kinds(network)
        after = side.weights.get_weights(network)
        for key in [name for name in arrays if name.startswith(f"{short}.")]:
            name = key.removeprefix(f"{short}.")
            canonical = name if spelling == "torch" else to_canonical(name, kinds)
            tol = 1e-4 if name.startswith("bn1.") else 1e-3
            yield Check(key, after[side.own_name(canonical, kinds)], arrays[key], tol)


def manifest_runner(spelling: str):
    """Return the runner of a manifest: names, shapes, types and their order, in the manifest's own spelling.

    The twin of the other framework is translated first. PyTorch's counters of batches, which MindSpore does not
    store, are added at the end then, so names are compared in alphabetical order.
    """

    def run(vector: Vector, backend) -> Iterator[Check]:
        side = twin(backend.name)
        want = [(name, tuple(shape), kind) for name, shape, kind in vector.content]
        network = side.nets.build_network(manifest_config(want), _classes(want))
        got = [(name, value.shape, str(value.dtype)) for name, value in side.weights.get_weights(network).items()]
        if side.name != spelling:
            got = _respelt(got, side.weights.layer_kinds(network), spelling)
        if side.name == "mindspore" and spelling == "torch":
            got, want = sorted(got), sorted(want)
        yield Check("names, shapes, types", np.array(list(map(str, got))), np.array(list(map(str, want))), kind="exact")

    return run


def _respelt(manifest: list[tuple], kinds: dict[str, str], spelling: str) -> list[tuple]:
    entries = {name: entry for name, *entry in manifest}
    names = translate(entries, kinds, spelling)
    counters = added(kinds, names.values()) if spelling == "torch" else []
    return [(new, *entries[old]) for old, new in names.items() if new] + [(name, (), "int64") for name in counters]


def manifest_config(manifest: list[tuple]) -> DeepLabV2Config:
    """Read depth, width and the auxiliary classifier off a manifest of (name, shape, type)."""
    shapes = {name: shape for name, shape, _ in manifest}
    counts = tuple(
        1 + max(int(match[1]) for name in shapes if (match := re.match(rf"layer{stage}\.(\d+)\.", name)))
        for stage in (1, 2, 3, 4)
    )
    factor = 4 if "layer1.0.conv3.weight" in shapes else 1
    depth = next(depth for depth, layout in DEPTHS.items() if layout == (factor, counts))
    return DeepLabV2Config(
        depth=depth, width=shapes["conv1.weight"][0], aux=any(name.startswith("layer5.") for name in shapes)
    )


def _classes(manifest: list[tuple]) -> int:
    return next(shape[0] for name, shape, _ in manifest if name.startswith("layer6.conv2d_list.0"))


RUNNERS = {
    "net_ms_forward": forward_runner("mindspore"),
    "net_torch_forward": forward_runner("torch"),
    "net_train_mode": train_mode,
    "deeplabv2_ms": manifest_runner("mindspore"),
    "deeplabv2_torch": manifest_runner("torch"),
}
