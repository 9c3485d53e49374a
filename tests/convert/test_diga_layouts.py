"""DiGA's official files in and out, against the official manifests."""

import json
from pathlib import Path

import numpy as np
import pytest

from common.backends import SUFFIXES
from common.config import load_config
from common.errors import UserError
from convert.layouts import LAYOUTS, guess
from convert.reading import Reading
from convert.transfer import export_layout, import_layout
from tests.convert.checkpoints import assert_same, content, write_ckpt, write_pth
from tests.twins import twin

REFERENCE = Path(__file__).parents[1] / "reference" / "diga"
FILES = {  # layout -> manifest, what our names have in front, and shapes that make a small network of the family
    "diga": ("deeplab19", "", {"layer0.0.weight": (8, 3, 7, 7), "final.head.1.weight": (19, 16, 1, 1)}),
    "diga-semi": (
        "hrnet_ocr",
        "",
        {
            "hrnet.conv1.weight": (4, 3, 3, 3),
            "hrnet.transition_stage_1_2.0.0.weight": (3, 16, 3, 3),
            "ocrnet.segmentation_classes.0.weight": (19, 8, 1, 1),
            "ocrnet.value.0.weight": (4, 8, 1, 1),
        },
    ),
    "diga-encoder": ("translator_encoder", "enc_s.", {"enc_s.model.0.conv.weight": (4, 3, 7, 7)}),
    "diga-decoder": ("translator_decoder", "dec_s2t.", {"dec_s2t.model.5.conv.weight": (3, 4, 7, 7)}),
}


def small(layout: str) -> dict[str, np.ndarray]:
    """Return a small official file of a family, in the order of the official one."""
    name, prefix, hints = FILES[layout]
    shapes, rng = LAYOUTS[layout].expected(hints), np.random.default_rng(0)
    order = [key for key, _, _ in json.loads((REFERENCE / f"{name}.keys.json").read_text())]
    drawn = {key: rng.standard_normal(shapes[prefix + key]).astype(np.float32) for key in order}
    return {k: np.array(3, np.int64) if k.endswith("num_batches_tracked") else v for k, v in drawn.items()}


@pytest.mark.parametrize("layout", FILES)
def test_full_size_files_have_the_official_names_and_shapes(layout):
    name, prefix, _ = FILES[layout]
    official = json.loads((REFERENCE / f"{name}.keys.json").read_text())
    assert dict(LAYOUTS[layout].expected({})) == {prefix + key: tuple(shape) for key, shape, _ in official}


@pytest.mark.parametrize("layout", FILES)
def test_a_file_comes_in_and_goes_out_as_it_came(tmp_path, layout):
    _, prefix, _ = FILES[layout]
    official = small(layout)
    source = write_pth(tmp_path / "official.pth", official)
    for ours in ("ours.ckpt", "ours.pth"):
        import_layout(LAYOUTS[layout], source, tmp_path / ours, Reading())
        export_layout(LAYOUTS[layout], tmp_path / ours, tmp_path / f"{ours}.back.pth", Reading())
        back = content(tmp_path / f"{ours}.back.pth")
        weights = {key: value for key, value in official.items() if "num_batches" not in key}
        assert_same({key: back[key] for key in weights}, weights)
    assert set(content(tmp_path / "ours.pth")) == {prefix + key for key in official}
    assert guess({key: value.shape for key, value in official.items()}) == [layout]


@pytest.mark.parametrize("backend", ["torch", "mindspore"])
def test_a_translator_trained_here_goes_out_as_the_two_official_files(tmp_path, backends, backend):
    """Of the four networks that a checkpoint of stage ``translator`` holds, the official code keeps two."""
    network = backends[backend].build(load_config("diga/toy", ["method.translator.width=4"]), "diga_translator").network
    ours = tmp_path / f"model{SUFFIXES[backend]}"
    weights = {name: value.copy() for name, value in twin(backend).weights.get_weights(network).items()}
    {"torch": write_pth, "mindspore": write_ckpt}[backend](ours, weights)
    for layout, half in (("diga-encoder", "enc_s"), ("diga-decoder", "dec_s2t")):
        report = export_layout(LAYOUTS[layout], ours, tmp_path / f"{half}.pth", Reading())
        official = content(tmp_path / f"{half}.pth")
        assert_same(official, {k.removeprefix(f"{half}."): v for k, v in weights.items() if k.startswith(f"{half}.")})
        assert set(official) == set(small(layout)) and len(report.dropped) == len(weights) - len(official)
        assert guess({name: value.shape for name, value in official.items()}) == [layout]
    write_pth(tmp_path / "more.pth", {**weights, "stray.weight": np.zeros(1, "f4")})
    with pytest.raises(UserError, match=r"is no diga-encoder checkpoint.*unexpected \(1\): stray"):
        export_layout(LAYOUTS["diga-encoder"], tmp_path / "more.pth", tmp_path / "x.pth", Reading())


def test_imagenet_weights_find_their_places(tmp_path):
    student = small("diga")
    caffe = {_caffe(key): value for key, value in student.items() if not key.startswith("final.")}
    caffe["Scale.layer5.conv2d_list.0.weight"] = np.zeros((21, 8, 3, 3), np.float32)
    import_layout(LAYOUTS["diga-init"], write_pth(tmp_path / "caffe.pth", caffe), tmp_path / "ours.pth", Reading())
    assert_same(content(tmp_path / "ours.pth"), {k: v for k, v in student.items() if not k.startswith("final.")})


def _caffe(key: str) -> str:
    return "Scale." + key.replace("layer0.0.", "conv1.").replace("layer0.1.", "bn1.")


def test_hrnet_loses_its_classifier(tmp_path):
    whole = {key: value for key, value in small("diga-semi").items() if key.startswith("hrnet.")}
    official = {name: np.zeros((2, 2), np.float32) for name in ("classifier.weight", "incre_modules.0.0.conv1.weight")}
    for key, value in whole.items():
        name = key.removeprefix("hrnet.").replace("stage1.", "layer1.")
        for number in (1, 2, 3):
            name = name.replace(f"transition_stage_{number}_{number + 1}.", f"transition{number}.")
        official[name] = value
    source = write_pth(tmp_path / "hrnet.pth", official)
    report = import_layout(LAYOUTS["diga-hrnet-init"], source, tmp_path / "ours.pth", Reading())
    assert_same(content(tmp_path / "ours.pth"), whole)
    assert len(report.dropped) == 2


def test_vgg_is_cut_behind_the_last_level(tmp_path):
    shapes = LAYOUTS["vgg19-features"].expected({"slice1.0.weight": (2, 3, 3, 3)})
    names = [key.removeprefix("vgg.") for key, _, _ in json.loads((REFERENCE / "vgg_loss.keys.json").read_text())]
    wanted = {name: np.full(shapes[name], place, np.float32) for place, name in enumerate(names)}
    official = {f"features.{key.partition('.')[2]}": value for key, value in wanted.items()}
    official |= {"features.30.weight": np.zeros((2, 2, 3, 3), np.float32), "classifier.0.bias": np.zeros(3, np.float32)}
    source = write_pth(tmp_path / "vgg.pth", official)
    import_layout(LAYOUTS["vgg19-features"], source, tmp_path / "ours.pth", Reading())
    assert_same(content(tmp_path / "ours.pth"), wanted)
