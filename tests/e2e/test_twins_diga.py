"""Rung P4 for DiGA: loss curves of every training stage, pseudo-labels and centroids, from the same weights.

PyTorch runs all stages. MindSpore runs each of them behind PyTorch's earlier ones, converted. The translator's curve is
a short one: its kinks are real, and PyTorch's own float32 parts from float64 by more than the tolerance in 20 steps.
"""

from pathlib import Path

import numpy as np
import pytest

from common.config import Config, load_config
from common.data.toy_streets import ToyStreets
from common.pseudo.centroids import read_centroids
from common.tolerances import CURVE, LOGITS, PIXELS
from tests.compare import assert_close
from tests.e2e.staged import curve, pseudo_labels, run_staged
from tests.e2e.streets import ROLES, draw_streets

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]  # a minute; small ones are in tests/parity/test_diga.py
STEPS = {"translator": 4, "warmup": 20, "round1/selftrain": 20}
STAGES = ("translator", "warmup", "round1/pseudo", "centroids", "round1/selftrain")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    sets = draw_streets(tmp_path_factory.mktemp("streets"), ToyStreets(source=4, train=4, val=1, size=(64, 64)))
    sets += [f"data.{role}.{size}=null" for role in ROLES for size in ("size", "label_size")]
    sets += [f"method.{domain}_{size}=null" for domain in ("source", "target") for size in ("low", "full")]
    sets += ["method.crop=[64,64]", "method.class_rule=false", "evaluate.batch_size=1"]
    sets += ["network.width=8", "network.head_channels=16", "network.groups=4"]
    translator = f"{{batch_size: [1, 0], width: 4, lambda_perceptual: 0.0, steps: {STEPS['translator']}}}"
    # Adam's first steps have the gradient's sign alone: noise would decide where it is near 0
    sets += ["optim.name=sgd", "optim.lr=0.01", "optim.eps=0.1", f"method.translator={translator}"]
    phases = {"warmup": "warmup", "self_training": "round1/selftrain"}
    sets += [f"method.{phase}.steps={STEPS[stage]}" for phase, stage in phases.items()]
    sets += [f"method.{phase}.batch_size=[1,1]" for phase in phases]
    sets += ["method.self_training.lr=0.002", "train.log_every=1", "train.checkpoint_every=20", "baselines=[]"]
    return load_config("diga/toy", sets)


@pytest.fixture(scope="module")
def runs(config, backends, tmp_path_factory) -> dict[str, tuple[Path, Path]]:
    """Stage -> the run folders of PyTorch and of MindSpore that hold it."""
    return run_staged(config, backends, tmp_path_factory.mktemp("runs"), STAGES)


@pytest.mark.parametrize("stage", STEPS)
def test_loss_curves_agree(runs: dict[str, tuple[Path, Path]], stage: str) -> None:
    ours, theirs = (curve(place, stage) for place in runs[stage])
    assert len(ours) == len(theirs) == STEPS[stage]
    assert stage == "translator" or ours[-5:].mean() < ours[:5].mean(), f"{stage} learns nothing: {ours}"
    assert np.max(np.abs(ours - theirs) / np.abs(ours)) <= CURVE


def test_pseudo_labels_from_the_same_weights_agree(runs: dict[str, tuple[Path, Path]]) -> None:
    ours, theirs = (pseudo_labels(place) for place in runs["round1/pseudo"])
    shares = np.unique(ours, return_counts=True)[1] / ours.size
    assert len(ours) == len(theirs) == 4 and 0.1 < shares.max() < 0.9
    assert (ours != theirs).mean() <= PIXELS


def test_centroids_from_the_same_weights_agree(runs: dict[str, tuple[Path, Path]]) -> None:
    ours, theirs = (read_centroids(place / "stages" / "centroids" / "files") for place in runs["centroids"])
    assert np.array_equal(ours["counts"], theirs["counts"]) and (ours["counts"] > 0).sum() > 1
    assert_close("centroids", theirs["centroids"], ours["centroids"], LOGITS)
