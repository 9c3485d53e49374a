"""Layout of residual networks: counts, strides, dilations, shortcuts, stem padding."""

import pytest

from common.networks.residual_layers import DEPTHS, pool_padding, stages


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("stride_in", ["conv1", "conv2"])
def test_channels_chain_and_only_the_second_stage_is_strided(depth, stride_in):
    factor, counts = DEPTHS[depth]
    layout = stages(depth, 64, stride_in)
    assert tuple(map(len, layout)) == counts
    channels = 64
    for index, stage in enumerate(layout):
        assert [block.stride for block in stage] == [2 if index == 1 else 1] + [1] * (len(stage) - 1)
        assert not any(block.downsample for block in stage[1:])
        for block in stage:
            assert block.inputs == channels
            channels = block.planes * factor
    assert channels == 512 * factor


def test_caffe_style_dilates_every_block_torchvision_style_not_the_first():
    caffe = [[block.dilation for block in stage] for stage in stages(50, 64, "conv1")]
    assert caffe == [[1] * 3, [1] * 4, [2] * 6, [4] * 3]
    torchvision = [[block.dilation for block in stage] for stage in stages(50, 64, "conv2")]
    assert torchvision == [[1] * 3, [1] * 4, [1] + [2] * 5, [2, 4, 4]]


def test_shortcuts_are_convolutions_only_where_the_shape_changes():
    assert [stage[0].downsample for stage in stages(18, 64, "conv1")] == [False, True, True, True]
    assert [stage[0].downsample for stage in stages(50, 64, "conv1")] == [True] * 4


@pytest.mark.parametrize(
    ("mode", "length", "want", "outputs"),
    [("ceil", 32, (1, 2), 17), ("ceil", 33, (1, 1), 17), ("same", 32, (1, 2), 17), ("same", 33, (2, 2), 18),
     ("floor", 32, (1, 1), 16), ("floor", 33, (1, 1), 17)],
)
def test_stem_padding_is_that_of_the_official_forms(mode, length, want, outputs):
    assert pool_padding(length, mode) == want
    assert (length + sum(want) - 3) // 2 + 1 == outputs
