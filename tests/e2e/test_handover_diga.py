"""Rung P5 for DiGA: cut inside the warm-up, with its teacher, or inside self-training, with its centroids; converted.

The run goes on on the other framework. What is compared is the change of every weight and running statistic of student
and teacher since the start, and the centroids at the end.
"""

import numpy as np
import pytest

from common.config import Config, load_config
from common.data.toy_streets import ToyStreets, generate
from tests.compare import assert_close
from tests.e2e.handover import STEPS, final, hand_over, train
from tests.tolerances import GRADIENT

pytestmark = pytest.mark.slow
TRAINED = ("warmup", "round1/selftrain")
PARTS = ("model", "teacher", "memory")


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Config:
    root = tmp_path_factory.mktemp("streets")
    generate(root / "toy", ToyStreets(source=1, train=6, val=2, size=(48, 48)))
    small = [f"data.{role}.root={root / 'toy' / 'cityscapes'}" for role in ("target", "val")]
    small += ["data.val.size=[32,32]", "data.val.label_size=[32,32]", "data.labelled.count=2", "baselines=[]"]
    sizes = {"target_low": 32, "target_full": 48, "crop": 32}
    small += [f"method.{name}=[{side},{side}]" for name, side in sizes.items()]
    smooth = ["network.activation=softplus", "network.pool=average", "network.width=4"]
    smooth += ["network.head_channels=8", "network.groups=4"]
    # a rate at which the backbone moves by more than its weights' last digits; the heads, whose gradients are larger
    optim = ["optim.name=sgd", "optim.lr=10.0", "optim.head_lr_mult=0.05", f"train.checkpoint_every={STEPS}"]
    phases = [f"method.{phase}={{steps: {STEPS}, batch_size: [1, 1]}}" for phase in ("warmup", "self_training")]
    return load_config("diga/toy_semi", [*small, *smooth, *optim, *phases, "method.centroids.momentum=0.1"])


@pytest.fixture(scope="module")
def whole(config, backends, tmp_path_factory) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return what an uninterrupted run on PyTorch left, and the weights of its start."""
    place = tmp_path_factory.mktemp("whole") / "torch"
    train(config, backends["torch"], place)
    return final(place, TRAINED, PARTS), backends["torch"].build(config, "diga_warmup").state()["model"]


@pytest.mark.parametrize(
    ("stage", "first"),
    [
        pytest.param("warmup", "mindspore", marks=pytest.mark.exhaustive),
        ("round1/selftrain", "torch"),
    ],
)
def test_goes_on_with_the_other_framework(config, backends, whole, tmp_path, stage, first):
    after = hand_over(config, backends, TRAINED, stage, first, tmp_path)
    (want, start), got = whole, final(after, TRAINED, PARTS)
    assert set(got) == set(want) and any(name.startswith("round1/selftrain/memory/centroids") for name in want)
    for name, array in want.items():
        begun = start.get(name.rpartition("/")[2], np.zeros_like(array))  # the memory begins empty
        assert_close(name, got[name] - begun, array - begun, GRADIENT)
