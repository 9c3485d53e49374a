"""The parity certificate: what it finds, what it refuses, how it looks."""

import json

import numpy as np
import pytest

from common.backends import open_backend
from common.config import load_config
from common.errors import UserError
from convert.__main__ import main
from convert.images import drawn_images
from convert.scales import beside, deviations, silent_biases
from convert.sides import open_side
from convert.single import convert_file
from convert.verify import verify
from tests.convert.checkpoints import write_pth
from tests.twins import need_both

CONFIG = ["--config", "ddm/toy", "--set", "network.width=4", "--sizes", "64x32,33x45"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A network as .pth and .ckpt, and the same with one weight changed."""
    need_both()
    folder = tmp_path_factory.mktemp("verify")
    config = load_config("ddm/toy", ["network.width=4"])
    weights = open_backend("torch", device="cpu").build(config, "supervised").state()["model"]
    write_pth(folder / "a.pth", weights)
    convert_file(folder / "a.pth", folder / "a.ckpt")
    changed = weights["layer3.1.conv2.weight"].copy()
    changed[0, 0, 1, 1] += 0.05
    write_pth(folder / "b.pth", {**weights, "layer3.1.conv2.weight": changed})
    write_pth(folder / "short.pth", {name: array for name, array in weights.items() if "layer4" not in name})
    return folder


def test_the_twins_hold_and_the_page_says_so(files, tmp_path, capsys):
    assert main(["verify", str(files / "a.pth"), str(files / "a.ckpt"), *CONFIG, "--out", str(tmp_path / "c")]) == 0
    record = json.loads((tmp_path / "c" / "certificate.json").read_text())
    assert record["holds"] and record["worst"] <= record["tolerance"] == 1e-5 and record["equal"] > 0.999
    assert 0 < record["median"] < record["worst"] and len(record["inputs"]) == 4
    assert [side["backend"] for side in record["sides"]] == ["torch", "mindspore"]
    assert record["sides"][0]["weights"] == record["sides"][1]["weights"]
    assert 'Parity certificate: <span class="holds">' in (tmp_path / "c" / "certificate.html").read_text()
    assert "verdict" in capsys.readouterr().out


def test_other_weights_fail_with_status_1(files, capsys):
    assert main(["verify", str(files / "b.pth"), str(files / "a.ckpt"), *CONFIG]) == 1
    assert "FAILS" in capsys.readouterr().out


@pytest.mark.slow
def test_deep_holds_for_the_twins_and_names_the_layer_that_parts(files, tmp_path, capsys):
    deep = [*CONFIG, "--deep", "--out", str(tmp_path)]
    assert main(["verify", str(files / "a.pth"), str(files / "a.ckpt"), *deep]) == 0, capsys.readouterr().out
    found = json.loads((tmp_path / "certificate.json").read_text())["deep"]
    assert found["holds"] and found["first_layer_that_parts"] is None and found["steps"] == 3
    assert len(found["groups"]["gradients"]) == 76 and len(found["groups"]["changes"]) == 3 * 116
    assert all(gap["floor"] > 0 for gap in found["groups"]["gradients"])
    assert main(["verify", str(files / "b.pth"), str(files / "a.ckpt"), *deep]) == 1
    found = json.loads((tmp_path / "certificate.json").read_text())["deep"]
    assert found["first_layer_that_parts"] == "layer3.1.conv2"


def test_nan_is_no_agreement(files):
    first, second = (open_side(files / name, None, "ddm/toy", ["network.width=4"]) for name in ("a.pth", "a.ckpt"))
    first.logits = lambda images: np.full_like(second.logits(images), np.nan)
    assert not verify(first, second, *drawn_images(0, [(64, 32)]), data=False).holds


def test_a_bias_that_changes_nothing_is_measured_by_its_weight():
    gradients = {"a.weight": np.ones(4), "a.bias": np.full(2, 1e-16), "b.weight": np.ones(4), "b.bias": np.ones(2)}
    silent = silent_biases(gradients | {"dead.weight": np.zeros(4), "dead.bias": np.zeros(2)})
    assert silent == ("a.bias",)
    moments = {f"exp_avg.{name}": 3 * array for name, array in gradients.items()}
    assert beside(silent, moments) == {"exp_avg.a.bias": 6.0} and beside((), moments) == {}
    assert deviations({"x.running_mean": np.zeros(2), "x.running_var": np.array([4.0, 5.0])}) == {"x.running_mean": 3.0}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["a.pth", "short.pth"], "short.pth: .*missing"),
        (["a.pth", "a.ckpt", "--set", "network.width=8"], "other shape"),
        (["a.pth", "nothing.pth"], "no such checkpoint file"),
        (["a.pth", "a.ckpt", "--on", "torch"], "--on torch: write two"),
        (["a.pth", "a.ckpt", "--sizes", "64"], "write WIDTHxHEIGHT"),
    ],
)
def test_mistakes_are_named(files, words, says):
    with pytest.raises(UserError, match=says):
        main(
            [
                "verify",
                *(str(files / word) if word.endswith(("pth", "ckpt")) else word for word in words),
                *_without(words),
            ]
        )


def _without(words):
    return CONFIG[:4] if "--set" not in words else CONFIG[:2]


def test_a_file_without_a_configuration_asks_for_one(files):
    with pytest.raises(UserError, match="name one with --config"):
        main(["verify", str(files / "a.pth"), str(files / "a.ckpt")])
