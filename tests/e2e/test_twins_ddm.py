"""Rung P4 for DDM: the same run on both frameworks, through the entry points."""

import json
from pathlib import Path

import numpy as np
import pytest

from common.backends import open_backend
from common.config import load_config
from common.data.roles import open_roles
from common.data.transforms import stack_images
from common.tolerances import CURVE, PIXELS
from convert.single import convert_file
from tests.e2e.runs import tiny_data, train

pytestmark = pytest.mark.slow
STEPS = 12
CHANGES = {
    "train__steps": STEPS,
    "train__checkpoint_every": STEPS,
    "optim__name": "sgd",  # Adam's first steps have the gradient's sign alone: noise would decide where it is near 0
    "optim__lr": 0.0005,
    "network__width": 8,
    "train__batch_size": 4,
    "data__source__size": "[128,64]",
    "data__target__size": "[128,64]",
    "baselines": "[]",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The run folder of each backend."""
    folder = tmp_path_factory.mktemp("twins")
    data = tiny_data(folder / "data")
    for backend in ("torch", "mindspore"):
        done = train(data, folder, backend, **CHANGES)
        assert done.returncode == 0, done.stderr[-2000:]
    return {backend: folder / "ddm" / "toy" / backend for backend in ("torch", "mindspore")}


def curves(run: Path) -> dict[str, list[float]]:
    """Return the loss of every step by stage."""
    found: dict[str, list[float]] = {}
    for line in (run / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        if "loss" in record:
            found.setdefault(record["stage"], []).append(record["loss"])
    return found


def test_loss_curves_agree(runs: dict[str, Path]) -> None:
    """Every loss of the first steps of every stage, teachers and the student that follows them."""
    ours, theirs = curves(runs["torch"]), curves(runs["mindspore"])
    assert list(ours) == list(theirs) == ["round1/region", "round1/sample", "round1/student"]
    for stage, losses in ours.items():
        assert len(losses) == STEPS and losses[-1] < losses[0], f"{stage} learns nothing: {losses}"
        worst = np.max(np.abs(np.array(losses) - theirs[stage]) / np.abs(losses))
        assert worst <= CURVE, f"{stage}: losses part by {worst:.1e}"


def test_pseudo_labels_from_the_same_weights_agree(runs: dict[str, Path], tmp_path: Path) -> None:
    """Predictions of the PyTorch student, converted, on every target image."""
    (weights,) = (runs["torch"] / "stages" / "round1" / "student" / "checkpoints").glob("*/model.pth")
    convert_file(weights, tmp_path / "model.ckpt")
    config = load_config(runs["torch"] / "config.yaml")
    target = open_roles(config).target
    images = stack_images([target.image(i) for i in range(len(target))])
    labels = {}
    for name, file in (("torch", weights), ("mindspore", tmp_path / "model.ckpt")):
        backend = open_backend(name, device="cpu", compile=False)
        objective = backend.build(config, "ddm_region")
        objective.load_weights(backend.load(file))
        labels[name] = backend.predictor(objective, config.evaluate).labels(images, images.shape[2:])
    assert len(np.unique(labels["torch"])) > 2
    assert (labels["torch"] != labels["mindspore"]).mean() <= PIXELS
