"""An averaged copy follows a network by the formula, op by op and compiled, with weights that were loaded later too."""

import numpy as np
import pytest

from common.backends import open_backend
from tests.compare import assert_close
from tests.parity.small import build, configuration
from tests.tolerances import OPTIMIZER
from tests.twins import twin

STATISTICS = ("running_mean", "running_var", "moving_mean", "moving_variance")
MOMENTA = (0.9, 0.0, 0.25)


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize(
    ("name", "compile"),
    [("torch", False), ("mindspore", False), pytest.param("mindspore", True, marks=pytest.mark.slow)],
)
def test_it_follows(name, compile, statistics):
    side, backend = twin(name), open_backend(name, device="cpu", compile=compile)
    model = build(backend, "supervised_classes", configuration("supervised_classes", train={"ema": 0.9}))
    copy, network = model.average, model.network
    weights = side.weights
    follower = side.module("averaging").Follower(copy, network, compile, statistics)
    want = {key: value.astype(np.float64) for key, value in weights.get_weights(copy).items()}
    for number, momentum in enumerate(MOMENTA):
        moved = {key: value + value.dtype.type(number + 1) for key, value in weights.get_weights(network).items()}
        weights.set_weights(network, moved)
        follower.follow(momentum)
        got = weights.get_weights(copy)
        for key, new in moved.items():
            if key.endswith(STATISTICS) and not statistics:
                assert np.array_equal(got[key], want[key])
            elif new.dtype == np.float32:
                want[key] = momentum * want[key] + (1.0 - momentum) * new
                assert_close(f"{number} {key}", got[key], want[key], OPTIMIZER)
