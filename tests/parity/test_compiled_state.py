"""Weights given to a network whose step was compiled before."""

import numpy as np
import pytest

from common.backends import open_backend
from tests.compare import assert_close
from tests.parity.small import batch, build, configuration
from tests.tolerances import OPTIMIZER


@pytest.mark.slow
def test_weights_loaded_behind_a_compiled_step_are_used_and_trained():
    """A graph keeps the memory of its parameters; loading must fill that memory, not replace it."""
    pytest.importorskip("mindspore", reason="mindspore is not installed")
    backend = open_backend("mindspore", device="cpu", compile=True)
    config = configuration("ddm_region", train={"ema": 0.9})
    fresh, used = (build(backend, "ddm_region", config) for _ in range(2))
    start, batches = fresh.state(), [batch("ddm_region", seed=seed) for seed in range(3)]
    used.step(batches[2], 0.05)
    used.predict(batches[0]["mixed_image"])
    used.load_state(start)
    assert all(np.array_equal(used.state()[part][name], v) for part in start for name, v in start[part].items())
    for one in batches[:2]:
        want, got = (backend.numpy(model.step(one, 0.05)["loss"]) for model in (fresh, used))
        assert_close("loss", got, want, OPTIMIZER)
    state = used.state()
    for part, arrays in fresh.state().items():
        for name, value in arrays.items():
            assert_close(f"{part} {name}", state[part][name], value, OPTIMIZER)
    logits = [backend.numpy(model.predict(batches[0]["mixed_image"])) for model in (fresh, used)]
    assert_close("logits", logits[1], logits[0], OPTIMIZER)
