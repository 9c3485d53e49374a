"""What the BatchNorm layers of every family of classifiers see: the same in both twins, beside the logits."""

import numpy as np
import pytest

from common.draws import generator
from common.errors import UserError
from common.networks.mobile import EfficientNetConfig, MobileNetV2Config, MobileNetV3Config, ShuffleNetV2Config
from common.networks.plain import AlexNetConfig
from common.networks.resnet import ResNetConfig
from tests.compare import assert_close
from tests.tolerances import GRADIENT, LOGITS
from tests.twins import need_both, twin

need_both()

CLASSES = 5
FAMILIES = {
    "resnet": ResNetConfig(depth=10, width=4, activation="softplus"),
    "resnet-small-stem": ResNetConfig(depth=10, width=4, stem="small"),
    "resnet-bottleneck": ResNetConfig(depth=50, width=2),
    "mobilenet-v3": MobileNetV3Config(width=0.25),
    "mobilenet-v2": MobileNetV2Config(width=0.25),
    "efficientnet": EfficientNetConfig(),
    "shufflenet": ShuffleNetV2Config(width="x0_5"),
}
QUICK = ("resnet", "resnet-small-stem", "mobilenet-v3")


def watched(name: str, family: str, images: np.ndarray) -> tuple[object, list[np.ndarray], np.ndarray]:
    """Return a twin's statistics object, what its pass gave, and the logits of the network alone."""
    side = twin(name)
    network = side.nets.build_network(FAMILIES[family], CLASSES)
    side.fill(network, "torch")
    statistics = side.module("nets.statistics").InputStatistics(network)
    side.training.set_mode(statistics, False)
    return statistics, [side.numpy(one) for one in statistics(side.tensor(images))], side.numpy(
        network(side.tensor(images))[-1]
    )


@pytest.mark.parametrize("family", [pytest.param(f, marks=[pytest.mark.slow] * (f not in QUICK)) for f in FAMILIES])
def test_inputs_of_every_family_agree(family: str) -> None:
    images = generator(0, "statistics").standard_normal((3, 3, 40, 32), np.float32)
    (hooks, want, _), (parts, got, own) = (watched(name, family, images) for name in ("torch", "mindspore"))
    assert np.array_equal(got[0], own)
    assert parts.names == hooks.names
    assert parts.channels == hooks.channels == len(want[1])
    for what, a, b in zip(("logits", "means", "variances"), got, want):
        assert_close(f"{family} {what}", a, b, LOGITS)


def test_gradients_of_the_statistics_agree() -> None:
    images = generator(1, "statistics").standard_normal((3, 3, 16, 16), np.float32)
    found = []
    for name in ("torch", "mindspore"):
        side = twin(name)
        network = side.nets.build_network(FAMILIES["resnet"], CLASSES)
        side.fill(network, "torch")
        statistics = side.module("nets.statistics").InputStatistics(network)

        def distance(x, statistics=statistics):
            logits, mean, variance = statistics(x)
            return ((mean * mean).sum() + (variance * variance).sum() + logits.sum(),)

        found.append(side.gradients(distance, images)[1][0])
    assert_close("gradient", found[1], found[0], GRADIENT)


def test_one_value_a_channel_has_no_variance(side) -> None:
    """Not NaN: the last maps of a deep network are single pixels, and a batch may be a single image."""
    statistics = side.module("nets.statistics").channel_statistics
    mean, variance = statistics(side.tensor(np.full((1, 2, 1, 1), 3.0, np.float32)))
    assert side.numpy(mean).tolist() == [3.0, 3.0]
    assert side.numpy(variance).tolist() == [0.0, 0.0]


def test_a_network_without_batch_norm_is_refused(side) -> None:
    network = side.nets.build_network(AlexNetConfig(), CLASSES)
    with pytest.raises(UserError, match="AlexNet has no BatchNorm"):
        side.module("nets.statistics").InputStatistics(network)
