"""Two processes compute what one process with twice the batch computes, on CPUs; their states never part."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from common.backends import open_backend
from tests.compare import assert_change, assert_close
from tests.e2e.runs import free_port
from tests.parity.rank_worker import started
from tests.tolerances import GRADIENT

WORKER = Path(__file__).with_name("rank_worker.py")
CASES = [
    pytest.param("torch", "ddm_sample", False, id="torch-sample"),
    pytest.param("torch", "ddm_student", False, id="torch-student"),
    pytest.param("torch", "iast_warmup", False, id="torch-warmup"),
    pytest.param("torch", "iast_self_training", False, id="torch-self-training"),
    pytest.param("mindspore", "ddm_sample", False, id="mindspore-sample", marks=pytest.mark.exhaustive),
    pytest.param("mindspore", "iast_self_training", False, id="mindspore-self-training"),
    pytest.param("mindspore", "ddm_region", True, id="mindspore-region-compiled"),
    pytest.param("torch", "diga_selftraining", False, id="torch-consensus"),
    pytest.param("mindspore", "diga_selftraining", False, id="mindspore-consensus", marks=pytest.mark.exhaustive),
]


def launch(backend: str, objective: str, folder: Path, compiled: bool, frozen: bool) -> list[dict[str, np.ndarray]]:
    """Run two ranks and return what each wrote."""
    bin_folder, port = Path(sys.executable).parent, free_port()
    if backend == "torch":
        start = [bin_folder / "torchrun", "--nproc_per_node=2", f"--master_port={port}"]
    else:
        start = [bin_folder / "msrun", "--worker_num=2", "--local_worker_num=2", f"--master_port={port}"]
        start += [f"--log_dir={folder / 'log'}", "--join=True"]
    command = [str(part) for part in (*start, WORKER, backend, objective, folder, compiled, frozen)]
    environment = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"}  # msrun calls plain "python"
    options = {"cwd": folder, "env": environment, "capture_output": True, "text": True, "timeout": 500}
    done = subprocess.run(command, **options, check=False)
    logs = "".join(path.read_text()[-2000:] for path in folder.glob("log/worker_*.log"))
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:] + logs
    return [dict(np.load(folder / f"rank{rank}.npz")) for rank in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "objective", "compiled"), CASES)
def test_two_ranks_equal_one_with_twice_the_batch(backend, objective, compiled, tmp_path):
    ranks = launch(backend, objective, tmp_path, compiled, frozen=True)
    alone = open_backend(backend, device="cpu", compile=False)
    model, batches, lr = started(alone, objective, frozen=True)
    before = model.state()
    losses = [model.step(one, lr) for one in batches]
    want = np.array([[float(alone.numpy(value)) for value in one.values()] for one in losses])
    for rank in ranks:
        assert_close("losses", rank["losses"], want, GRADIENT)
        for part, arrays in model.state().items():
            for key, value in arrays.items():
                assert_change(f"{part} {key}", rank[f"{part}/{key}"], value, before[part][key], GRADIENT)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "objective"),
    [
        ("torch", "diga_selftraining"),  # whose teacher has statistics of its own
        ("mindspore", "ddm_region"),
        pytest.param("torch", "ddm_region", marks=pytest.mark.exhaustive),
        pytest.param("mindspore", "diga_selftraining", marks=pytest.mark.exhaustive),
    ],
)
def test_ranks_never_part(backend, objective, tmp_path):
    """Weights, moments and running statistics are equal to the bit on all ranks, though each saw its own images."""
    first, second = launch(backend, objective, tmp_path, compiled=False, frozen=False)
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert np.array_equal(value, second[key]), key
    assert first["counted"].tolist() == [3, 1 << 41]
