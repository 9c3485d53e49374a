"""Rung P4 for S3D: the first steps of S+T and of the second stage on the embedded digits, on both frameworks.

PyTorch runs both stages. MindSpore runs each of them behind PyTorch's earlier one, converted.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from common import checkpoint
from common.config import Config, load_config
from common.data.digits import write_digits
from common.data.roles import open_roles
from common.engine import Engine
from common.log import RunLog, read_journal
from common.methods import stages
from common.methods.s3d_memory import Memory
from common.run_folder import RunFolder
from common.tolerances import CURVE, PIXELS
from convert.single import convert_file
from tests.e2e.staged import run_stage, run_staged

pytestmark = pytest.mark.slow
STEPS = 20
SMALL = ["network.width=8", "train.batch_size=8", "train.log_every=1", "data.target.every=8", "data.test.every=8"]
SHORT = [f"method.first_steps={STEPS}", f"method.steps={STEPS}", "method.pseudo_interval=10", "baselines=[]"]
CALM = ["optim.lr=0.001"]  # at the benchmark's own rate a flipped ReLU shows after ten steps


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> list[str]:
    root = tmp_path_factory.mktemp("digits")
    write_digits(root, 1234)
    return [f"data.{role}.root={root}" for role in ("source", "target", "labelled", "val", "test")]


@pytest.fixture(scope="module")
def config(places) -> Config:
    return load_config("s3d/digits", [*places, *SMALL, *SHORT, *CALM])


@pytest.fixture(scope="module")
def runs(config, backends, tmp_path_factory) -> dict[str, tuple[Path, Path]]:
    """Stage -> the run folders of PyTorch and of MindSpore that hold it."""
    return run_staged(config, backends, tmp_path_factory.mktemp("twins"), ("first", "second"))


def curves(run: Path) -> dict[str, np.ndarray]:
    """Return every logged loss of every stage: (steps, parts of the loss)."""
    rows: dict[str, list] = {}
    for entry in read_journal(run / "metrics.jsonl"):
        if "loss" in entry:
            parts = [entry[key] for key in ("loss", "labelled", "distillation", "unlabelled") if key in entry]
            rows.setdefault(entry["stage"], []).append(parts)
    return {stage: np.array(values) for stage, values in rows.items()}


@pytest.mark.parametrize("stage", ["first", "second"])
def test_loss_curves_agree(runs, stage):
    """From the same weights; a part is measured by the whole loss, of which the first distillation is a hundredth."""
    ours, theirs = (curves(place)[stage] for place in runs[stage])
    assert ours.shape == theirs.shape == (STEPS, 1 if stage == "first" else 4)
    assert ours[-5:, 0].mean() < ours[:5, 0].mean(), f"{stage} learns nothing: {ours[:, 0]}"
    worst = (np.abs(theirs - ours) / np.abs(ours[:, :1])).max()
    assert worst <= CURVE, f"{stage}: losses part by {worst:.1e}"


def test_the_same_weights_give_the_same_pseudo_labels_and_score(places, backends, tmp_path):
    """PyTorch's S+T after some more steps, converted; the refresh looks at random views of the target images."""
    config = load_config("s3d/digits", [*places, *SMALL, *SHORT, "method.first_steps=80"])
    run_stage(config, backends["torch"], tmp_path / "run", "first")
    (folder,) = checkpoint.steps(tmp_path / "run/stages/first/checkpoints")
    files = {"torch": folder / "model.pth", "mindspore": tmp_path / "model.ckpt"}
    convert_file(files["torch"], files["mindspore"])
    (second,) = (stage for stage in stages(config) if stage.name == "second")
    found, scores = {}, {}
    for name, backend in backends.items():
        folder = RunFolder(tmp_path / name)
        engine = Engine(config, backend, [second], open_roles(config, checked=False), folder, RunLog(None))
        objective = backend.build(config, "s3d")
        objective.load_weights(backend.load(files[name]))
        predictor = backend.predictor(objective, config.evaluate)
        context = replace(engine.context(second), memory=Memory().arrays())
        found[name] = second.refresh.find(context, predictor, backend, Memory().arrays(), 0)
        with RunLog(None).stage("second", STEPS, STEPS) as log:
            scores[name] = engine.scorer.score(second, objective, log, STEPS, role="test")["confusion"]
    assert len(np.unique(found["torch"]["labels"])) > 3
    assert (found["torch"]["labels"] != found["mindspore"]["labels"]).mean() <= PIXELS
    assert found["torch"]["threshold"] == pytest.approx(found["mindspore"]["threshold"], rel=1e-4)
    assert scores["torch"] == scores["mindspore"]
