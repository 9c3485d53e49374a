"""Official checkpoints in and out, against the official manifests."""

import json
import re

import numpy as np
import pytest

from common.errors import UserError
from convert.inspection import inspect
from tests.convert.checkpoints import assert_same, bring_in, content, manifest, take_out, write_ckpt, write_pth

DDM, TORCH = "ddm/deeplabv2_ms", "ddm/deeplabv2_torch"
COUNTER = "num_batches_tracked"


@pytest.fixture(scope="module")
def advent():
    return manifest(TORCH)


def test_ddm_comes_in_under_pytorch_names_and_goes_out_as_it_came(tmp_path):
    official = manifest(DDM)
    source = write_ckpt(tmp_path / "best_model.ckpt", official)
    report = bring_in("ddm", source, tmp_path / "ours.pth")
    ours = content(tmp_path / "ours.pth")
    assert list(ours) == list(manifest(TORCH))
    assert len(report.renamed) == 416 and len(report.kept) == 120 and not report.dropped
    assert_same(ours["layer4.0.downsample.1.weight"], official["layer4.0.downsample.1.gamma"])
    take_out("ddm", tmp_path / "ours.pth", tmp_path / "back.ckpt")
    back = content(tmp_path / "back.ckpt")
    assert list(back) == list(official)
    assert_same(back, official)


def test_ddm_from_a_training_run_loses_its_prefix_and_optimizer(tmp_path):
    official = manifest(DDM)
    training = {f"network.{name}": array for name, array in official.items()}
    training |= {f"moments.network.{name}": array for name, array in official.items()}
    training |= {"learning_rate": np.array(1e-3, np.float32), "global_step": np.array([7], np.int32)}
    report = bring_in("ddm", write_ckpt(tmp_path / "train.ckpt", training), tmp_path / "ours.ckpt")
    assert_same(content(tmp_path / "ours.ckpt"), official)
    assert len(report.dropped) == 536 + 2


@pytest.mark.parametrize("prefix", ["", "module.", "Scale.", "module.Scale."])
def test_advent_with_any_wrapper(tmp_path, advent, prefix):
    source = write_pth(tmp_path / "a.pth", {prefix + name: array for name, array in advent.items()})
    bring_in("advent", source, tmp_path / "ours.pth")
    assert_same(content(tmp_path / "ours.pth"), advent)


def test_advent_for_either_framework_and_back(tmp_path, advent):
    bring_in("advent", write_pth(tmp_path / "a.pth", advent), tmp_path / "ours.ckpt")
    take_out("advent", tmp_path / "ours.ckpt", tmp_path / "back.pth")
    assert_same(content(tmp_path / "back.pth"), advent)


def test_single_level_adaptsegnet_is_told_by_its_shapes(tmp_path, advent):
    single = {name.replace("layer6", "layer5"): a for name, a in advent.items() if not name.startswith("layer5")}
    bring_in("adaptsegnet-single", write_pth(tmp_path / "a.pth", single), tmp_path / "ours.pth")
    assert_same(content(tmp_path / "ours.pth")["layer6.conv2d_list.0.weight"], advent["layer6.conv2d_list.0.weight"])
    take_out("adaptsegnet-single", tmp_path / "ours.pth", tmp_path / "back.pth")
    assert_same(content(tmp_path / "back.pth"), single)
    with pytest.raises(UserError, match="is no advent checkpoint: missing"):
        bring_in("advent", tmp_path / "a.pth", tmp_path / "no.pth")
    assert not (tmp_path / "no.pth").exists()


def test_imagenet_file_of_before_torch_0_4_comes_without_its_old_head(tmp_path, advent):
    old = {f"Scale.{n}": a for n, a in advent.items() if not n.endswith(COUNTER) and not n.startswith("layer6")}
    report = bring_in("deeplab-init", write_pth(tmp_path / "init.pth", old), tmp_path / "backbone.ckpt")
    assert len(content(tmp_path / "backbone.ckpt")) == 520
    assert {name.split(".")[1] for name in report.dropped} == {"layer5"}


@pytest.mark.parametrize("stem", ["iast/deeplabv2_r101", "iast/deeplabv2_r101_warmup"])
def test_iast_comes_in_and_goes_out_whole(tmp_path, stem):
    official = manifest(stem)
    source = write_pth(tmp_path / "G.pth", {f"module.{name}": array for name, array in official.items()})
    report = bring_in("iast", source, tmp_path / "ours.ckpt")
    assert len(content(tmp_path / "ours.ckpt")) == 104 + 4 * 104 + 8
    assert len(report.dropped) == 2 + 104 + (10 if "warmup" in stem else 0)
    take_out("iast", tmp_path / "ours.ckpt", tmp_path / "back.pth")
    back = content(tmp_path / "back.pth")
    assert set(back) == set(manifest("iast/deeplabv2_r101"))
    for name, array in back.items():
        assert_same(array, np.zeros_like(array) if ".fc." in name else official[name], name)


RESNETS = ["augkd/resnet18", "augkd/resnet34", "augkd/resnet50"]


@pytest.mark.parametrize("stem", RESNETS)
def test_torchvision_classifier_stays_unless_asked(tmp_path, stem):
    official = manifest(stem)
    source = write_pth(tmp_path / "r.pth", official)
    bring_in("torchvision-resnet", source, tmp_path / "all.pth")
    assert_same(content(tmp_path / "all.pth"), official)
    bring_in("torchvision-resnet", source, tmp_path / "bare.pth", drop_head=True)
    assert_same(content(tmp_path / "bare.pth"), {n: a for n, a in official.items() if not n.startswith("fc.")})


@pytest.mark.parametrize(
    ("layout", "stem"),
    [("mindcv-resnet", stem) for stem in RESNETS]
    + [("mindcv-mobilenetv3", f"augkd/mobilenet_v3_{size}") for size in ("small", "large")],
)
def test_mindcv_goes_out_and_comes_in(tmp_path, layout, stem):
    ours = manifest(stem)
    take_out(layout, write_pth(tmp_path / "ours.pth", ours), tmp_path / "mindcv.ckpt")
    theirs = content(tmp_path / "mindcv.ckpt")
    assert not [name for name in theirs if "downsample" in name or "block" in name or name.endswith("running_mean")]
    bring_in(layout, write_ckpt(tmp_path / "plain.ckpt", theirs), tmp_path / "back.pth")
    back = content(tmp_path / "back.pth")
    assert set(back) == set(ours)
    assert_same(
        {n: a for n, a in back.items() if COUNTER not in n}, {n: a for n, a in ours.items() if COUNTER not in n}
    )


MINDCV_NAMES = {
    "mindcv-resnet": ["layer1.0.down_sample.0.weight", "layer1.0.down_sample.1.gamma", "classifier.weight"],
    "mindcv-mobilenetv3": [
        "features.0.weight", "features.1.gamma", "features.3.layers.0.weight", "features.3.layers.3.conv_reduce.bias",
        "features.4.layers.7.moving_mean", "features.6.layers.6.conv_expand.weight", "features.6.layers.8.beta",
        "features.14.weight", "features.15.moving_variance", "classifier.0.weight", "classifier.3.bias",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("layout", "stem"), zip(MINDCV_NAMES, ["augkd/resnet50", "augkd/mobilenet_v3_small"]))
def test_mindcv_names_are_those_of_its_code(tmp_path, layout, stem):
    take_out(layout, write_pth(tmp_path / "ours.pth", manifest(stem)), tmp_path / "mindcv.ckpt")
    assert set(MINDCV_NAMES[layout]) <= set(content(tmp_path / "mindcv.ckpt"))


def test_bgr_mean_input_gives_the_same_features_inside_the_picture(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed")

    official = {
        name: np.abs(array) + 0.5 if "var" in name else array for name, array in manifest("augkd/resnet18").items()
    }
    bring_in("torchvision-resnet", write_pth(tmp_path / "r.pth", official), tmp_path / "b.pth", bgr_mean=True)
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 3, 32, 40))).double()

    def stem(path, x):
        w = {name: torch.from_numpy(np.array(array)).double() for name, array in content(path).items() if array.ndim}
        x = torch.nn.functional.conv2d(x, w["conv1.weight"], stride=2, padding=3)
        statistics = w["bn1.running_mean"], w["bn1.running_var"], w["bn1.weight"], w["bn1.bias"]
        return torch.nn.functional.batch_norm(x, *statistics)[:, :, 2:-2, 2:-2]

    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).double()[:, None, :, None, None]
    want = stem(tmp_path / "r.pth", (image / 255 - mean) / std)
    bgr = torch.tensor([104.00698793, 116.66876762, 122.67891434]).double()[None, :, None, None]
    got = stem(tmp_path / "b.pth", image.flip(1) - bgr)
    assert (got - want).abs().max() < 1e-5 * want.abs().max()


def test_what_does_not_fit_stops_with_three_lists_and_writes_nothing(tmp_path, advent):
    broken = dict(advent)
    del broken["layer3.7.conv2.weight"]
    broken["layer9.weight"] = np.zeros((2, 2), np.float32)
    broken["bn1.weight"] = broken["bn1.bias"] = broken["bn1.running_mean"] = broken["bn1.running_var"] = np.zeros(
        9, "f4"
    )
    write_pth(tmp_path / "a.pth", broken)
    with pytest.raises(UserError) as error:
        bring_in("advent", tmp_path / "a.pth", tmp_path / "out.ckpt")
    text = str(error.value)
    assert "missing (1): layer3.7.conv2.weight" in text and "unexpected (1): layer9.weight" in text
    assert "other shape (4): bn1.weight (9,), want (8,)" in text and "\n" not in text
    assert not (tmp_path / "out.ckpt").exists()


@pytest.mark.parametrize(
    ("stem", "found"),
    [(TORCH, ["advent"]), ("iast/deeplabv2_r101", ["iast"]), ("augkd/resnet50", ["torchvision-resnet"])]
    + [(f"augkd/mobilenet_v3_{size}", ["torchvision-mobilenetv3"]) for size in ("small", "large")],
)
def test_inspect_names_the_layout(tmp_path, stem, found):
    seen = inspect(write_pth(tmp_path / "a.pth", {f"module.{n}": a for n, a in manifest(stem).items()}))
    assert set(found) <= set(seen.layouts) and len(seen.tensors) == len(manifest(stem))


def test_equal_weights_have_one_digest_in_every_format(tmp_path):
    official = manifest(DDM)
    seen = [inspect(write_ckpt(tmp_path / "a.ckpt", official))]
    for name in ("ours.pth", "ours.safetensors"):
        bring_in("ddm", tmp_path / "a.ckpt", tmp_path / name)
        seen.append(inspect(tmp_path / name))
    assert len({one.weights_digest for one in seen}) == 1
    assert json.loads(seen[0].json())["layouts"] == ["ddm", "advent"]


def test_iast_with_ibn_loses_the_norms_it_never_calls(tmp_path):
    official = manifest("iast/deeplabv2_r50_ibn")
    report = bring_in("iast", write_pth(tmp_path / "G.pth", official), tmp_path / "ours.ckpt")
    mixed = tuple(name.replace("ibnc.IN.weight", "bn1.") for name in official if name.endswith("ibnc.IN.weight"))
    unused = {name for name in official if name.startswith(mixed)}
    assert len(unused) == 13 * 5 and unused <= set(report.dropped)
    take_out("iast", tmp_path / "ours.ckpt", tmp_path / "back.pth")
    back = content(tmp_path / "back.pth")
    assert set(back) == set(official)
    kept = [name for name in official if name not in report.dropped]
    assert_same({name: back[name] for name in kept}, {name: official[name] for name in kept})


def test_iast_on_resnext_is_told_by_its_shapes(tmp_path):
    """Twice as many channels inside every bottleneck, in four groups."""
    inside = re.compile(r"backbone\.layer\d\.\d+\.(conv[12]|bn[12])\.")
    grouped = {}
    for name, array in manifest("iast/deeplabv2_r101").items():
        shape = list(array.shape)
        if inside.search(name) and shape:
            shape[0] *= 2
        if ".layer" in name and name.endswith("conv2.weight"):
            shape[1] = shape[0] // 4
        if ".layer" in name and name.endswith("conv3.weight"):
            shape[1] *= 2
        grouped[name] = np.resize(array, shape)
    source, target, back = (tmp_path / name for name in ("G.pth", "model.ckpt", "back.pth"))
    report = bring_in("iast", write_pth(source, grouped), target)
    take_out("iast", target, back)
    got, kept = content(back), [name for name in grouped if name not in report.dropped]
    assert set(got) == set(grouped)
    for name in kept:
        if not name.endswith("num_batches_tracked"):
            assert_same(got[name], grouped[name], name)


def test_the_discriminator_of_iast_comes_from_the_same_file(tmp_path):
    official = manifest("iast/deeplabv2_r101_warmup")
    source = write_pth(tmp_path / "M.pth", {f"module.{name}": array for name, array in official.items()})
    bring_in("iast-discriminator", source, tmp_path / "critic.ckpt")
    assert sorted(content(tmp_path / "critic.ckpt")) == sorted(
        f"{layer}.{leaf}" for layer in ("conv1", "conv2", "conv3", "conv4", "classifier") for leaf in ("weight", "bias")
    )
    take_out("iast-discriminator", tmp_path / "critic.ckpt", tmp_path / "back.pth")
    back = content(tmp_path / "back.pth")
    assert len(back) == 10
    assert_same(back, {name: official[name] for name in back})
