"""Predictors of both twins: scores and labels of uint8 images, as the section ``evaluate`` asks."""

import numpy as np
import pytest

from common.backends import open_backend
from common.draws import generator
from common.schema import EvaluateConfig
from tests.compare import assert_close
from tests.parity.small import CLASSES, build, configuration
from tests.tolerances import LOGITS
from tests.twins import need_both

OUT = (40, 72)  # height, width
WAYS = {
    "plain": {},
    "scales": {"scales": (0.5, 1.25), "flip": True},
    "windows": {"window": (40, 24), "stride": (20, 16)},  # (width, height)
}


def predictor(name: str, **evaluate):
    backend = open_backend(name, device="cpu", compile=False)
    return backend.predictor(build(backend, "supervised", configuration()), EvaluateConfig(**evaluate))


def images() -> np.ndarray:
    return generator(5, "predictor").integers(0, 256, (2, 3, 48, 64)).astype(np.uint8)


@pytest.mark.parametrize("output", ["logits", "probabilities", "coarse_probabilities"])
@pytest.mark.parametrize("way", WAYS)
def test_scores_agree(way, output):
    need_both()
    want, got = (predictor(name, **WAYS[way]).scores(images(), OUT, output) for name in ("torch", "mindspore"))
    assert want.shape == (2, CLASSES, *OUT)
    assert want.dtype == got.dtype == np.float32
    assert_close(f"{way} {output}", got, want, LOGITS)
    if output != "logits":
        assert_close("sum of probabilities", want.sum(axis=1), np.ones((2, *OUT)), LOGITS)


def test_labels_are_the_classes_of_the_largest_score(side):
    one = predictor(side.name)
    labels = one.labels(images(), OUT)
    assert (labels.shape, labels.dtype) == ((2, *OUT), np.uint8)
    assert np.array_equal(labels, one.scores(images(), OUT).argmax(axis=1))


def test_a_window_as_large_as_the_image_is_the_image(side):
    whole, windows = (predictor(side.name, window=window) for window in (None, (64, 48)))
    assert_close("scores", windows.scores(images(), (48, 64)), whole.scores(images(), (48, 64)), LOGITS)


def test_raw_logits_have_the_network_s_stride(side):
    logits = predictor(side.name).logits(images())
    assert (logits.shape, logits.dtype) == ((2, CLASSES, 7, 9), np.float32)
