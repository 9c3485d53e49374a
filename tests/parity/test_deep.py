"""``verify --deep``: every network between the twins, and planted faults. A new network is one line in a table."""

from dataclasses import replace
from functools import partial

import pytest

from common.backends import open_backend
from common.config import load_config
from common.methods.supervised import OBJECTIVES
from convert.deep import deep
from convert.sides import open_side
from convert.single import convert_file
from tests.convert.checkpoints import write_pth
from tests.twins import need_both

pytestmark = pytest.mark.slow
DDM, DIGITS = "ddm/toy", "supervised/digits"
MIT = "network={{name: mit, variant: b0, head: {}, width: 8, depths: [1, 1, 1, 1], head_channels: 16}}"
PLAIN = "network={{name: {}, width: 4, hidden: 8, grid: 1, head: {}}}"
NETWORKS = {  # name -> (configuration, settings)
    "alexnet": (DIGITS, [PLAIN.format("alexnet", "predictor"), "data.val.size=[63, 64]"]),
    "vgg-16, deep predictor": (DIGITS, [PLAIN.format("vgg16", "predictor_deep"), "data.val.size=[32, 32]"]),
    "deeplabv2-18": (DDM, ["network.depth=18", "network.width=4"]),
    "deeplabv2-50": (DDM, ["network.depth=50", "network.width=4"]),
    "hrnet_ocr": (
        DDM,
        ["network={name: hrnet_ocr, width: 8, modules: [1, 1, 1], head_channels: 16, key_channels: 8}"],
    ),
    "deeplabv2_efficientnet": (DDM, ["network={name: deeplabv2_efficientnet, width: 0.25, depth: 0.5}"]),
    "deeplabv2_se": (DDM, ["network={name: deeplabv2_se, depth: 18, width: 8, head_channels: 16, groups: 4}"]),
    "mit, segformer head": (DDM, [MIT.format("segformer")]),
    "mit, daformer head": (DDM, [MIT.format("daformer")]),
    "resnet-10": (DIGITS, ["network.width=8"]),
    "resnet-34, deep predictor": (DIGITS, ["network={name: resnet, depth: 34, width: 4, head: predictor_deep}"]),
    "resnet-50, predictor": (DIGITS, ["network={name: resnet, depth: 50, width: 4, head: predictor}"]),
    "resnext-50": (DIGITS, ["network={name: resnet, depth: 50, width: 4, groups: 4, group_width: 16}"]),
    "mobilenet_v2": (DIGITS, ["network={name: mobilenet_v2}"]),
    "mobilenet_v3": (DIGITS, ["network={name: mobilenet_v3, width: 0.5}"]),
    "mobilenet_v3, large": (DIGITS, ["network={name: mobilenet_v3, size: large, width: 0.25}"]),
    "efficientnet_b0": (DIGITS, ["network={name: efficientnet_b0}"]),
    "shufflenet_v2": (DIGITS, ["network={name: shufflenet_v2, width: x0_5}"]),
}
LIGHT = ("alexnet",)  # the others take up to two minutes each; tests/convert/test_verify.py has deeplabv2-18
CASES = [pytest.param(name, marks=() if name in LIGHT else pytest.mark.exhaustive) for name in NETWORKS]


def saved(name: str, folder) -> None:
    """Write a network as the seed draws it, as ``a.pth``."""
    config = load_config(*NETWORKS[name])
    objective = open_backend("torch", device="cpu").build(config, OBJECTIVES[config.task])
    write_pth(folder / "a.pth", objective.state()["model"])


@pytest.mark.parametrize("name", CASES)
def test_the_twins_hold(name, tmp_path):
    need_both()
    saved(name, tmp_path)
    convert_file(tmp_path / "a.pth", tmp_path / "a.ckpt")
    base, settings = NETWORKS[name]
    found = deep(*(open_side(tmp_path / file, None, base, settings) for file in ("a.pth", "a.ckpt")))
    failed = [gap for gaps in found["groups"].values() for gap in gaps if not gap["holds"]]
    assert found["holds"] and not failed, failed[:5]
    assert all(found["groups"].values())


class Planted:
    """A backend that plants a fault into every network it builds."""

    def __init__(self, backend, plant):
        self._backend, self._plant = backend, plant

    def __getattr__(self, name):
        return getattr(self._backend, name)

    def build(self, *args):
        objective = self._backend.build(*args)
        self._plant(objective.network)
        return objective


def scaled(gradient):
    return 1.01 * gradient


def relus(network) -> list:
    """Return the layers that the smooth form does not have."""
    from torch import nn

    return [layer for layer in network.modules() if isinstance(layer, nn.ReLU)]


def everything(network) -> None:
    for parameter in network.parameters():
        parameter.register_hook(scaled)


def one_layer(network) -> None:
    network.features[6].weight.register_hook(scaled)


def own_form(network) -> None:
    if relus(network):
        everything(network)


def activation(network) -> None:
    """Scale the derivative of one ReLU; its output is right."""
    for layer in relus(network)[:1]:
        layer.register_forward_hook(lambda _layer, _inputs, output: output + 0.01 * (output - output.detach()))


def kink(network) -> None:
    """Make one pass of the own form differ, as an element beyond a kink does: the third, which is step 2."""
    for parameter in list(network.parameters())[:6] if relus(network) else ():
        factors = iter((1.0, 1.0, 1.01, 1.0))
        parameter.register_hook(partial(lambda gradient, factors: next(factors) * gradient, factors=factors))


PLANTS = {  # plant -> groups that fail
    everything: {"gradients", "changes", "moments"},
    one_layer: {"gradients", "changes", "moments"},
    own_form: {"gradients", "changes", "moments"},
    activation: {"kinks", "gradients", "changes", "moments"},
    kink: set(),
}


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_wrong_derivative_fails_and_a_kink_does_not(plant, tmp_path):
    pytest.importorskip("torch", reason="torch is not installed")
    saved("alexnet", tmp_path)
    base, settings = NETWORKS["alexnet"]
    second = open_side(tmp_path / "a.pth", None, base, settings)
    found = deep(replace(second, backend=Planted(second.backend, plant)), second)
    failed = {name for name, gaps in found["groups"].items() if not all(gap["holds"] for gap in gaps)}
    assert failed == PLANTS[plant] and found["holds"] == (not failed)
    kinks = [gap for gaps in found["groups"].values() for gap in gaps if gap["holds"] and gap["error"] > gap["allowed"]]
    assert bool(kinks) == (plant is kink) and all(gap["smooth"] for gap in kinks)
