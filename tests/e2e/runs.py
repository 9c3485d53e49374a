"""Whole runs through the entry points, small enough for a test: tiny pictures of the embedded benchmark, few steps."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from common.data.toy_streets import ToyStreets, generate
from tests.e2e.streets import ROLES, roots

ROOT = Path(__file__).resolve().parents[2]
VENV = os.environ.get("TWINDA_VENV", str(ROOT / ".venv"))
LAUNCHERS = {"torch": "train_gpu.sh", "mindspore": "train_ascend.sh"}
TINY = {
    "train.batch_size": 1,
    "train.log_every": 1,
    "train.checkpoint_every": 2,
    "network.width": 8,
    "data.labelled.count": 3,
    "baselines": "[]",
    "method.rounds": 1,
}


def tiny_data(folder: Path) -> Path:
    """Draw eight source, eight target and four validation images."""
    generate(folder, ToyStreets(source=8, train=8, val=4, size=(128, 64)))
    return folder


def command(data: Path, out: Path, backend: str, *options: str, **changes: object) -> list[str]:
    """Return the command line of a tiny run in one process; arguments as of ``tiny_run``."""
    script = str(ROOT / "scripts" / "train.py")
    return [sys.executable, script, "--backend", backend, *tiny_run(data, out, backend, *options, **changes)]


def tiny_run(data: Path, out: Path, backend: str, *options: str, **changes: object) -> list[str]:
    """Return the words behind ``train.py --backend B``, or behind a launcher, that mean a tiny run of ``ddm/toy``.

    Args:
        data: What ``tiny_data`` drew.
        out: Folder of the runs.
        backend: "torch" or "mindspore".
        options: Further options of ``scripts/train.py``.
        changes: Keys of the configuration with ``__`` for a dot.
    """
    keys = {f"data.{role}.size": "[64,32]" for role in ROLES} | TINY
    keys |= {name.replace("__", "."): value for name, value in changes.items()}
    changed = [*roots(data), *(f"{key}={value}" for key, value in keys.items())]
    sets = [word for change in changed for word in ("--set", change)]
    return ["ddm/toy", *eager(backend), "--out", str(out), *sets, *options]


def eager(backend: str) -> tuple[str, ...]:
    """Return the option that spares a run of few steps the compilation of MindSpore's graphs."""
    return ("--compile", "off") if backend == "mindspore" else ()


def environment(**more: str) -> dict[str, str]:
    """Return the environment with one thread an operation: tests run beside each other on few cores."""
    return {**os.environ, "OMP_NUM_THREADS": "1", **more}


def train(data: Path, out: Path, backend: str, *options: str, **changes: object) -> subprocess.CompletedProcess:
    """Run to the end and return the finished process, whatever its status."""
    words = command(data, out, backend, *options, **changes)
    return subprocess.run(words, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)


def launch(backend: str, processes: int, log: Path, *words: str) -> subprocess.CompletedProcess:
    """Run a training in several processes through the launcher that users call; whatever its status, it has ended.

    Args:
        backend: "torch" or "mindspore".
        processes: How many.
        log: Folder for what msrun's processes say.
        words: Configuration and options, as for ``scripts/train.py`` without ``--backend``.
    """
    more = {"NPROC": str(processes), "MASTER_PORT": str(free_port()), "LOG_DIR": str(log), "TWINDA_VENV": VENV}
    line = ["bash", str(ROOT / "scripts" / LAUNCHERS[backend]), *words]
    return subprocess.run(line, cwd=ROOT, env=environment(**more), capture_output=True, text=True, check=False)


def results(run: Path) -> dict[str, bytes]:
    """Return every file of a finished run that must not depend on how it was cut: weights, moments, pseudo-labels."""
    kept = [p for p in (run / "stages").rglob("*") if p.suffix in (".pth", ".ckpt", ".png")]
    return {str(p.relative_to(run)): p.read_bytes() for p in kept}


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
