"""Wrappers around other people's weights."""

import numpy as np
import pytest

from common.pretrained import unwrap

NET = {name: np.full(2, i, np.float32) for i, name in enumerate(("conv1.weight", "layer1.0.bn1.weight", "layer5.bias"))}


def wrapped(prefix: str) -> dict[str, np.ndarray]:
    return {prefix + name: value for name, value in NET.items()}


@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "network._backbone.", "module._orig_mod."])
def test_shared_prefixes_go(prefix):
    assert unwrap(wrapped(prefix)) == NET


def test_the_imagenet_file_loses_its_old_head():
    assert list(unwrap(wrapped("Scale."))) == ["conv1.weight", "layer1.0.bn1.weight"]


def test_a_prefix_that_only_some_names_carry_is_part_of_the_name():
    mixed = {**wrapped("backbone."), "decoder.bias": np.zeros(1, np.float32)}
    assert unwrap(mixed) == mixed


def test_entries_of_a_mindspore_optimizer_go():
    moments = {f"moments.{name}": value for name, value in wrapped("network.").items()}
    counters = {"learning_rate": np.zeros(()), "global_step": np.zeros(())}
    assert unwrap({**wrapped("network."), **moments, **counters}) == NET


def test_nothing_at_all_stays_nothing():
    assert unwrap({}) == {}
