"""Set-up of all tests: one computing thread a process, unless the caller says otherwise, and cores of its own.

Both frameworks keep a pool of threads that spin while they wait. Where both live in one process on two cores, or
several tests run at once, tiny networks then take ten times as long. What one worker's threads spin away on the core
of another is a fifth of all time.
"""

import gc
import os
import sys
import threading

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


def _take_cores(worker: str, workers: int) -> None:
    """Keep this process of pytest-xdist, ``gw0`` and so on, and all that it starts, to its share of the cores."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) >= workers:
        os.sched_setaffinity(0, cores[int(worker.removeprefix("gw")) :: workers])


if "PYTEST_XDIST_WORKER" in os.environ:
    _take_cores(os.environ["PYTEST_XDIST_WORKER"], int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test of a backend whose framework is not installed; of the other one everything is tested."""
    from common.backends import BACKENDS, installed

    given = item.callspec.params if hasattr(item, "callspec") else {}
    for name in (given.get("backend"), given.get("name")):
        if isinstance(name, str) and name in BACKENDS and not installed(name):
            pytest.skip(f"{name} is not installed")


@pytest.fixture(scope="session", autouse=True)
def torch_first():
    """Open the PyTorch backend before MindSpore is imported, as a run on PyTorch alone would find the process."""
    from common.backends import installed, open_backend

    if installed("torch"):
        open_backend("torch", device="cpu")


@pytest.fixture(scope="session", autouse=True)
def waiting_yields(torch_first):
    """Let MindSpore's main thread, which spins while a graph runs, give way to the threads that run it.

    They share a worker's one core: compiled steps take a fifth less. Threads that begin later would inherit the lower
    priority; so the pools are filled first. Without workers it stays: beside busy neighbours it would starve.
    """
    import numpy as np

    from common.backends import installed, open_backend

    if "PYTEST_XDIST_WORKER" in os.environ and sys.platform == "linux" and installed("mindspore"):
        backend = open_backend("mindspore", device="cpu")
        backend.numpy(backend.tensor(np.ones(2, np.float32)) + 1)
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 4)


@pytest.fixture(scope="module", autouse=True)
def graphs_given_back():
    """Let the compiled graphs of a file's tests go when they are done: MindSpore keeps all, and memory would grow."""
    from common.memory import give_back

    yield
    gc.collect()
    if (mindspore := sys.modules.get("mindspore")) is not None:
        mindspore.ms_memory_recycle()
    give_back()


@pytest.fixture(scope="module")
def backends():
    """Both backends on the CPU, op by op, by name; skips the file where either framework is not installed."""
    from common.backends import open_backend
    from tests.twins import TWINS, need_both

    need_both()
    opened = {name: open_backend(name, device="cpu", compile=False) for name in TWINS}
    yield opened
    for backend in opened.values():
        backend.close()


@pytest.fixture(params=["torch", "mindspore"])
def side(request):
    """Each twin in turn (``tests.twins.Twin``); skips the one whose framework is not installed."""
    from tests.twins import twin

    pytest.importorskip(request.param, reason=f"{request.param} is not installed")
    return twin(request.param)
