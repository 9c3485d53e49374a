"""Rung P1 for ONNX: every network, at three sizes, against both frameworks. A new network is one line in a table."""

import numpy as np
import pytest

from common.config import load_config
from common.data.labels import class_set
from common.draws import generator
from common.methods.supervised import OBJECTIVES
from common.tolerances import LOGITS_ONNX
from convert.images import shapes
from convert.mindir_export import export_mindir
from convert.onnx_export import CONFIG_KEY, export_onnx, metadata, session
from convert.reading import read
from convert.sides import open_side
from convert.subject import Subject, fill
from tests.compare import assert_close

pytestmark = pytest.mark.slow
DDM, DIGITS = "ddm/toy", "supervised/digits"
MIT = "network={{name: mit, variant: b0, head: {}, width: 8, depths: [1, 1, 1, 1], head_channels: 16}}"
NETWORKS = {  # name -> (configuration, settings)
    "deeplabv2-18, torch pooling": (DDM, ["network.depth=18", "network.maxpool=ceil", "network.width=8"]),
    "deeplabv2-50, MindSpore pooling": (
        DDM,
        ["network.depth=50", "network.maxpool=same", "network.aux=false", "network.width=8"],
    ),
    "deeplabv2-101, torchvision form": (
        DDM,
        ["network.depth=101", "network.maxpool=floor", "network.stride_in=conv2", "network.width=8"],
    ),
    "deeplabv2_se": (DDM, ["network={name: deeplabv2_se, depth: 18, width: 8, head_channels: 16, groups: 4}"]),
    "mit, segformer head": (DDM, [MIT.format("segformer")]),
    "mit, daformer head": (DDM, [MIT.format("daformer")]),
    "deeplabv2_efficientnet": (DDM, ["network={name: deeplabv2_efficientnet, width: 0.25, depth: 0.5}"]),
    "hrnet_ocr": (DDM, ["network={name: hrnet_ocr, width: 8, modules: [1, 1, 1], head_channels: 16, key_channels: 8}"]),
    "resnet-10, any size": (DIGITS, ["network.width=8"]),
    "resnet-34, deep predictor": (
        DIGITS,
        ["network={name: resnet, depth: 34, width: 4, head: predictor_deep}"],
    ),
    "resnet-50, predictor": (DIGITS, ["network={name: resnet, depth: 50, width: 4, head: predictor}"]),
    "alexnet, one size": (
        DIGITS,
        ["network={name: alexnet, width: 4, hidden: 8, grid: 1}", "data.val.size=[63, 64]"],
    ),
    "vgg-16, deep predictor": (
        DIGITS,
        ["network={name: vgg16, width: 4, hidden: 8, grid: 1, head: predictor_deep}", "data.val.size=[32, 32]"],
    ),
    **{
        name: (DIGITS, [f"network={{name: {name}}}"])
        for name in ("mobilenet_v3", "mobilenet_v2", "efficientnet_b0", "shufflenet_v2")
    },
}

# Further forms of a family, and HRNet, whose export alone takes a minute; ``-m exhaustive`` has them.
EXHAUSTIVE = {
    *("deeplabv2-50, MindSpore pooling", "deeplabv2-101, torchvision form", "mit, daformer head", "hrnet_ocr"),
    *("resnet-34, deep predictor", "resnet-50, predictor", "mobilenet_v2", "efficientnet_b0", "shufflenet_v2"),
    "deeplabv2_efficientnet",
}


def marked(name: str, *values: str):
    """Return a case with the mark of its network."""
    return pytest.param(name, *values, marks=pytest.mark.exhaustive if name in EXHAUSTIVE else ())


@pytest.fixture(scope="module", params=map(marked, NETWORKS))
def subject(request, backends, tmp_path_factory) -> Subject:
    """A trained-like network: running statistics that are not those of the start."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    return trained_like(load_config(*NETWORKS[request.param]), backends["torch"], tmp_path_factory.mktemp("onnx"))


def trained_like(config, backend, folder) -> Subject:
    """Save a network whose running statistics are not those of the start."""
    path = folder / "model.pth"
    backend.save(disturbed(backend.build(config, OBJECTIVES[config.task]).state()["model"]), path)
    return Subject(path, config, read(path).weights)


def disturbed(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return weights with other running statistics."""
    rng = generator(0, "statistics")
    moved = {
        name: (np.abs(array) + rng.uniform(0.1, 0.5, array.shape)).astype(np.float32)
        for name, array in weights.items()
        if "running_" in name
    }
    return weights | moved


def test_onnx_equals_both_frameworks_at_three_sizes(subject, backends, tmp_path):
    checked = export_onnx(subject, tmp_path / "network.onnx")
    wanted = shapes(subject.config)
    assert len(checked) == len(wanted) == 3 and max(checked.values()) <= LOGITS_ONNX
    runner = session(str(tmp_path / "network.onnx"))
    objectives = {name: fill(backend, subject) for name, backend in backends.items()}
    for count, height, width in wanted:
        images = generator(1, height).standard_normal((count, 3, height, width), np.float32)
        (got,) = runner.run(None, {"images": images})
        for name, backend in backends.items():
            want = backend.numpy(objectives[name].logits(backend.tensor(images)))
            assert_close(f"{name} {count}x{height}x{width}", got, want, LOGITS_ONNX)
    told = runner.get_modelmeta().custom_metadata_map
    config = subject.config
    assert told["channel_order"] == config.input.order and told["classes"].split(",") == [
        *class_set(config.classes).names
    ]
    assert told["mean"].startswith(f"{config.input.mean[0]},") and len(told["config_digest"]) == 64
    assert told["task"] == config.task and metadata(told, "file")["network"]["name"] == config.network.name
    assert CONFIG_KEY in told and {o.version for o in runner_opsets(tmp_path / "network.onnx")} == {18}
    images = generator(2, "images").integers(0, 256, (2, 3, *wanted[0][1:]), dtype=np.uint8)
    alone, native = open_side(tmp_path / "network.onnx"), objectives["torch"].predict(images)
    assert_close("uint8 images", alone.logits(images), backends["torch"].numpy(native), LOGITS_ONNX)


def runner_opsets(path):
    import onnx

    return onnx.load(path).opset_import


@pytest.mark.parametrize(
    ("name", "free"),
    [
        marked("resnet-10, any size", "batch and size are free"),
        marked("deeplabv2-50, MindSpore pooling", "for images of 64x32, the batch is free"),
        marked("deeplabv2-18, torch pooling", "for images of 64x32, one at a time"),
    ],
)
def test_mindir_is_as_free_as_mindspore_can_make_it(name, free, backends, tmp_path):
    found = trained_like(load_config(*NETWORKS[name]), backends["torch"], tmp_path)
    size = None if "free" in free.split()[-1] and "size" in free else (64, 32)
    assert export_mindir(found, tmp_path / "network.mindir", size) == free
    assert (tmp_path / "network.mindir").stat().st_size > 10_000
