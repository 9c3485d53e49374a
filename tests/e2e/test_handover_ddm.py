"""Rung P5 for DDM: a run begun on one framework, converted in the middle of a stage, continued on the other.

All its kinds of stages on drawn streets, smooth activations and average pooling. What is compared is the
*change* of every parameter and running statistic since the start, in every stage.
"""

from pathlib import Path

import numpy as np
import pytest

from common import checkpoint
from common.config import Config, load_config
from common.data.toy_streets import ToyStreets
from convert.folder import convert_folder
from tests.e2e.handover import HALF, OTHER, STEPS, compare, final, hand_over, train
from tests.e2e.streets import ROLES, draw_streets

pytestmark = pytest.mark.slow
TRAINED = ("round1/region", "round1/sample", "round1/student")
LATER = ("round2/region", "round2/sample", "round2/student")
USUAL = (("round1/region", "torch"), ("round1/student", "mindspore"))  # the others run with ``-m exhaustive``
CASES = [
    pytest.param(stage, first, marks=() if (stage, first) in USUAL else pytest.mark.exhaustive)
    for stage in TRAINED
    for first in OTHER
]


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Config:
    small = draw_streets(tmp_path_factory.mktemp("streets"), ToyStreets(source=6, train=6, val=2, size=(32, 32)))
    small += [f"data.{role}.size=[32,32]" for role in ROLES] + ["data.val.label_size=[32,32]", "data.labelled.count=2"]
    smooth = ["network.activation=softplus", "network.pool=average", "network.width=4", "network.depth=18"]
    train = [f"train.steps={STEPS}", f"train.checkpoint_every={STEPS}", "train.batch_size=2", "train.ema=0.9"]
    optim = ["optim.name=sgd", "optim.lr=0.5", "optim.momentum=0.9", "baselines=[]", "method.rounds=1"]
    return load_config("ddm/toy", [*small, *smooth, *train, *optim])


@pytest.fixture(scope="module")
def whole(config, backends, tmp_path_factory) -> dict[str, dict[str, np.ndarray]]:
    """Return the final weights of uninterrupted runs."""
    results = {}
    for name, backend in backends.items():
        place = tmp_path_factory.mktemp("whole") / name
        train(config, backend, place)
        results[name] = final(place, TRAINED)
    return results


@pytest.fixture(scope="module")
def start(config, backends) -> dict[str, np.ndarray]:
    """Return the weights with which every stage begins."""
    weights = backends["torch"].build(config, "ddm_sample").state()["model"]
    return {name: array for name, array in weights.items() if "num_batches" not in name}


def test_whole_runs_agree(whole, start):
    compare(whole["mindspore"], whole["torch"], start)


@pytest.mark.parametrize(("stage", "first"), CASES)
def test_goes_on_with_the_other_framework(config, backends, whole, start, tmp_path, first, stage):
    after = hand_over(config, backends, TRAINED, stage, first, tmp_path)
    state = checkpoint.read_json(tmp_path / first / f"stages/{stage}/checkpoints/step-{HALF:06d}/state.json")
    assert state["step"] == HALF and state["backend"] == first
    got = final(after, TRAINED)
    compare(got, whole["torch"], start)
    compare(got, whole["mindspore"], start)


def test_pseudo_labels_of_one_framework_serve_the_other(config, backends, tmp_path):
    config = config.model_copy(update={"method": config.method.model_copy(update={"rounds": 2})})
    train(config, backends["torch"], tmp_path / "torch", stop_after=3 * STEPS + HALF)
    convert_folder(tmp_path / "torch", tmp_path / "mindspore")
    train(config, backends["mindspore"], tmp_path / "mindspore", resume=True)
    made = {name: checkpoint.sha256(tmp_path / name / "stages/round1/pseudo/files/manifest.json") for name in OTHER}
    assert made["torch"] == made["mindspore"] and len(final(tmp_path / "mindspore", LATER)) > 0
    journal = (tmp_path / "mindspore/stages/round1/pseudo/done.json").read_text()
    assert '"name": "torch"' in journal


def test_converting_back_gives_the_first_run(config, backends, tmp_path):
    train(config, backends["torch"], tmp_path / "a", stop_after=HALF)
    convert_folder(tmp_path / "a", tmp_path / "b")
    convert_folder(tmp_path / "b", tmp_path / "c")
    folder = Path("stages/round1/region/checkpoints") / checkpoint.name_of(HALF)
    for name in ("model.pth", "ema.pth", "optimizer.pth"):
        want, got = (backends["torch"].load(tmp_path / place / folder / name) for place in "ac")
        assert list(want) == list(got) and all(np.array_equal(want[key], got[key]) for key in want)
