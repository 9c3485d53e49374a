"""Tables of the mobile networks, and what dropout keeps of them."""

from itertools import pairwise

import numpy as np
import pytest

from common.methods.class_samples import dropout
from common.methods.samples import Draws
from common.networks.mobile import EfficientNetConfig, MobileNetV3Config, ShuffleNetV2Config
from common.networks.mobile_layers import EFFICIENT, divisible, efficientnet, mobilenet_v2, mobilenet_v3


def test_channels_are_rounded_to_multiples_of_eight_and_never_down_by_a_tenth():
    assert [divisible(value) for value in (3, 8, 11, 12, 36, 40, 43, 44)] == [8, 8, 16, 16, 40, 40, 40, 48]
    for value in range(8, 200):
        assert divisible(value) % 8 == 0
        assert divisible(value) >= 0.9 * value


def test_blocks_follow_each_other():
    for blocks in (mobilenet_v3("small", 0.5)[1], mobilenet_v3("large")[1], mobilenet_v2(0.75)[1]):
        assert all(block.inputs == before.outputs for before, block in pairwise(blocks))
    small, large = mobilenet_v3("small"), mobilenet_v3("large")
    assert [block.squeezed for block in small[1]] == [8, 0, 0, 24, 64, 64, 32, 40, 72, 144, 144]
    assert (small[2:], large[2:]) == ((576, 1024), (960, 1280))


def test_paths_are_dropped_more_often_the_deeper_they_are():
    config = EfficientNetConfig()
    rates = config.path_rates()
    blocks = sum(len(stage) for stage in efficientnet()[1])
    assert (len(rates), blocks) == (9, 16)
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(0.2 * 14 / 16)  # the last block has other channels, and so no shortcut
    assert config.dropout_rate().shape == (config.dropout_units(),)


@pytest.mark.parametrize("config", [MobileNetV3Config(), EfficientNetConfig(), MobileNetV3Config(dropout=0.5)])
def test_dropout_keeps_the_share_that_the_rate_leaves(config):
    kept = dropout(config, Draws(0, "stage"), "kept", range(400))
    assert kept.shape == (400, config.dropout_units())
    assert kept.dtype == np.uint8
    assert set(np.unique(kept)) == {0, 1}
    assert kept.mean() == pytest.approx(1 - np.mean(config.dropout_rate()), abs=0.01)
    assert np.array_equal(kept[7:9], dropout(config, Draws(0, "stage"), "kept", [7, 8]))


@pytest.mark.parametrize("config", [ShuffleNetV2Config(), MobileNetV3Config(dropout=0.0)])
def test_a_network_without_dropout_draws_nothing(config):
    assert dropout(config, Draws(0, "stage"), "kept", range(4)) is None


@pytest.mark.parametrize("stride", [8, 16])
def test_a_lost_stride_becomes_a_dilation_behind_it(stride):
    """No block computes at a coarser place than the output, and the product of stride and dilation stays."""
    whole, dilated = ([b for stage in efficientnet(EFFICIENT["b3"], s)[1] for b in stage] for s in (32, stride))
    reached = [2 * np.prod([b.stride for b in blocks[: n + 1]]) for blocks in (whole, dilated) for n in range(26)]
    fine, coarse = reached[26:], reached[:26]
    assert fine == [min(one, stride) for one in coarse]
    before = [1, *(coarse[n] // fine[n] for n in range(25))]
    assert [block.dilation for block in dilated] == before and {block.dilation for block in whole} == {1}
