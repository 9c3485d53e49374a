"""What trains, in both twins: modes, frozen BatchNorm, parameter groups, initial weights, strict loading."""

import json
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from common.networks.deeplabv2 import DeepLabV2Config
from tests.twins import need_both, twin

TINY = {"depth": 18, "width": 8}
MANIFEST = Path(__file__).parents[1] / "reference/ddm/deeplabv2_torch.keys.json"


def build(side, seed: int = 0, **options):
    return side.nets.build_network(DeepLabV2Config(**{**TINY, **options}), 5, seed)


def statistics(side, network) -> dict[str, np.ndarray]:
    weights = side.canonical(side.weights.get_weights(network), network)
    return {name: value for name, value in weights.items() if "running_" in name}


def test_groups_hold_every_trainable_parameter_once(side):
    groups = side.training.parameter_groups(build(side))
    assert all(name.startswith(("layer5.", "layer6.")) for name in groups["head"])
    assert len(groups["head"]) == 16
    assert not [name for name in groups["backbone"] if name.startswith(("layer5.", "layer6."))]
    assert all(np.ndim(p) == 4 for p in groups["backbone"].values())  # convolutions only: scales are frozen
    free = side.training.parameter_groups(build(side, freeze_bn_affine=False))
    assert len(free["backbone"]) == 3 * len(groups["backbone"])  # each convolution, its scale and its shift


def test_a_network_without_the_auxiliary_classifier_has_no_layer5(side):
    network = build(side, aux=False)
    assert len(side.training.parameter_groups(network)["head"]) == 8
    aux, _, main = network(side.tensor(np.zeros((1, 3, 32, 32), np.float32)))
    assert aux is None
    assert main.shape == (1, 5, 5, 5)


@pytest.mark.parametrize("frozen", [False, True])
def test_statistics_move_only_in_training_mode_and_when_not_frozen(side, frozen):
    network = build(side, freeze_bn_stats=frozen)
    images = side.tensor(np.random.default_rng(0).standard_normal((1, 3, 32, 48)).astype(np.float32))
    start = statistics(side, network)
    network(images)
    assert all(np.array_equal(start[name], value) for name, value in statistics(side, network).items())
    side.training.set_mode(network, True)
    network(images)
    moved = [not np.array_equal(start[name], value) for name, value in statistics(side, network).items()]
    assert not any(moved) if frozen else all(moved)


def test_the_same_seed_gives_the_same_weights_another_seed_others(side):
    first, same, other = (side.weights.get_weights(build(side, seed)) for seed in (1, 1, 2))
    assert all(np.array_equal(first[name], same[name]) for name in first)
    drawn = [name for name in first if np.ndim(first[name]) > 1]
    assert not any(np.array_equal(first[name], other[name]) for name in drawn)


@pytest.mark.parametrize("init", ["normal001", "kaiming"])
def test_twins_start_equal_to_the_bit(init):
    need_both()
    found = []
    for side in map(twin, ("torch", "mindspore")):
        network = build(side, 3, init=init)
        found.append(side.canonical(side.weights.get_weights(network), network))
    assert found[0].keys() == found[1].keys()
    assert all(np.array_equal(found[0][name], found[1][name]) for name in found[0])


def test_official_counts_of_parameters(side):
    """104 backbone convolutions, 16 head tensors, 44,496,216 trainable numbers in the official DeepLabV2-ResNet101."""
    network = side.nets.build_network(DeepLabV2Config(), 19)
    groups = side.training.parameter_groups(network)
    assert {name: len(group) for name, group in groups.items()} == {"backbone": 104, "head": 16}
    assert sum(int(np.prod(p.shape)) for group in groups.values() for p in group.values()) == 44_496_216
    manifest = {name: tuple(shape) for name, shape, _ in json.loads(MANIFEST.read_text())}
    weights = side.canonical(side.weights.get_weights(network), network)
    assert {name: array.shape for name, array in weights.items()}.items() <= manifest.items()


def test_weights_that_do_not_fit_are_refused_with_three_lists_and_nothing_changes(side):
    network = build(side)
    weights = side.weights.get_weights(network)
    bad = {name: value + 1 for name, value in weights.items() if name != "conv1.weight"}
    bad["layer6.conv2d_list.0.bias"] = np.zeros(6, np.float32)
    bad["extra.weight"] = np.zeros(1, np.float32)
    with pytest.raises(UserError, match=r"(?s)missing \(1\): conv1.weight.*unexpected \(1\): extra.*other shape \(1\)"):
        side.weights.set_weights(network, bad, "some.file")
    now = side.weights.get_weights(network)
    assert all(np.array_equal(now[name], weights[name]) for name in weights)


def test_what_may_differ_is_left_alone(side):
    network = build(side)
    before = side.weights.get_weights(network)
    given = {name: value + 1 for name, value in before.items() if not name.startswith("layer5.")}
    given["old.fc"] = np.zeros(3, np.float32)
    side.weights.set_weights(network, given, "some.file", may_miss=("layer5.",), may_exceed=("old.",))
    for name, value in side.weights.get_weights(network).items():
        assert np.array_equal(value, before[name] + (not name.startswith("layer5."))), name


def test_weights_are_copies(side):
    network = build(side)
    weights = side.weights.get_weights(network)
    weights["conv1.weight"][:] = 7
    assert not np.any(side.weights.get_weights(network)["conv1.weight"] == 7)
