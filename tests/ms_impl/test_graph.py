"""The MindSpore twin under its graph compiler: every branch of the networks gives what it gives op by op."""

import numpy as np
import pytest

from common.backends import open_backend
from common.errors import UserError
from common.networks.deeplabv2 import DeepLabV2Config
from tests.compare import assert_close
from tests.parity.small import batch, configuration
from tests.tolerances import GRADIENT
from tests.twins import twin

mindspore = pytest.importorskip("mindspore", reason="MindSpore is not installed")


@pytest.mark.parametrize(
    "options",
    [
        {"depth": 18, "maxpool": "same"},
        pytest.param({"depth": 50, "maxpool": "ceil", "aux": False, "stride_in": "conv2"}, marks=pytest.mark.slow),
        {"depth": 18, "maxpool": "floor", "pool": "average", "activation": "softplus", "freeze_bn_stats": True},
    ],
    ids=["same", "single", "smooth"],
)
def test_loss_and_gradients_compile(options):
    side = twin("mindspore")
    network = side.nets.build_network(DeepLabV2Config(width=4, **options), 3)
    side.fill(network, "torch")
    side.training.set_mode(network, True)
    start = side.weights.get_weights(network)
    draw = np.random.default_rng(0)
    images = side.tensor(draw.standard_normal((2, 3, 33, 42)).astype(np.float32))
    label = side.tensor(draw.integers(0, 3, (2, 33, 42)).astype(np.int32))

    def loss(images, label):
        aux, _, main = network(images)
        return side.losses.segmentation_loss(aux, main, label)[0]

    groups = side.training.parameter_groups(network)
    parameters = [p for group in groups.values() for p in group.values()]
    step = mindspore.value_and_grad(loss, None, mindspore.ParameterTuple(parameters))
    want, want_grads = step(images, label)
    moved = side.weights.get_weights(network)
    side.weights.set_weights(network, start)
    got, got_grads = mindspore.jit(step)(images, label)
    assert_close("loss", side.numpy(got), side.numpy(want), GRADIENT)
    for parameter, a, b in zip(parameters, got_grads, want_grads):
        assert_close(parameter.name, side.numpy(a), side.numpy(b), GRADIENT)
    for name, value in side.weights.get_weights(network).items():
        assert_close(name, value, moved[name], GRADIENT)


def test_a_step_that_failed_leaves_no_trace():
    """MindSpore goes on recording behind an error in a differentiated function, unless it is told to stop."""
    student = open_backend("mindspore", device="cpu", compile=False).build(configuration("ddm_student"), "ddm_student")
    with pytest.raises(UserError, match="needs both teachers"):
        student.step(batch("ddm_student"), 0.1)
    values = mindspore.Tensor(np.arange(6, dtype=np.float32).reshape(2, 3))
    rows = mindspore.Tensor(np.array([[2], [0]], np.int32))

    def picked(values):
        return (mindspore.ops.gather_elements(values, 1, rows) ** 2).sum()

    gradient = mindspore.jit(mindspore.grad(picked))(values)
    assert gradient.asnumpy().tolist() == [[0.0, 0.0, 4.0], [6.0, 0.0, 0.0]]
