"""Recomputing activations changes memory, not numbers: gradients and running statistics stay, in both twins."""

import pytest

from common.networks.deeplabv2 import DeepLabV2Config
from tests.compare import assert_close
from tests.parity.test_networks import CLASSES, SMOOTH, gradients
from tests.tolerances import GRADIENT
from tests.twins import twin

SIZE = (48, 64)


@pytest.mark.parametrize("frozen", [False, True], ids=["live", "frozen"])
def test_gradients_and_running_statistics_stay(side, frozen):
    found = []
    for recompute in (False, True):
        config = DeepLabV2Config(depth=18, width=8, freeze_bn_stats=frozen, **SMOOTH)
        network = side.nets.build_network(config, CLASSES)
        side.fill(network, "torch")
        if recompute:
            side.module("nets.recompute").recompute_blocks(network)
        found.append((gradients(side, network, SIZE, True), side.canonical(side.weights.get_weights(network), network)))
    for want, got in zip(*found):
        assert got.keys() == want.keys()
        for key in want:
            assert_close(f"{side.name} {key}", got[key], want[key], GRADIENT)


def test_torch_keeps_less_for_the_backward_pass():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    side, kept = twin("torch"), []
    for recompute in (False, True):
        network = side.nets.build_network(DeepLabV2Config(depth=50, width=8), CLASSES)
        side.training.set_mode(network, True)
        if recompute:
            side.module("nets.recompute").recompute_blocks(network)
        sizes = {}

        def pack(tensor, sizes=sizes):
            sizes[tensor.data_ptr()] = tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            outputs = network(torch.zeros(2, 3, *SIZE))
        kept.append(sum(sizes.values()))
        assert outputs[1].requires_grad
    assert kept[1] < 0.6 * kept[0]
