"""One rank of the tests in test_distributed.py; started by ``torchrun`` or ``msrun``.

    rank_worker.py BACKEND FOLDER JOB...

A job is a few steps of an objective, its state to be found in ``JOB-rankN.npz``.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from common.backends import open_backend
from tests.parity import small_diga
from tests.parity.small import batch, build, configuration

STEPS = 3


@dataclass(frozen=True)
class Job:
    """A few steps of an objective.

    Attributes:
        objective: Its name.
        compiled: Whether its steps are.
        frozen: Whether running statistics stay as they are.
    """

    objective: str
    compiled: bool = False
    frozen: bool = True

    def __str__(self) -> str:
        return f"{self.objective}:{'compiled' * self.compiled}:{'frozen' * self.frozen}"

    @classmethod
    def read(cls, text: str) -> "Job":
        """Return the job that these words mean."""
        objective, compiled, frozen = text.split(":")
        return cls(objective, bool(compiled), bool(frozen))

    def file(self, folder: Path, rank: int) -> Path:
        """Return where a rank writes its state."""
        return folder / f"{self}-rank{rank}.npz"


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
    """Do all jobs: processes are slow to start."""
    name, folder, *jobs = sys.argv[1:]
    backend = open_backend(name, device="cpu", threads=1)
    for job in map(Job.read, jobs):
        backend.compile = job.compiled
        work(backend, job, Path(folder))
    backend.barrier()
    backend.close()


def work(backend, job: Job, folder: Path) -> None:
    """Train a few steps on this rank's half of the batch and write the state."""
    model, batches, lr = started(backend, job.objective, job.frozen)
    halves = [small_diga.of_rank(one, backend.rank) for one in batches]
    losses = [model.step(half, lr) for half in halves]
    means = [backend.average({key: float(backend.numpy(v)) for key, v in one.items()}) for one in losses]
    state = model.state()
    arrays = {f"{part}/{key}": value for part in state for key, value in state[part].items()}
    counted = backend.total(np.array([backend.rank + 1, 1 << 40], np.int64))
    arrays |= {"losses": np.array([list(one.values()) for one in means]), "counted": counted}
    np.savez(job.file(folder, backend.rank), **arrays)


if __name__ == "__main__":
    main()
