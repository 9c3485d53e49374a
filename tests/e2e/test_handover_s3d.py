"""S3D cut in its second stage: resumed to the bit, and handed over to the other framework (rung P5)."""

import numpy as np
import pytest

from common import checkpoint
from common.config import load_config
from tests.e2e.classes import write_config, write_data
from tests.e2e.handover import OTHER, compare, final, hand_over, train

pytestmark = pytest.mark.slow
FIRST, SECOND = 3, 6  # steps of both stages
CUT = FIRST + SECOND // 2  # steps before the cut, between two refreshes
TRAINED = ("first", "second")
METHOD = {"name": "s3d", "first_steps": FIRST, "steps": SECOND, "pseudo_interval": 2, "alpha": 0.3, "temperature": 0.5}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A run of S+T and the second stage; weak margins, so that the refreshed labels matter."""
    root = tmp_path_factory.mktemp("classes")
    settings = {"steps": FIRST, "checkpoint_every": 10, "batch_size": 2, "ema": 0.9}
    sections = {"method": METHOD, "train": settings, "baselines": [], "optim": {"lr": 0.3}}
    sections["evaluate"] = {"protocol": "ssda", "batch_size": 4}
    return load_config(write_config(root / "own.yaml", write_data(root / "data"), **sections))


def parts(run):
    """Return every part of the last checkpoint of the second stage."""
    (last,) = (run / "stages/second/checkpoints").glob("step-*")
    return last


def test_it_is_resumed_to_the_bit_and_goes_on_with_the_other_framework(config, backends, tmp_path):
    start = {
        name: array
        for name, array in backends["torch"].build(config, "s3d").state()["model"].items()
        if "num_batches" not in name
    }
    whole = {}
    for name, backend in backends.items():
        train(config, backend, tmp_path / "whole" / name)
        whole[name] = final(tmp_path / "whole" / name, TRAINED)
        written = (tmp_path / "whole" / name / "stages/second/files/pseudo_labels.txt").read_text().splitlines()
        train(config, backend, tmp_path / "cut" / name, stop_after=CUT)
        train(config, backend, tmp_path / "cut" / name, resume=True)
        want, got = (checkpoint.load(backend, parts(tmp_path / place / name))[0] for place in ("whole", "cut"))
        assert want.keys() == got.keys() >= {"model", "optimizer", "memory"}
        for part, arrays in want.items():
            assert all(np.array_equal(array, got[part][key]) for key, array in arrays.items()), part
        scores = checkpoint.read_json(tmp_path / "whole" / name / "stages/second/done.json")["scores"]["last"]
        assert sum(map(sum, scores["confusion"])) == 4  # of six test images, a batch of four
        assert [int(line.split()[-1]) for line in written] == want["memory"]["labels"].tolist() != []
    compare(whole["mindspore"], whole["torch"], start)
    for first in OTHER:
        got = final(hand_over(config, backends, TRAINED, "second", first, tmp_path / first), TRAINED)
        for name in whole:
            compare(got, whole[name], start)
