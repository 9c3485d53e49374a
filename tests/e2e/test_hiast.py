"""IAST with all that HIAST adds: short runs end, and a run that is cut inside a round ends with the same bits."""

from pathlib import Path

import pytest

from common.config import Config, load_config
from common.data.toy_streets import ToyStreets
from common.pseudo.class_bank import BANK
from tests.e2e.handover import HALF, STEPS, train
from tests.e2e.runs import results
from tests.e2e.streets import draw_streets

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Config:
    """Two short rounds on tiny streets, where every pixel is labelled but for the least sure of each class."""
    small = draw_streets(tmp_path_factory.mktemp("streets"), ToyStreets(source=6, train=6, val=2, size=(64, 64)))
    small += ["data.val.size=[32,32]", "data.val.label_size=[32,32]", "network.width=4", "train.batch_size=2"]
    crop = "{size: [32, 32], heights: [24, 32], ratio: 1.0}"
    small += [f"method.crop_source={crop}", f"method.crop_target={crop}", "method.rounds=[{}, {}]"]
    small += [f"method.{stage}.steps={STEPS}" for stage in ("source", "warmup", "self_training")]
    taught = {"lambda_consistency": 0.5, "teacher_momentum": 0.9, "copy_paste": "{classes: 14}", "lambda_source": 0}
    small += [f"method.self_training.{key}={value}" for key, value in taught.items()]
    small += ["method.pseudo={rule: ias, initial: 0.2, alpha: 0.5, gamma: 0.0, size: [32, 32], bank: 4}"]
    return load_config("iast/toy", [*small, f"train.checkpoint_every={STEPS}"])


@pytest.mark.parametrize("name", ["torch", pytest.param("mindspore", marks=pytest.mark.exhaustive)])
def test_a_cut_run_ends_with_the_same_bits(config: Config, backends, tmp_path: Path, name: str) -> None:
    """Of every weight, moment, average, label and class sample."""
    backend, whole, cut = backends[name], tmp_path / "whole", tmp_path / "cut"
    train(config, backend, whole)
    train(config, backend, cut, stop_after=2 * STEPS + HALF)  # in the first round
    train(config, backend, cut, resume=True, stop_after=STEPS)  # in the second
    train(config, backend, cut, resume=True)
    expected = results(whole)
    assert any("round2/train" in path and "ema" in path for path in expected) and results(cut) == expected
    banks = [[(run / f"stages/round{n}/pseudo/files" / BANK).read_bytes() for n in (1, 2)] for run in (whole, cut)]
    assert banks[0] == banks[1] and banks[0][0] != banks[0][1]
