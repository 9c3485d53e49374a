"""One rank of the tests in test_distributed.py; started by ``torchrun`` or ``msrun``.

    rank_worker.py BACKEND OBJECTIVE FOLDER COMPILE FREEZE_STATS
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from common.backends import open_backend
from tests.parity import small_diga
from tests.parity.small import batch, build, configuration

STEPS = 3


def started(backend, objective: str, frozen: bool):
    """Return an objective, the whole batches of its steps, and the rate; weights must move beyond their last digits."""
    if objective.startswith("diga"):
        method = {"centroids": {"momentum": 0.2}, "ce_normalise": "valid", "distil_mask": True}
        config = small_diga.configuration("se", method, freeze_bn_stats=frozen)
        config = config.model_copy(update={"optim": config.optim.model_copy(update={"head_lr_mult": 0.5})})
        model = backend.build(config, objective)
        channels = getattr(model.network, "feature_channels", 1)
        return model, [small_diga.batch(config, step, channels) for step in range(STEPS)], 2.0
    config = configuration(objective, network={"freeze_bn_stats": frozen}, optim={"clip": 1.0})
    return build(backend, objective, config), [batch(objective, images=2)] * STEPS, 0.1


def main() -> None:
    """Train a few steps on this rank's half of the batch and write the state."""
    name, objective, folder, compiled, frozen = sys.argv[1:]
    backend = open_backend(name, device="cpu", compile=compiled == "True", threads=1)
    model, batches, lr = started(backend, objective, frozen == "True")
    halves = [small_diga.of_rank(one, backend.rank) for one in batches]
    losses = [model.step(half, lr) for half in halves]
    means = [backend.average({key: float(backend.numpy(v)) for key, v in one.items()}) for one in losses]
    state = model.state()
    arrays = {f"{part}/{key}": value for part in state for key, value in state[part].items()}
    counted = backend.total(np.array([backend.rank + 1, 1 << 40], np.int64))
    arrays |= {"losses": np.array([list(one.values()) for one in means]), "counted": counted}
    np.savez(Path(folder) / f"rank{backend.rank}.npz", **arrays)
    backend.barrier()
    backend.close()


if __name__ == "__main__":
    main()
