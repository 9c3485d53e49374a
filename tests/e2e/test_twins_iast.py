"""Rung P4 for IAST: loss curves of every stage and pseudo-labels, thresholds too, from the same weights.

PyTorch runs all stages. MindSpore runs each of them behind PyTorch's earlier ones, converted.
"""

from pathlib import Path

import numpy as np
import pytest

from common.config import Config, load_config
from common.data.toy_streets import ToyStreets
from common.tolerances import CURVE, PIXELS
from tests.e2e.staged import curve, pseudo_labels, run_staged
from tests.e2e.streets import draw_streets

pytestmark = pytest.mark.slow
STEPS = 20
STAGES = ("source", "warmup", "round1/pseudo", "round1/train")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    sets = draw_streets(tmp_path_factory.mktemp("streets"), ToyStreets(source=8, train=8, val=2, size=(128, 64)))
    sets += [f"method.crop_{role}.size=[64,32]" for role in ("source", "target")]
    sets += [f"method.crop_{role}.heights=[32,64]" for role in ("source", "target")]
    # Adam's first steps have the gradient's sign alone: noise would decide where it is near 0
    sets += ["optim.name=sgd", "optim.lr=0.0005", "optim.floor=0.000005", "method.warmup.discriminator_eps=0.01"]
    # at 0.0005 a unit of self-training on the other side of a ReLU grew a thousandfold within ten steps
    rates = {"source": 5e-4, "self_training": 2e-4}
    sets += [f"method.{stage}={{steps: {STEPS}, lr: {lr}}}" for stage, lr in rates.items()]
    sets += [f"method.warmup.{key}" for key in (f"steps={STEPS}", "lr=0.0005", "lambda_adversarial=0.1")]
    # so short a training is never as sure as the thresholds of a real one begin
    sets += ["method.pseudo={size: [64, 32], initial: 0.2, beta: 0.5, alpha: 0.6, gamma: 0.5, batch_size: 2}"]
    sets += ["method.rounds=[{}]", "train.log_every=1", f"train.checkpoint_every={STEPS}"]
    return load_config("iast/toy", sets)


@pytest.fixture(scope="module")
def runs(config, backends, tmp_path_factory) -> dict[str, tuple[Path, Path]]:
    """Stage -> the run folders of PyTorch and of MindSpore that hold it."""
    return run_staged(config, backends, tmp_path_factory.mktemp("runs"), STAGES)


@pytest.mark.parametrize("stage", ["source", "warmup", "round1/train"])
def test_loss_curves_agree(runs: dict[str, tuple[Path, Path]], stage: str) -> None:
    ours, theirs = (curve(place, stage) for place in runs[stage])
    assert len(ours) == len(theirs) == STEPS
    assert ours[-5:].mean() < ours[:5].mean(), f"{stage} learns nothing: {ours}"
    assert np.max(np.abs(ours - theirs) / np.abs(ours)) <= CURVE


def test_pseudo_labels_from_the_same_weights_agree(runs: dict[str, tuple[Path, Path]]) -> None:
    """The selector's labels, through its thresholds: some pixels of every image stream have none, two classes occur."""
    ours, theirs = (pseudo_labels(place) for place in runs["round1/pseudo"])
    assert len(ours) == len(theirs) == 8 and len(np.unique(ours)) > 2 and 0.1 < (ours == 255).mean() < 0.9
    assert (ours != theirs).mean() <= PIXELS
