"""Rung P5 for IAST: cut inside the warm-up, with its discriminator, or inside a round; converted; continued elsewhere.

Each step has two micro-batches. What is compared is the change of every weight and running statistic since the start,
in every stage. Pseudo-labels take every pixel here: a threshold in float16 would turn rounding into other labels.
"""

import pytest

from common.config import Config, load_config
from common.data.toy_streets import ToyStreets
from tests.compare import assert_close
from tests.e2e.handover import STEPS, final, hand_over, train
from tests.e2e.streets import draw_streets
from tests.tolerances import GRADIENT

pytestmark = pytest.mark.slow
TRAINED = ("source", "warmup", "round1/train")
CUTS = [  # the suite crosses either stage, and goes either way, once
    ("warmup", "mindspore"),
    ("round1/train", "torch"),
    pytest.param("warmup", "torch", marks=pytest.mark.exhaustive),
    pytest.param("round1/train", "mindspore", marks=pytest.mark.exhaustive),
]
PARTS = ("model", "discriminator")


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Config:
    small = draw_streets(tmp_path_factory.mktemp("streets"), ToyStreets(source=6, train=6, val=2, size=(64, 64)))
    small += ["data.val.size=[32,32]", "data.val.label_size=[32,32]"]
    crop = "{size: [32, 32], heights: [24, 32], ratio: 1.0}"
    small += [f"method.crop_source={crop}", f"method.crop_target={crop}"]
    smooth = ["network.activation=softplus", "network.pool=average", "network.width=4", "method.bn=affine"]
    optim = ["optim.name=sgd", "optim.lr=0.05", "optim.floor=0.0005", "train.batch_size=1", "train.accumulate=2"]
    optim += [f"train.steps={STEPS}", f"train.checkpoint_every={STEPS}"]
    warmup = {"discriminator_eps": 0.01, "discriminator_lr": 0.05, "lambda_adversarial": 0.5, "steps": STEPS}
    critic = "{width: 4, activation: softplus}"
    method = [f"method.warmup.{key}={value}" for key, value in warmup.items()]
    method += [f"method.warmup.discriminator={critic}", f"method.source.steps={STEPS}", "method.warmup.lr=0.05"]
    method += ["method.pseudo={rule: none, size: [32, 32]}", "method.rounds=[{}]", "method.warmup.bn=affine"]
    method += [f"method.self_training={{steps: {STEPS}, lr: 0.05}}"]
    return load_config("iast/toy", [*small, *smooth, *optim, *method])


@pytest.fixture(scope="module")
def whole(config, backends, tmp_path_factory):
    """Return the weights of a whole run on PyTorch, and those of one that was stopped before its first step's end."""
    place = tmp_path_factory.mktemp("whole") / "torch"
    train(config, backends["torch"], place)
    built = backends["torch"].build(config, "iast_warmup").state()
    start = {f"model/{name}": a for name, a in built["model"].items()}
    start |= {f"discriminator/{name}": a for name, a in built["discriminator"].items()}
    return final(place, TRAINED, PARTS), start


@pytest.mark.parametrize(("stage", "first"), CUTS)
def test_goes_on_with_the_other_framework(config, backends, whole, tmp_path, stage, first):
    after = hand_over(config, backends, TRAINED, stage, first, tmp_path)
    (want, start), got = whole, final(after, TRAINED, PARTS)
    assert set(got) == set(want)
    for name, array in want.items():
        begun = start["/".join(name.split("/")[-2:])]
        assert_close(name, got[name] - begun, array - begun, GRADIENT)
