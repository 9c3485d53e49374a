"""One rank of the tests in test_distributed.py; started by ``torchrun`` or ``msrun``.

    rank_worker.py BACKEND OBJECTIVE FOLDER COMPILE FREEZE_STATS
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from common.backends import open_backend
from tests.parity.small import batch, build, configuration

STEPS, LR = 3, 0.1


def main() -> None:
    """Train a few steps on this rank's half of the batch and write the state."""
    name, objective, folder, compiled, frozen = sys.argv[1:]
    backend = open_backend(name, device="cpu", compile=compiled == "True", threads=1)
    config = configuration(objective, network={"freeze_bn_stats": frozen == "True"}, optim={"clip": 1.0})
    model, whole = build(backend, objective, config), batch(objective, images=2)
    half = {key: array[backend.rank : backend.rank + 1] for key, array in whole.items()}
    losses = [model.step(half, LR) for _ in range(STEPS)]
    means = [backend.average({key: float(backend.numpy(v)) for key, v in one.items()}) for one in losses]
    state = model.state()
    arrays = {f"{part}/{key}": value for part in state for key, value in state[part].items()}
    counted = backend.total(np.array([backend.rank + 1, 1 << 40], np.int64))
    arrays |= {"losses": np.array([list(one.values()) for one in means]), "counted": counted}
    np.savez(Path(folder) / f"rank{backend.rank}.npz", **arrays)
    backend.barrier()
    backend.close()


main()
