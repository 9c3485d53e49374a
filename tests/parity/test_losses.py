"""Rung P2a: value and gradient of every loss, both twins, with respect to the stored logits.

A new loss is one line in ``LOSSES``: a function of (twin, tensors) that gives the loss first.
"""

import numpy as np
import pytest

from common.draws import generator
from tests.compare import assert_close
from tests.tolerances import LOSS
from tests.twins import need_both, twin

SIZE, COARSE = (19, 26), (4, 5)


def logits(name: str, classes: int = 7, size: tuple[int, int] = COARSE, scale: float = 3.0) -> np.ndarray:
    return generator(3, name, classes, *size).standard_normal((2, classes, *size), np.float32) * np.float32(scale)


def labels(classes: int = 7, ignored: float = 0.3) -> np.ndarray:
    draw = generator(3, "label", classes)
    values = draw.integers(0, classes, (2, *SIZE))
    return np.where(draw.random((2, *SIZE)) < ignored, draw.choice([255, -1], (2, *SIZE)), values).astype(np.int32)


def cross_entropy(ignored: float = 0.3, scale: float = 3.0):
    return lambda side: (
        lambda z: (side.losses.cross_entropy(z, side.tensor(labels(ignored=ignored))),),
        [logits("z", size=SIZE, scale=scale)],
    )


def segmentation(side):
    return (
        lambda aux, main: side.losses.segmentation_loss(aux, main, side.tensor(labels()), 1.0, 0.1),
        [logits("aux"), logits("main")],
    )


def main_only(side):
    return lambda main: side.losses.segmentation_loss(None, main, side.tensor(labels())), [logits("main")]


def distillation(temperature: float = 10.0, t2: bool = True, ensemble: str = "logits", reduction: str = "pixel_mean"):
    def build(side):
        teachers = tuple(side.tensor(logits(name)) for name in ("teacher a", "teacher b"))
        options = (temperature, t2, ensemble, reduction)
        return lambda z: (side.losses.distillation_kl(z, teachers, SIZE, *options),), [logits("student")]

    return build


def whole(name: str, scale: float = 3.0, count: int = 6, classes: int = 9) -> np.ndarray:
    """Return logits, or other vectors, of whole images."""
    return generator(3, name, count, classes).standard_normal((count, classes), np.float32) * np.float32(scale)


def of_classes(name: str, *options, inputs: tuple[str, ...] = ("z",), scale: float = 3.0):
    """Return a loss of ``class_losses`` of some inputs."""
    return lambda side: (
        lambda *z: (getattr(side.module("class_losses"), name)(*z, *options),),
        [whole(one, scale) for one in inputs],
    )


def labelled_classes(side):
    """Return the cross entropy of whole images, whatever the method."""
    label = side.tensor(generator(3, "class").integers(0, 9, 6).astype(np.int32))
    return lambda z: (side.module("class_losses").cross_entropies(z, label).sum(),), [whole("z")]


def distilled_classes(temperature: float, scale: float):
    """Return S3D's distillation; the assistant's logits are a constant."""
    return lambda side: (
        lambda z: (side.module("class_losses").distillation(z, side.tensor(whole("assistant", scale)), temperature),),
        [whole("student", scale)],
    )


def regions(ignored: float):
    """Return IAST's three losses of self-training, and their sum with weights of one size."""

    def build(side):
        label = side.tensor(np.where(labels(ignored=ignored) < 0, 255, labels(ignored=ignored)))

        def losses(z):
            pseudo, uniform, entropy = side.module("regions").region_losses(z, label)
            return pseudo + 3 * uniform + 9 * entropy, pseudo, uniform, entropy

        return losses, [logits("z", size=SIZE)]

    return build


def consistency(ignored: float):
    """Return HIAST's loss of the ignored region under a teacher."""

    def build(side):
        label = side.tensor(np.where(labels(ignored=ignored) < 0, 255, labels(ignored=ignored)))
        teacher = side.tensor(logits("teacher", size=SIZE))
        return lambda z: (side.module("regions").ignored_consistency(z, teacher, label),), [logits("z", size=SIZE)]

    return build


def adversarial(kind: str):
    """Return the losses of both players of IAST's warm-up, added up."""

    def build(side):
        players = side.module("adversarial")

        def losses(source, target):
            own, other = players.discriminator_loss(source, target, kind), players.fooling_loss(target, kind)
            return own + 0.3 * other, own, other

        return losses, [whole("source map", 1.0), whole("target map", 1.0)]

    return build


LOSSES = {
    "cross_entropy": cross_entropy(),
    "cross_entropy-extreme": cross_entropy(scale=60.0),
    "segmentation": segmentation,
    "segmentation-main": main_only,
    "regions": regions(0.3),
    "regions-none-ignored": regions(0.0),
    "regions-all-ignored": regions(1.0),
    "consistency": consistency(0.3),
    "consistency-all-ignored": consistency(1.0),
    "adversarial-mse": adversarial("mse"),
    "adversarial-bce": adversarial("bce"),
    "kl": distillation(),
    "classes-cross_entropy": labelled_classes,
    "classes-distillation": distilled_classes(4.0, 3.0),
    "classes-distillation-sharp": distilled_classes(1.0, 8.0),
    "classes-confident": of_classes("confident_cross_entropy"),
    "classes-entropy": of_classes("entropy"),
    "classes-exploration": of_classes("exploration", 0.8),
    "classes-attraction": of_classes("attraction", inputs=("x", "y"), scale=0.5),
    "classes-consistency": of_classes("consistency", inputs=("x", "y"), scale=1.0),
    "kl-probs": distillation(ensemble="probs"),
    "kl-t1": distillation(1.0),
    "kl-probs-t1": distillation(1.0, ensemble="probs"),
    "kl-no-t2": distillation(t2=False),
    "kl-element_mean": distillation(reduction="element_mean"),
    "kl-batch_mean": distillation(reduction="batch_mean"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_value_and_gradient_agree(name):
    need_both()
    (want, want_grads), (got, got_grads) = (run(side, LOSSES[name]) for side in map(twin, ("torch", "mindspore")))
    for part, (a, b) in enumerate(zip(got, want, strict=True)):
        assert_close(f"{name} output {part}", a, b, LOSS)
    for place, (a, b) in enumerate(zip(got_grads, want_grads, strict=True)):
        assert np.abs(b).max() > 0
        assert_close(f"{name} gradient {place}", a, b, LOSS)


@pytest.mark.parametrize("value", [255, -1])
def test_without_a_valid_pixel_loss_and_gradient_are_zero(side, value):
    label = side.tensor(np.full((2, *SIZE), value, np.int32))
    (loss,), (grad,) = side.gradients(lambda z: (side.losses.cross_entropy(z, label),), logits("z", size=SIZE))
    assert loss == 0
    assert not grad.any()


def test_an_empty_region_counts_for_nothing_or_as_the_official_code_has_it(side):
    """No labelled pixel: no cross entropy and no R_c, or NaN; the entropy of the rest stays."""
    label, regions = side.tensor(np.full((2, *SIZE), 255, np.int32)), side.module("regions")
    z = side.tensor(logits("z", size=SIZE))
    zero, nan = ([float(one) for one in regions.region_losses(z, label, empty)] for empty in ("zero", "nan"))
    assert zero[:2] == [0, 0] and np.isnan(nan[:2]).all() and zero[2] == nan[2] > 0


def test_consistency_counts_ignored_pixels_alone(side):
    """Independent formula in float64; nothing ignored: no loss, or NaN."""
    label = np.where(labels() < 0, 255, labels())
    z, teacher = (logits(name, size=SIZE).astype(np.float64) for name in ("z", "teacher"))
    log_p, log_q = (x - np.log(np.exp(x).sum(1, keepdims=True)) for x in (z, teacher))
    crossed, loss = -(np.exp(log_q) * log_p).mean(1), side.module("regions").ignored_consistency
    given = [side.tensor(x.astype(np.float32)) for x in (z, teacher)]
    assert_close("consistency", side.numpy(loss(*given, side.tensor(label))), crossed[label == 255].mean(), LOSS)
    whole = side.tensor(np.zeros_like(label))
    assert float(loss(*given, whole)) == 0 and np.isnan(float(loss(*given, whole, "nan")))


def test_mean_is_over_the_valid_pixels_of_the_batch_not_over_images(side):
    label = labels()
    label[0, 1:] = 255
    z = logits("z", size=SIZE).astype(np.float64)
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    valid = (label >= 0) & (label != 255)
    picked = np.take_along_axis(log_p, np.where(valid, label, 0)[:, None], 1)[:, 0]
    got = side.losses.cross_entropy(side.tensor(z.astype(np.float32)), side.tensor(label))
    assert_close("mean", side.numpy(got), -picked[valid].mean(), LOSS)


def test_reductions_differ_by_the_number_of_classes_and_pixels(side):
    values = {
        kind: float(run(side, distillation(reduction=kind))[0][0])
        for kind in ("pixel_mean", "element_mean", "batch_mean")
    }
    assert values["element_mean"] * 7 == pytest.approx(values["pixel_mean"], rel=LOSS)
    assert values["batch_mean"] == pytest.approx(values["pixel_mean"] * SIZE[0] * SIZE[1], rel=LOSS)


@pytest.mark.parametrize("ensemble", ["logits", "probs"])
def test_a_student_equal_to_both_teachers_has_no_loss(side, ensemble):
    same = logits("same", scale=30.0)
    teachers = (side.tensor(same),) * 2
    loss = side.losses.distillation_kl(side.tensor(same), teachers, SIZE, 1.0, ensemble=ensemble)
    assert abs(float(side.numpy(loss))) < 1e-5


def run(side, build) -> tuple[list[np.ndarray], list[np.ndarray]]:
    function, arrays = build(side)
    return side.gradients(function, *arrays)


def test_losses_compile_in_graph_mode():
    mindspore = pytest.importorskip("mindspore", reason="MindSpore is not installed")
    from ms_impl import losses

    def total(aux, main, teacher, label):
        whole, _, _ = losses.segmentation_loss(aux, main, label)
        return whole + losses.distillation_kl(main, (teacher, aux), SIZE, 2.0, ensemble="probs")

    tensors = [mindspore.Tensor(logits(name)) for name in ("aux", "main", "teacher")] + [mindspore.Tensor(labels())]
    want, want_grads = mindspore.value_and_grad(total, (0, 1))(*tensors)

    @mindspore.jit
    def compiled(*tensors):
        return mindspore.value_and_grad(total, (0, 1))(*tensors)

    got, got_grads = compiled(*tensors)
    assert_close("value", got.asnumpy(), want.asnumpy(), LOSS)
    for a, b in zip(got_grads, want_grads):
        assert_close("gradient", a.asnumpy(), b.asnumpy(), LOSS)
