"""Rung P5 for DiGA's translator: cut in the middle of its stage, with discriminators and both optimizers; converted.

The run goes on on the other framework. What is compared is every loss of every step, in the stage that was cut and in
the warm-up that the generators serve, and which parts are there at the end. Weights are no steady measure of the
generators, whose kinks are real: PyTorch's float32 parts from float64 by a tenth of their change in three steps.
"""

from pathlib import Path

import pytest

from common.config import Config, load_config
from common.data.toy_streets import ToyStreets
from common.log import read_journal
from tests.compare import assert_close
from tests.e2e.handover import final, hand_over, train
from tests.e2e.streets import draw_streets
from tests.tolerances import CURVE

pytestmark = pytest.mark.slow
TRAINED = ("translator", "warmup")
PARTS = ("model", "critics", "teacher")
STEPS = {"translator": 4, "warmup": 2}
LOSSES = ("loss", "adversarial", "cycle", "edge", "reconstruction", "critic_s2t", "critic_t2s", "seg", "distil")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    sets = draw_streets(tmp_path_factory.mktemp("streets"), ToyStreets(source=3, train=3, val=1, size=(64, 64)))
    sets += [f"method.{domain}_{size}=null" for domain in ("source", "target") for size in ("low", "full")]
    sets += ["method.crop=[64,64]", "method.rounds=0", "method.class_rule=false", "baselines=[]"]
    sets += [f"method.translator={{steps: {STEPS['translator']}, batch_size: [1, 0], width: 4, lr: 0.0005}}"]
    sets += [f"method.warmup={{steps: {STEPS['warmup']}, batch_size: [1, 0]}}", "method.translator.lambda_perceptual=0"]
    sets += ["network.activation=softplus", "network.pool=average", "network.width=4", "network.head_channels=8"]
    # Adam's first steps have the gradient's sign alone: noise would decide where it is near 0
    sets += ["network.groups=4", "optim.eps=0.1", "optim.name=sgd", "optim.lr=0.01"]
    return load_config("diga/toy", [*sets, "train.checkpoint_every=4", "train.log_every=1"])


@pytest.fixture(scope="module")
def whole(config, backends, tmp_path_factory) -> Path:
    """Return the folder of an uninterrupted run on PyTorch."""
    place = tmp_path_factory.mktemp("whole") / "torch"
    train(config, backends["torch"], place)
    return place


@pytest.mark.parametrize("first", ["torch", pytest.param("mindspore", marks=pytest.mark.exhaustive)])
def test_goes_on_with_the_other_framework(config, backends, whole: Path, tmp_path: Path, first: str) -> None:
    after = hand_over(config, backends, TRAINED, "translator", first, tmp_path)
    ours, theirs = (losses(place) for place in (whole, after))
    for stage, steps in STEPS.items():
        assert len(ours[stage]) == len(theirs[stage]) == steps
        for step, (want, got) in enumerate(zip(ours[stage], theirs[stage])):
            for name, value in want.items():
                assert_close(f"{stage} {name} of step {step}", got[name], value, CURVE)
    assert abs(ours["translator"][-1]["loss"] / ours["translator"][0]["loss"] - 1) > 10 * CURVE
    want, got = final(whole, TRAINED, PARTS), final(after, TRAINED, PARTS)
    assert set(got) == set(want) and any(name.startswith("translator/critics/") for name in want)


def losses(place: Path) -> dict[str, list[dict[str, float]]]:
    """Return what every step of a stage logged of its losses."""
    entries = [one for one in read_journal(place / "metrics.jsonl") if "loss" in one]
    kept = [(one["stage"], {name: one[name] for name in LOSSES if name in one}) for one in entries]
    return {stage: [values for name, values in kept if name == stage] for stage in TRAINED}
