"""Two processes that see one image each do what one process does that sees both (BatchNorm frozen)."""

from pathlib import Path

import pytest

from common import checkpoint
from common.backends import open_backend
from common.data.labels import CITYSCAPES_LABELS
from common.log import read_journal
from tests.compare import assert_close
from tests.e2e.runs import launch, tiny_data, tiny_run, train
from tests.tolerances import GRADIENT

KNOWN = {label.id: min(label.train_id, 18) for label in CITYSCAPES_LABELS}  # no pixel ignored: every rank has as many
SMOOTH = {
    "network__freeze_bn_stats": "true",
    "network__activation": "softplus",
    "network__pool": "average",
    "optim__name": "sgd",
    "optim__lr": 0.01,
    "data__source__class_map": KNOWN,
    "data__target__class_map": KNOWN,
    "train__steps": 2,
    "baselines": "[joint]",
}


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "mindspore"])
def test_two_processes_are_one_with_twice_the_batch(tmp_path: Path, backend: str) -> None:
    """The change of every weight over two steps of joint training, and one writer."""
    pytest.importorskip(backend)
    data = tiny_data(tmp_path / "data")
    one = train(data, tmp_path / "one", backend, "--stages", "baselines/*", **SMOOTH, train__batch_size=2)
    words = tiny_run(data, tmp_path / "two", backend, "--stages", "baselines/*", **SMOOTH)
    two = launch(backend, 2, tmp_path / "two" / "log", *words)
    assert (one.returncode, two.returncode) == (0, 0), one.stderr[-2000:] + two.stdout[-2000:] + two.stderr[-2000:]

    found = {}
    for name, world in (("one", 1), ("two", 2)):
        stage = tmp_path / name / "ddm" / "toy" / backend / "stages" / "baselines" / "joint"
        (folder,) = checkpoint.steps(stage / "checkpoints")
        found[name], info = checkpoint.load(open_backend(backend, device="cpu"), folder)
        assert info["world"] == world
    for part in ("model", "optimizer"):  # momentum shows both gradients in full
        want = found["one"][part]
        assert set(found["two"][part]) == set(want)
        for name in want:
            assert_close(f"{part} {name}", found["two"][part][name], want[name], GRADIENT)
    lines = [entry["step"] for entry in read_journal(stage.parents[2] / "metrics.jsonl") if "loss" in entry]
    assert lines == [1, 2]
