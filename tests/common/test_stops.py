"""Runs that end before their time: a signal, a disk that refuses, kill -9; each goes on to the same end."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common import checkpoint
from common.errors import UserError
from common.stop import Stopped, StopSignal
from tests.common.engine_runs import STEPS, final_state, losses, run
from tests.fake_backend import FakeBackend

ROOT = Path(__file__).resolve().parents[2]


def test_several_ranks_stop_together() -> None:
    """A signal to any of them counts, at a step at which all ask."""
    backend = FakeBackend()
    backend.world, backend.average = 2, lambda values: dict.fromkeys(values, 0.5)  # the other rank was told
    with StopSignal(backend) as stop, stop.at_next_step():
        assert stop.asked(together=False) == 0
        assert stop.asked(together=True) == signal.SIGTERM


def test_a_second_signal_stops_at_once() -> None:
    """As does one outside a step."""
    with StopSignal(FakeBackend()) as stop:
        with stop.at_next_step():
            os.kill(os.getpid(), signal.SIGINT)
            assert stop.asked(together=True) == signal.SIGINT
            with pytest.raises(Stopped):
                os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_stops(whole: Path, tmp_path: Path, signum: int) -> None:
    """After the step in which it came, at a step where no checkpoint was due."""

    class Signalled(FakeBackend):
        def memory_gib(self) -> float:  # called when step 4 is logged
            if self.steps_run == 4:
                os.kill(os.getpid(), signum)
            return 0.5

    with pytest.raises(Stopped, match=r"teacher: stopped and saved after step 5 of 12") as caught:
        run(tmp_path, backend=Signalled())
    assert caught.value.status == 128 + signum
    assert [p.name for p in checkpoint.steps(tmp_path / "stages/teacher/checkpoints")] == ["step-000003", "step-000005"]
    run(tmp_path)
    assert final_state(tmp_path) == final_state(whole)


@pytest.mark.parametrize("error", [28, 30])
def test_a_disk_that_refuses_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    """Full or read-only; what was saved stays, and the run goes on when there is room again."""
    calls = 0

    def write(self, part: dict, path: Path) -> None:
        nonlocal calls
        calls += 1
        if calls > 8:
            path.write_bytes(b"half")
            raise OSError(error, os.strerror(error), str(path))
        save(self, part, path)

    save = FakeBackend.save
    monkeypatch.setattr(FakeBackend, "save", write)
    with pytest.raises(UserError, match=rf"not written \({os.strerror(error)}\); what was saved before is untouched"):
        run(tmp_path)
    assert not list(tmp_path.rglob("*.part"))
    monkeypatch.setattr(FakeBackend, "save", save)
    assert run(tmp_path).steps_run < 3 * STEPS


VICTIM = """
import sys
from pathlib import Path
from tests.common.engine_runs import run
from tests.fake_backend import FakeBackend
run(Path(sys.argv[1]), backend=FakeBackend(seconds=0.03))
"""


@pytest.mark.slow
def test_killed_at_random_moments_it_still_ends_the_same(whole: Path, tmp_path: Path) -> None:
    """kill -9 a process again and again until one comes to the end."""
    rng, kills = random.Random(7), 0
    command = [sys.executable, "-c", VICTIM, str(tmp_path)]
    while True:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        give_up = time.monotonic() + 60 if kills == 12 else time.monotonic() + rng.uniform(0.6, 1.4)
        while process.poll() is None and time.monotonic() < give_up:
            time.sleep(0.01)
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        kills += 1
        for folder in (tmp_path / "stages").rglob("step-*"):
            checkpoint.verify(folder)
    assert process.returncode == 0, process.stderr.read().decode()[-2000:]
    assert kills > 1
    assert final_state(tmp_path) == final_state(whole)
    assert losses(tmp_path) == losses(whole)
