"""EfficientNet as an encoder of segmentation: dilation in place of strides, torchvision's files, stochastic depth."""

import numpy as np
import pytest

from common.draws import generator
from common.networks.deeplabv2_efficientnet import DeepLabV2EfficientNetConfig
from common.networks.mobile import EfficientNetConfig
from common.networks.mobile_layers import EFFICIENT, efficientnet
from convert.layouts import LAYOUTS, guess
from tests.compare import assert_close
from tests.tolerances import LOGITS

CLASSES = 5
SMALL = {"width": 0.25, "depth": 0.5}
PARAMETERS = {  # published by torchvision for its 1000 classes
    "b0": 5288548, "b1": 7794184, "b2": 9109994, "b3": 12233232,
    "b4": 19341616, "b5": 30389784, "b6": 43040704, "b7": 66347960,
}  # fmt: skip


def network_of(side, **options):
    """Return a description and its network with reference weights."""
    config = DeepLabV2EfficientNetConfig(**{**SMALL, **options})
    network = side.nets.build_network(config, CLASSES)
    side.fill(network, "torch")
    return config, network


@pytest.mark.slow
@pytest.mark.parametrize("stride", [8, pytest.param(16, marks=pytest.mark.exhaustive)])
def test_a_dilated_encoder_computes_the_strided_one_at_its_places(side, stride):
    """Where excitation is a constant, which else would see another mean; images end in the middle of a cell."""
    images, found = generator(0, "dilated").standard_normal((2, 3, 70, 101), np.float32), []
    for asked in (32, stride):
        _, network = network_of(side, output_stride=asked)
        weights = side.weights.get_weights(network)
        side.weights.set_weights(network, {k: v * (".fc2.weight" not in k) for k, v in weights.items()})
        found.append(side.numpy(network(side.tensor(images))[0]))
    coarse, fine = found
    step = 32 // stride
    assert fine.shape[2:] == tuple(-(-length // stride) for length in (70, 101))
    assert_close("feature", fine[:, :, ::step, ::step], coarse, LOGITS)


@pytest.mark.slow
def test_a_dropped_branch_leaves_the_shortcut(side):
    """Numbers below a block's rate drop its branch, and the others count for more; the mean is kept."""
    config, network = network_of(side, drop_path=0.8)
    images = side.tensor(generator(1, "paths").standard_normal((2, 3, 48, 64), np.float32))
    assert config.draws == len(config.path_rates()) == 4 and config.path_rates()[0] == 0  # of the first block
    all_kept = np.ones((2, config.draws), np.float32)
    plain, kept, dropped = (network(images, x) for x in (None, side.tensor(all_kept), side.tensor(0 * all_kept)))
    assert np.abs(side.numpy(kept[0]) - side.numpy(plain[0])).max() > 1e-3  # larger by 1 / (1 - rate)
    calm = network_of(side, drop_path=0.0)[1](images, side.tensor(0 * all_kept))
    assert_close("nothing dropped", side.numpy(calm[1]), side.numpy(plain[1]), LOGITS)
    x = network.features[0](images)
    for number, block in enumerate(network.blocks()):
        x = block(x) if number == 0 or not block.residual else x
    last = network.features[len(network.features) - 1]
    assert_close("all dropped", side.numpy(last(x)), side.numpy(dropped[0]), LOGITS)


@pytest.mark.parametrize("variant", PARAMETERS)
def test_files_of_every_variant_are_known_by_their_shapes(variant):
    """The sum of all sizes is the published one, so no channel and no block is another."""
    layout, (_, stages, last) = LAYOUTS["torchvision-efficientnet"], efficientnet(EFFICIENT[variant])
    hint = {f"features.{n}.{p}.block.0.0.weight": () for n, stage in enumerate(stages, 1) for p in range(len(stage))}
    shapes = layout.expected({**hint, "features.8.0.weight": (last,)})
    sizes = {name: int(np.prod(shape)) for name, shape in shapes.items() if "running_" not in name and shape}
    assert sum(sizes.values()) == PARAMETERS[variant]
    assert layout.form(shapes)["name"] == f"efficientnet_{variant}"
    assert guess(shapes) == ["torchvision-efficientnet"]


@pytest.mark.slow
def test_torchvisions_weights_are_the_encoders(side):
    """The same names and shapes, but for either classifier; the larger ones have BatchNorms of their own."""
    classifier = side.nets.build_network(EfficientNetConfig(), CLASSES)
    encoder = side.nets.build_network(DeepLabV2EfficientNetConfig(), CLASSES)
    given = side.weights.get_weights(classifier)
    side.weights.set_weights(encoder, given, "torchvision's", ("layer6.",), ("classifier.",))
    for name, value in side.weights.get_weights(encoder).items():
        assert name.startswith("layer6.") or np.array_equal(value, given[name])
    for variant, eps, momentum in (("b4", 1e-5, 0.1), ("b5", 1e-3, 0.01)):
        layers = [layer for _, layer in side.layers(network_of(side, variant=variant)[1])]
        norms = [layer for layer in layers if "BatchNorm" in type(layer).__name__]
        assert {layer.eps for layer in norms} == {eps} and norms[0].momentum == pytest.approx(momentum)
