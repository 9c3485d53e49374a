"""S3D's, MME's and APE's checkpoints in and out, and the first weights of their networks."""

import numpy as np
import pytest

from common.errors import UserError
from tests.convert.checkpoints import assert_same, bring_in, content, manifest, numbers, take_out, write_pth


@pytest.mark.parametrize("net", ["resnet34", "alexnet", "vgg16"])
def test_s3d_in_one_file_comes_in_and_goes_out_as_it_was(tmp_path, net):
    """G and F1 beside optimizers and the next step; the way back has the same two sections."""
    backbone, head = s3d_parts(net)
    whole = {"G": backbone, "F1": head, "step": 7}
    bring_in("s3d", write_pth(tmp_path / "model.pth", whole), tmp_path / "ours.pth")
    ours = content(tmp_path / "ours.pth")
    assert_same({name: a for name, a in ours.items() if not name.startswith("head.")}, backbone)
    assert_same({name.removeprefix("head."): a for name, a in ours.items() if name.startswith("head.")}, head)
    take_out("s3d", tmp_path / "ours.pth", tmp_path / "back.pth")
    back = content(tmp_path / "back.pth")
    assert list(back) == ["G", "F1"]
    assert_same(dict(back["G"]), backbone)
    assert_same(dict(back["F1"]), head)


@pytest.mark.parametrize("net", ["resnet34", "alexnet", "vgg16"])
def test_mme_and_ape_keep_backbone_and_classifier_apart(tmp_path, net):
    backbone, head = s3d_parts(net)
    for name, part, beginning in (("ssda-g", backbone, ""), ("ssda-f1", head, "head.")):
        source = write_pth(tmp_path / f"{name}.pth", {f"module.{key}": array for key, array in part.items()})
        bring_in(name, source, tmp_path / f"{name}-ours.pth")
        assert_same(content(tmp_path / f"{name}-ours.pth"), {beginning + key: array for key, array in part.items()})


def test_torchvision_s_alexnet_loses_its_last_layer(tmp_path):
    backbone, _ = s3d_parts("alexnet")
    theirs = {name.replace("classifier.classifier", "classifier."): array for name, array in backbone.items()}
    theirs |= {"classifier.6.weight": np.zeros((9, 4), np.float32), "classifier.6.bias": np.zeros(9, np.float32)}
    bring_in("torchvision-alexnet", write_pth(tmp_path / "a.pth", theirs), tmp_path / "ours.pth")
    assert_same(content(tmp_path / "ours.pth"), backbone)


def test_torchvision_s_vgg_loses_its_last_layer_and_gains_the_official_constant(tmp_path):
    backbone, _ = s3d_parts("vgg16")
    theirs = {name: array for name, array in backbone.items() if name != "s"}
    theirs |= {"classifier.6.weight": np.zeros((9, 4), np.float32), "classifier.6.bias": np.zeros(9, np.float32)}
    report = bring_in("torchvision-vgg16", write_pth(tmp_path / "v.pth", theirs), tmp_path / "ours.pth")
    assert_same(content(tmp_path / "ours.pth"), {**backbone, "s": np.array([10.0], np.float32)})
    assert list(report.added) == ["s"] and set(report.dropped) == {"classifier.6.weight", "classifier.6.bias"}


@pytest.mark.parametrize("net", ["resnet34", "vgg16"])
@pytest.mark.parametrize("suffix", ["pth", "ckpt"])
def test_backbone_and_classifier_in_two_files_become_one_and_two_again(tmp_path, net, suffix):
    parts = s3d_parts(net)
    wrapped = [{f"module.{key}": array for key, array in part.items()} for part in parts]
    theirs = [write_pth(tmp_path / f"{name}.pth.tar", part) for name, part in zip(("G", "F1"), wrapped)]
    ours, back = tmp_path / f"ours.{suffix}", [tmp_path / "back-G.pth.tar", tmp_path / "back-F1.pth.tar"]
    bring_in("ssda", theirs[0], ours, beside=theirs[1])
    assert {name for name in content(ours) if name.startswith("head.")} == {f"head.{name}" for name in parts[1]}
    take_out("ssda", ours, back[0], beside=back[1])
    for file, part in zip(back, parts):
        assert_same(content(file), part)
    with pytest.raises(UserError, match="--beside FILE"):
        bring_in("ssda", theirs[0], ours)
    with pytest.raises(UserError, match="is the source itself"):
        bring_in("ssda", theirs[0], theirs[1], beside=theirs[1])
    with pytest.raises(UserError, match="is the source itself"):
        take_out("ssda", ours, back[0], beside=ours)
    with pytest.raises(UserError, match="named for both files"):
        take_out("ssda", ours, back[0], beside=back[0])
    with pytest.raises(UserError, match="is one file"):
        take_out("s3d", ours, back[0], beside=back[1])
    with pytest.raises(UserError, match="is no ssda checkpoint"):
        bring_in("ssda", theirs[0], ours, beside=theirs[0])


def s3d_parts(net):
    """Return the official entries of a backbone and its classifier, narrow."""
    backbone = manifest(f"s3d/{net}")
    width = backbone["fc.weight"].shape[1] if "fc.weight" in backbone else 32
    if net == "resnet34":
        shapes = {"fc1.weight": (24, width), "fc1.bias": (24,), "fc2.weight": (5, 24)}
    else:
        shapes = {"fc.weight": (5, width)}
    return backbone, {name: numbers(shape) for name, shape in shapes.items()}
