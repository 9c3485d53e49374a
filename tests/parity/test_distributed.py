"""Two processes compute what one process with twice the batch computes, on CPUs; their states never part."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.backends import open_backend
from tests.compare import assert_change, assert_close
from tests.e2e.runs import free_port
from tests.parity.rank_worker import Job, started
from tests.tolerances import GRADIENT

pytestmark = pytest.mark.slow
WORKER = Path(__file__).with_name("rank_worker.py")
USUAL = {  # backend -> what two processes do in one go
    "torch": (
        *(Job("ddm_sample"), Job("ddm_student"), Job("iast_warmup"), Job("iast_self_training")),
        *(Job("diga_selftraining"), Job("diga_selftraining", frozen=False)),  # its teacher has statistics of its own
    ),
    "mindspore": (Job("iast_self_training"), Job("ddm_region", compiled=True), Job("ddm_region", frozen=False)),
}
FURTHER = {
    "torch": (Job("ddm_region", frozen=False),),
    "mindspore": (Job("ddm_sample"), Job("diga_selftraining"), Job("diga_selftraining", frozen=False)),
}
Ranks = list[dict[str, np.ndarray]]


def cases(frozen: bool) -> list:
    """Return all jobs whose running statistics stay, or move."""
    usual = [(backend, job, ()) for backend, jobs in USUAL.items() for job in jobs]
    further = [(backend, job, pytest.mark.exhaustive) for backend, jobs in FURTHER.items() for job in jobs]
    chosen = [case for case in (*usual, *further) if case[1].frozen == frozen]
    return [pytest.param(backend, job, id=f"{backend}-{job}", marks=marks) for backend, job, marks in chosen]


@pytest.fixture(scope="module")
def ranks_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Job], Ranks]:
    """What both ranks wrote of a job; those that are usual are done together."""
    folders: dict[tuple, Path] = {}

    def ranks_of(backend: str, job: Job) -> Ranks:
        together = USUAL[backend] if job in USUAL[backend] else (job,)
        if (backend, together) not in folders:
            folders[backend, together] = tmp_path_factory.mktemp(backend)
            launch(backend, together, folders[backend, together])
        return [dict(np.load(job.file(folders[backend, together], rank))) for rank in range(2)]

    return ranks_of


def launch(backend: str, jobs: tuple[Job, ...], folder: Path) -> None:
    """Let two ranks do some jobs."""
    bin_folder, port = Path(sys.executable).parent, free_port()
    if backend == "torch":
        start = [bin_folder / "torchrun", "--nproc_per_node=2", f"--master_port={port}"]
    else:
        start = [bin_folder / "msrun", "--worker_num=2", "--local_worker_num=2", f"--master_port={port}"]
        start += [f"--log_dir={folder / 'log'}", "--join=True"]
    command = [str(part) for part in (*start, WORKER, backend, folder, *jobs)]
    environment = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"}  # msrun calls plain "python"
    options = {"cwd": folder, "env": environment, "capture_output": True, "text": True, "timeout": 500}
    done = subprocess.run(command, **options, check=False)
    logs = "".join(path.read_text()[-2000:] for path in folder.glob("log/worker_*.log"))
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:] + logs


@pytest.mark.parametrize(("backend", "job"), cases(frozen=True))
def test_two_ranks_equal_one_with_twice_the_batch(ranks_of, backend: str, job: Job) -> None:
    ranks, alone = ranks_of(backend, job), open_backend(backend, device="cpu", compile=False)
    model, batches, lr = started(alone, job.objective, frozen=True)
    before = model.state()
    losses = [model.step(one, lr) for one in batches]
    want = np.array([[float(alone.numpy(value)) for value in one.values()] for one in losses])
    for rank in ranks:
        assert_close("losses", rank["losses"], want, GRADIENT)
        for part, arrays in model.state().items():
            for key, value in arrays.items():
                assert_change(f"{part} {key}", rank[f"{part}/{key}"], value, before[part][key], GRADIENT)


@pytest.mark.parametrize(("backend", "job"), cases(frozen=False))
def test_ranks_never_part(ranks_of, backend: str, job: Job) -> None:
    """Weights, moments and running statistics are equal to the bit on all ranks, though each saw its own images."""
    first, second = ranks_of(backend, job)
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert np.array_equal(value, second[key]), key
    assert first["counted"].tolist() == [3, 1 << 41]
