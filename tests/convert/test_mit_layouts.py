"""Published files of Mix Transformers in and out, against the official manifests."""

import json
from pathlib import Path

import numpy as np
import pytest

from common.names import kind_of
from common.networks.mit import MitConfig
from convert.layouts import LAYOUTS, guess
from convert.reading import Reading
from convert.transfer import export_layout, import_layout
from tests.convert.checkpoints import assert_same, content, write_pth

REFERENCE = Path(__file__).parents[1] / "reference" / "diga"
HEADS = {"segformer": "mit_b5_segformer_head", "daformer": "mit_b5_daformer_head"}
CLASSIFIERS = {"segformer": "linear_pred", "daformer": "conv_seg"}
SMALL = {"backbone.patch_embed1.proj.weight": (4, 3, 7, 7)} | {
    f"backbone.block{stage}.0.norm1.weight": (4,) for stage in (1, 2, 3, 4)
}


def manifest(name: str, prefix: str) -> dict[str, tuple[int, ...]]:
    """Return the official names, with what stands before them in whole networks, and shapes."""
    official = json.loads((REFERENCE / f"{name}.keys.json").read_text())
    return {prefix + key: tuple(shape) for key, shape, _ in official}


def small(layout: str) -> dict[str, np.ndarray]:
    """Return the tensors of a small network, one block a stage, by our names."""
    hints = {f"decode_head.{CLASSIFIERS[layout]}.weight": (5, 8, 1, 1)} if layout in HEADS else {}
    shapes, rng = LAYOUTS[layout].expected(SMALL | hints), np.random.default_rng(0)
    drawn = {key: rng.standard_normal(shape).astype(np.float32) for key, shape in shapes.items()}
    return {k: np.array(3, np.int64) if k.endswith("num_batches_tracked") else v for k, v in drawn.items()}


def weights(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return all but the counters, which MindSpore's files do not hold."""
    return {key: value for key, value in tensors.items() if "num_batches" not in key}


def test_full_size_files_have_the_official_names_and_shapes():
    encoder = manifest("mit_b5", "backbone.")
    assert dict(LAYOUTS["mit-init"].expected({})) == encoder
    for layout, head in HEADS.items():
        assert dict(LAYOUTS[layout].expected({})) == encoder | manifest(head, "decode_head.")


@pytest.mark.parametrize("variant", ["b0", "b1", "b2", "b3", "b4", "b5"])
def test_every_size_is_read_from_the_file(variant):
    """A file of any published size is whole; one that lacks a block in the middle of a stage is not."""
    config = MitConfig(variant=variant)
    hints = {"backbone.patch_embed1.proj.weight": (config.channels[0], 3, 7, 7)}
    for stage, depth in enumerate(config.stage_depths, 1):
        hints |= {f"backbone.block{stage}.{block}.norm1.weight": (1,) for block in range(depth)}
    whole = {k.removeprefix("backbone."): shape for k, shape in LAYOUTS["mit-init"].expected(hints).items()}
    whole |= {"head.weight": (1000, 8 * config.channels[0]), "head.bias": (1000,)}
    assert guess(whole) == ["mit-init"]
    assert guess({key: shape for key, shape in whole.items() if not key.startswith("block3.0.")}) == []


@pytest.mark.parametrize("layout", HEADS)
@pytest.mark.parametrize("ours", ["ours.pth", "ours.ckpt"])
def test_a_network_comes_in_and_goes_out_as_it_came(tmp_path, layout, ours):
    official = small(layout)
    source = write_pth(tmp_path / "official.pth", official)
    import_layout(LAYOUTS[layout], source, tmp_path / ours, Reading())
    export_layout(LAYOUTS[layout], tmp_path / ours, tmp_path / "back.pth", Reading())
    assert_same(weights(content(tmp_path / "back.pth")), weights(official))
    assert guess({key: value.shape for key, value in official.items()}) == [layout]


def test_imagenet_weights_lose_their_classifier(tmp_path):
    encoder = small("mit-init")
    official = {key.removeprefix("backbone."): value for key, value in encoder.items()}
    official |= {"head.weight": np.zeros((10, 32), np.float32), "head.bias": np.zeros(10, np.float32)}
    report = import_layout(
        LAYOUTS["mit-init"], write_pth(tmp_path / "mit_b0.pth", official), tmp_path / "ours.pth", Reading()
    )
    assert_same(content(tmp_path / "ours.pth"), encoder)
    assert len(report.dropped) == 2


def test_of_daformer_the_student_is_taken(tmp_path):
    student, other = small("daformer"), np.zeros(3, np.float32)
    official = {f"model.{key}": value for key, value in student.items()}
    official |= {"ema_model.decode_head.conv_seg.bias": other, "imnet_model.backbone.norm1.weight": other}
    source = write_pth(tmp_path / "daformer.pth", official)
    report = import_layout(LAYOUTS["daformer"], source, tmp_path / "ours.pth", Reading())
    assert_same(content(tmp_path / "ours.pth"), student)
    assert len(report.dropped) == 2


@pytest.mark.parametrize("name", ["torch", pytest.param("mindspore", marks=pytest.mark.slow)])
@pytest.mark.parametrize("head", HEADS)
def test_imported_weights_fit_the_network(tmp_path, name, head):
    """LayerNorms are told from BatchNorms, and ImageNet weights leave only the head as it was drawn."""
    from tests.twins import twin

    side = twin(name)
    config = MitConfig(variant="b0", width=4, depths=(1, 1, 1, 1), head=head, head_channels=8)
    network = side.nets.build_network(config, 5, 0)
    assert "LayerNorm" in {kind_of(type(layer)) for _, layer in side.layers(network)}
    suffix = {"torch": "pth", "mindspore": "ckpt"}[name]
    given = small(head)
    source = write_pth(tmp_path / "official.pth", given)
    import_layout(LAYOUTS[head], source, tmp_path / f"whole.{suffix}", Reading())
    side.weights.set_weights(network, content(tmp_path / f"whole.{suffix}"))
    held = side.canonical(side.weights.get_weights(network), network)
    assert_same(held, weights(given))
