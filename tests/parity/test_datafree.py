"""Rung P2a for the losses of AuG-KD, and what they do at the edges: certain classes, empty gaps, equal sides.

A new loss is one line in ``LOSSES``: a function of (twin's module, tensor maker) that gives a function and its arrays.
"""

import numpy as np
import pytest

from common.draws import generator
from tests.compare import assert_close
from tests.tolerances import LOSS, LOSS_LAST_AXIS
from tests.twins import need_both, twin

SAMPLES, CLASSES, LATENT = 6, 9, 14


def array(name: str, *shape: int, scale: float = 3.0) -> np.ndarray:
    return generator(5, name).standard_normal(shape or (SAMPLES, CLASSES), np.float32) * np.float32(scale)


def label(side):
    return side.tensor(generator(5, "label").integers(0, CLASSES, SAMPLES).astype(np.int32))


def mask() -> np.ndarray:
    return generator(5, "mask").random((SAMPLES, LATENT), np.float32) / 3


LATENTS = [array(name, SAMPLES, LATENT, scale=1.0) for name in ("restored", "latent", "mean", "log variance")]
WEIGHTS = np.linspace(0, 1, SAMPLES, dtype=np.float32)
GAP = [array(name, 40, scale=0.5) for name in ("means", "variances")]
LOSSES = {
    "kl": lambda m, side: (lambda p, q: (m.kl_divergence(p, q, 4.0).sum(),), [array("p"), array("q")]),
    "kl-clipped": lambda m, side: (lambda p, q: (m.kl_divergence(p, q).sum(),), [array("p"), array("q", scale=20.0)]),
    "js": lambda m, side: (lambda p, q: (m.js_divergence(p, q, 2.0).sum(),), [array("p"), array("q")]),
    "distillation": lambda m, side: (
        lambda p, q: (m.distillation_loss(p, q, label(side)),), [array("p"), array("q")]
    ),
    "distillation-weights": lambda m, side: (
        lambda p, q: (m.distillation_loss(p, q, label(side), side.tensor(WEIGHTS), 2.0),),
        [array("p"), array("q")],
    ),
    "generator": lambda m, side: (
        lambda t, s, *gap: m.generator_loss(t, s, gap), [array("t"), array("s"), *GAP]
    ),
    "generator-conditional": lambda m, side: (
        lambda t, s, *gap: (m.conditional_generator_loss(t, s, label(side), gap),), [array("t"), array("s"), *GAP]
    ),
    "encoder": lambda m, side: (lambda *x: (m.encoder_loss(*x),), LATENTS),
    "uncertainty": lambda m, side: (lambda z: (m.uncertainty(z, 0.7).sum(),), [array("z")]),
    "uncertainty-softmax": lambda m, side: (lambda z: (m.uncertainty(z, 1.0, "max_softmax").sum(),), [array("z")]),
    "anchor": lambda m, side: (lambda z, k: m.anchor_loss(z, label(side), k, 0.25), [array("z"), mask()]),
    "anchor-sample": lambda m, side: (
        lambda z, k: m.anchor_loss(z, label(side), k, 0.5, budget="sample"), [array("z"), mask()]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_value_and_gradient_agree(name):
    need_both()
    results = []
    for side in (twin("torch"), twin("mindspore")):
        function, arrays = LOSSES[name](side.module("datafree"), side)
        results.append(side.gradients(function, *arrays))
    (values, grads), (got_values, got_grads) = results
    for part, (want, got) in enumerate(zip(values, got_values)):
        assert_close(f"{name} part {part}", got, want, LOSS)
    for place, (want, got) in enumerate(zip(grads, got_grads)):
        assert_close(f"{name} gradient {place}", got, want, LOSS_LAST_AXIS)


def test_a_certain_teacher_and_fitting_statistics_give_a_finite_loss_and_gradient(side):
    """A class that nobody predicts has 0 log 0 in the entropy, an empty gap the derivative of a root at 0."""
    module = side.module("datafree")
    sure = np.zeros((SAMPLES, CLASSES), np.float32)
    sure[:, 0] = 200.0
    gap = [np.zeros(4, np.float32)] * 2
    values, grads = side.gradients(lambda t, s, *g: module.generator_loss(t, s, g), sure, array("s"), *gap)
    assert np.isfinite([*values]).all()
    assert all(np.isfinite(grad).all() for grad in grads)
    assert values[3] == pytest.approx(0.0, abs=1e-6)
    assert not grads[2].any()


def test_equal_sides_have_no_divergence_and_no_gradient(side):
    """What the official third stage gives without dropout: the student against itself."""
    module = side.module("datafree")
    (value,), (grad,) = side.gradients(lambda z: (module.kl_divergence(z, z, 10.0).sum(),), array("z"))
    assert value == pytest.approx(0.0, abs=1e-6)
    assert np.abs(grad).max() < 1e-5


def test_one_value_a_channel_has_the_biased_variance(side):
    """The unbiased one would be 0 / 0: one image at the 1x1 maps of a deep network."""
    mean, variance = side.module("nets.statistics").channel_statistics(side.tensor(array("x", 1, 3, 1, 1)))
    assert np.array_equal(side.numpy(mean), array("x", 1, 3, 1, 1).reshape(3))
    assert not side.numpy(variance).any()


def test_statistics_are_those_of_numpy(side):
    x = array("x", 4, 3, 5, 2)
    mean, variance = side.module("nets.statistics").channel_statistics(side.tensor(x))
    assert_close("mean", side.numpy(mean), x.mean((0, 2, 3)), LOSS)
    assert_close("variance", side.numpy(variance), x.var((0, 2, 3), ddof=1), LOSS)
