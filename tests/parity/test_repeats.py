"""How often DiGA's official optimizer updates the parameters of whole networks."""

from collections import Counter

import pytest

from common.config import load_config
from common.repeats import repeats_of

torch = pytest.importorskip("torch", reason="the networks whose names are read are PyTorch's; it is not installed")


@pytest.mark.parametrize(
    ("network", "once"),
    [("deeplabv2_se", 5 * 4 + 4 + 4 + 1), ("deeplabv2", 2 * 4 * 2)],  # SE head; two classifiers of four convolutions
)
def test_backbones_are_repeated_and_heads_are_not(network, once):
    """The stem twice, four shortcuts four times, the 99 convolutions of the blocks of ResNet-101 three times."""
    config = load_config("diga/gta5_to_cityscapes", [f"network={{name: {network}}}"])
    from torch_impl.nets import NETWORKS

    with torch.device("meta"):
        module = NETWORKS[network](config.network, 19)
    names = [name for name, one in module.named_parameters() if one.requires_grad]
    assert Counter(repeats_of(names, config.optim.repeats)) == {1: once, 2: 1, 4: 4, 3: 99}
    heads = [name for name in names if name.startswith(module.HEADS)]
    assert len(heads) == once and set(repeats_of(heads, config.optim.repeats)) == {1}
