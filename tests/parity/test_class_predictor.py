"""Predictors of classification in both twins: scores, ranked classes, mirror images."""

import numpy as np
import pytest

from common.accuracy import ranked
from common.backends import open_backend
from common.schema import EvaluateConfig
from tests.compare import assert_close
from tests.parity.small import CLASSES, batch, build, configuration
from tests.tolerances import LOGITS
from tests.twins import need_both

IMAGES = batch("supervised_classes", 3)["source_image"]


def predictor(name: str, **evaluate):
    """Return a predictor of the small network, op by op."""
    backend = open_backend(name, device="cpu", compile=False)
    objective = build(backend, "supervised_classes", configuration("supervised_classes"))
    return backend.predictor(objective, EvaluateConfig(**evaluate))


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("output", ["logits", "probabilities"])
def test_scores_agree(flip: bool, output: str) -> None:
    """Both frameworks, with and without mirror images."""
    need_both()
    got, want = (predictor(name, flip=flip).scores(IMAGES, output) for name in ("mindspore", "torch"))
    assert want.shape == (3, CLASSES) and want.dtype == np.float32
    assert_close(f"{output}, flip {flip}", got, want, LOGITS)


@pytest.mark.parametrize("name", ["torch", "mindspore"])
def test_mirror_images_are_averaged(name: str) -> None:
    """The mean of both passes; probabilities add up to 1; the ranking is that of the scores."""
    plain, both = predictor(name), predictor(name, flip=True)
    mean = (plain.scores(IMAGES) + plain.scores(IMAGES[..., ::-1])) / 2
    assert_close("mean", both.scores(IMAGES), mean, LOGITS)
    assert np.allclose(both.scores(IMAGES, "probabilities").sum(axis=1), 1, atol=1e-5)
    assert np.array_equal(both.labels(IMAGES), ranked(both.scores(IMAGES)))
    assert_close("raw", plain.logits(IMAGES), plain.scores(IMAGES), LOGITS)
