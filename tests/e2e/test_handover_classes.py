"""Rung P5 for classification, and several processes: whole runs of S+T on class folders, by configuration alone."""

from pathlib import Path

import numpy as np
import pytest

from common import checkpoint
from common.backends import open_backend
from common.config import load_config
from tests.compare import assert_close
from tests.e2e.classes import write_config, write_data
from tests.e2e.handover import OTHER, STEPS, compare, final, hand_over, train
from tests.e2e.runs import eager, launch
from tests.tolerances import GRADIENT

pytestmark = pytest.mark.slow
TRAINED = ("baselines/source_only", "supervised")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A run of two stages with averaged weights."""
    root = tmp_path_factory.mktemp("classes")
    settings = {"steps": STEPS, "checkpoint_every": STEPS, "batch_size": 2, "ema": 0.9}
    return load_config(write_config(root / "own.yaml", write_data(root / "data"), train=settings, optim={"lr": 0.2}))


def test_begun_on_one_framework_goes_on_with_the_other(config, backends, tmp_path):
    """In the middle of S+T, in both directions, against the whole runs of both frameworks."""
    weights = backends["torch"].build(config, "supervised_classes").state()["model"]
    start = {name: array for name, array in weights.items() if "num_batches" not in name}
    whole = {}
    for name, backend in backends.items():
        train(config, backend, tmp_path / "whole" / name)
        whole[name] = final(tmp_path / "whole" / name, TRAINED)
    compare(whole["mindspore"], whole["torch"], start)
    for first in OTHER:
        after = hand_over(config, backends, TRAINED, TRAINED[1], first, tmp_path / first)
        got = final(after, TRAINED)
        for name in whole:
            compare(got, whole[name], start)


@pytest.mark.parametrize("backend", ["torch", pytest.param("mindspore", marks=pytest.mark.exhaustive)])
def test_two_processes_are_one_with_twice_the_batch(tmp_path: Path, backend: str) -> None:
    """The weights after S+T and S3D's second stage; BatchNorm's statistics are frozen, or each process had its own."""
    pytest.importorskip(backend)
    write_data(tmp_path / "data")
    method = {"name": "s3d", "first_steps": 2, "steps": 2, "pseudo_interval": 2, "alpha": 0.3, "temperature": 0.5}
    found: dict[tuple, dict] = {}
    for processes in (1, 2):
        network = {"freeze_bn_stats": True}
        sections = {"network": network, "method": method, "baselines": []}
        sections["train"] = {"steps": 2, "checkpoint_every": 2, "batch_size": 4 // processes}
        config = write_config(tmp_path / "own.yaml", tmp_path / "data", **sections)
        words = (str(config), "--out", str(tmp_path / str(processes)), *eager(backend))
        done = launch(backend, processes, tmp_path, *words)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        run = tmp_path / str(processes) / "own" / backend
        for stage in ("first", "second"):
            (folder,) = checkpoint.steps(run / "stages" / stage / "checkpoints")
            found[processes, stage], info = checkpoint.load(open_backend(backend, device="cpu"), folder)
            scores = checkpoint.read_json(run / "stages" / stage / "done.json")["scores"]["last"]
            assert info["world"] == processes and sum(map(sum, scores["confusion"])) == 6
    for stage in ("first", "second"):
        for part in ("model", "optimizer"):
            for name, want in found[1, stage][part].items():
                assert_close(f"{stage} {part} {name}", found[2, stage][part][name], want, GRADIENT)
    assert np.array_equal(*(found[processes, "second"]["memory"]["labels"] for processes in (1, 2)))
