"""Prediction in both twins: protocol, scales, mirrors, windows, ensembles, label maps."""

import numpy as np
import pytest

from common.draws import generator
from common.networks.deeplabv2 import DeepLabV2Config
from common.windows import windows
from tests.compare import assert_close
from tests.tolerances import LOGITS
from tests.twins import need_both, twin

SIZE, OUT = (24, 40), (48, 80)
VARIANTS = {
    "plain": {},
    "scales": {"scales": (0.75, 1.0, 1.5)},
    "flip": {"flip": True},
    "windows": {"window": (16, 16), "stride": (8, 12)},
    "probabilities": {"scales": (0.5, 1.0), "flip": True, "output": "probabilities"},
    "coarse": {"output": "coarse_probabilities"},
}


def images() -> np.ndarray:
    return generator(5, "images").standard_normal((2, 3, *SIZE), np.float32)


def network_of(side):
    network = side.nets.build_network(DeepLabV2Config(depth=18, width=8), 6)
    side.fill(network, "torch")
    return network


def prediction(side, **options) -> np.ndarray:
    network = network_of(side)
    forward = lambda x: side.predict.main_logits(network, x)
    return side.numpy(side.predict.predict(forward, side.tensor(images()), OUT, **options))


@pytest.mark.parametrize("name", VARIANTS)
def test_twins_predict_alike(name):
    need_both()
    want, got = (prediction(side, **VARIANTS[name]) for side in map(twin, ("torch", "mindspore")))
    assert want.shape == (2, 6, *OUT)
    assert_close(name, got, want, LOGITS)



def test_the_default_is_one_pass_and_upsampling(side):
    logits = side.predict.main_logits(network_of(side), side.tensor(images()))
    assert np.array_equal(prediction(side), side.numpy(side.losses.upsample(logits, OUT)))


def test_flip_averages_the_image_and_its_mirror(side):
    mirrored = lambda x: x[..., ::-1].copy()
    network = network_of(side)
    passes = [side.predict.main_logits(network, side.tensor(x)) for x in (images(), mirrored(images()))]
    plain, other = (side.numpy(side.losses.upsample(x, OUT)) for x in passes)
    assert_close("flip", prediction(side, flip=True), (plain + mirrored(other)) / 2, LOGITS)


def test_windows_of_a_local_function_equal_the_whole(side):
    """A 'network' that looks at one pixel only sees no window borders."""
    x = side.tensor(images())
    whole = side.predict.predict(lambda z: z * 2.0, x, SIZE)
    cut = side.predict.predict(lambda z: z * 2.0, x, SIZE, window=(10, 16), stride=(7, 9))
    assert_close("windows", side.numpy(cut), side.numpy(whole), LOGITS)


def test_windows_see_their_own_pixels_only(side):
    seen = []

    def forward(x):
        seen.append(tuple(x.shape[2:]))
        return x

    side.predict.predict(forward, side.tensor(images()), SIZE, window=(10, 64))
    assert seen == [(10, SIZE[1])] * len(windows(SIZE, (10, 64)))


def test_probabilities_sum_to_one(side):
    for output in ("probabilities", "coarse_probabilities"):
        total = prediction(side, scales=(0.5, 1.25), output=output).sum(1)
        assert_close(output, total, np.ones_like(total), LOGITS)


def test_coarse_probabilities_take_the_softmax_before_upsampling(side):
    logits = side.numpy(side.predict.main_logits(network_of(side), side.tensor(images()))).astype(np.float64)
    share = np.exp(logits - logits.max(1, keepdims=True))
    share = (share / share.sum(1, keepdims=True)).astype(np.float32)
    want = side.numpy(side.losses.upsample(side.tensor(share), OUT))
    assert_close("coarse", prediction(side, output="coarse_probabilities"), want, LOGITS)


def test_an_unknown_output_is_refused(side):
    with pytest.raises(ValueError, match="unknown output 'labels'"):
        prediction(side, output="labels")


def test_label_map_takes_the_first_of_equals(side):
    scores = np.zeros((1, 3, 1, 2), np.float32)
    scores[0, 1:, 0, 1] = 4.0
    labels = side.numpy(side.predict.label_map(side.tensor(scores)))
    assert labels.dtype == np.uint8
    assert labels.tolist() == [[[0, 1]]]
    assert side.numpy(side.predict.confidence(side.tensor(scores))).tolist() == [[[0.0, 4.0]]]


def test_ensemble_is_the_mean_unless_weighted(side):
    a, b = (side.tensor(np.full((1, 2, 2, 2), value, np.float32)) for value in (1.0, 3.0))
    assert np.all(side.numpy(side.predict.ensemble([a, b])) == 2.0)
    assert np.all(side.numpy(side.predict.ensemble([a, b], [0.25, 0.5])) == 1.75)


def test_predicting_in_the_middle_of_training_changes_nothing(side):
    network = network_of(side)
    side.training.set_mode(network, True)
    before = side.weights.get_weights(network)
    side.predict.main_logits(network, side.tensor(images()))
    after = side.weights.get_weights(network)
    assert network.training
    assert all(np.array_equal(before[key], after[key]) for key in before)
