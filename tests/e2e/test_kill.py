"""kill -9 in the middle of every stage, then --resume: the same weights and moments to the bit, on either framework."""

import random
import subprocess
import time
from pathlib import Path

import pytest

from common import checkpoint
from common.log import read_journal
from tests.e2e.runs import ROOT, command, environment, results, tiny_data, train

STEPS = 3  # of each of the three networks


def kill_at(words: list[str], metrics: Path, lines: int, delay: float) -> None:
    """Start a run and kill it ``delay`` seconds after it has reported ``lines`` times."""
    process = subprocess.Popen(words, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    give_up = time.monotonic() + 300
    while len(read_journal(metrics)) < lines and process.poll() is None and time.monotonic() < give_up:
        time.sleep(0.005)
    time.sleep(delay)
    process.kill()
    process.wait()


# Reports after which region teacher, sample teacher and student are cut: a stage reports its steps and its score
CUTS = (1, STEPS + 2, 2 * (STEPS + 1) + 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "cuts"),
    [
        pytest.param("torch", CUTS, id="torch"),
        pytest.param("mindspore", CUTS[1:2], id="mindspore-sample"),
        pytest.param("mindspore", CUTS, id="mindspore", marks=pytest.mark.exhaustive),
    ],
)
def test_killed_in_every_stage_it_ends_the_same(tmp_path: Path, backend: str, cuts: tuple[int, ...]) -> None:
    """Each stage is cut at a step without a checkpoint."""
    pytest.importorskip(backend)
    data, rng = tiny_data(tmp_path / "data"), random.Random(5)
    whole = train(data, tmp_path / "whole", backend, train__steps=STEPS)
    assert whole.returncode == 0, whole.stderr[-2000:]

    cut = tmp_path / "cut" / "ddm" / "toy" / backend
    words = command(data, tmp_path / "cut", backend, "--resume", train__steps=STEPS)
    for lines in cuts:
        kill_at(words, cut / "metrics.jsonl", lines, rng.uniform(0, 0.05))
        for folder in (cut / "stages").rglob("step-*"):
            checkpoint.verify(folder)
    done = train(data, tmp_path / "cut", backend, "--resume", train__steps=STEPS)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "goes on after step" in done.stdout or "finished, unchanged" in done.stdout
    expected = results(tmp_path / "whole" / "ddm" / "toy" / backend)
    assert len(expected) > 6 and results(cut) == expected
