"""Rung P3 for AuG-KD: three steps of each of its objectives in both twins; every weight, statistic and moment agrees.

Classifiers have smooth activations; the LeakyReLU of generator and encoder stay, so changes are held to float32's own
noise, which PyTorch shows when its weights are moved by two units in the last place. The optimizer is SGD: Adam would
make a whole step of the sign of a gradient that is but noise.
"""

import numpy as np
import pytest

from common.backends import open_backend
from common.config import Config
from common.draws import generator
from common.methods.augkd_networks import networks
from convert import optimizer as moving
from tests.rounding import shaken
from tests.tolerances import FLOOR_FACTOR, FLOOR_SLACK, GRADIENT, LOSS
from tests.twins import Twin, need_both, twin

need_both()

CLASSES, LATENT, SIZE, IMAGES, STEPS, LR = 4, 6, 8, 6, 3, 0.02
RUNS = 4  # of PyTorch, to see float32's noise
ROLES = {
    "augkd_datafree": ("teacher",),
    "augkd_anchor": ("teacher", "generator", "encoder"),
    "augkd_mixup": ("teacher", "generator", "encoder", "anchor"),
    "augkd_distilled": ("teacher",),
}
FORMS = {  # form -> (objective, options of the method)
    **{objective: (objective, {}) for objective in ROLES},
    "mixup-official": ("augkd_mixup", {"compat": "official"}),
    "anchor-sample": ("augkd_anchor", {"anchor": {"mask_budget": "sample", "uncertainty": "max_softmax"}}),
}
LONG = ("augkd_datafree", "mixup-official", "anchor-sample")
SMOOTH = {"name": "resnet", "depth": 10, "width": 4, "stem": "small", "activation": "softplus"}
STUDENT = {"name": "mobilenet_v3", "size": "small", "width": 0.25, "activation": "softplus"}


def configuration(method: dict, student: dict) -> Config:
    """Return the configuration of the small networks."""
    small = {"latent_size": LATENT, "latent_width": 4, "image_size": SIZE, "teacher": {"network": SMOOTH}}
    tree = {
        "name": "small",
        "task": "classification",
        "data": {"val": {"layout": "class_folders", "root": "unused"}},
        "classes": {"names": [f"class {index}" for index in range(CLASSES)]},
        "input": {"order": "rgb", "scale": 1 / 255, "mean": (0.4, 0.45, 0.5), "std": (0.25, 0.25, 0.25)},
        "network": student,
        "optim": {"name": "sgd", "lr": LR, "head_lr_mult": 1.0, "schedule": "constant"},
        "method": {
            "name": "augkd",
            **small,
            "datafree": {"inner": 2, "generator_lr": LR, "encoder_lr": LR / 10},
            **method,
        },
    }
    return Config.model_validate(tree)


def batch(config: Config, objective: str) -> dict[str, np.ndarray]:
    """Return noise images, labels, latent vectors, and what dropout keeps."""
    draw, units = generator(0, "augkd", objective), config.network.dropout_units()
    image = draw.integers(0, 256, (IMAGES, 3, SIZE, SIZE)).astype(np.uint8)
    label = draw.integers(0, CLASSES, IMAGES).astype(np.int32)
    kept = (draw.random((3, 2 * IMAGES, units)) < 0.8).astype(np.uint8)
    if objective == "augkd_datafree":
        latent = draw.standard_normal((3, IMAGES, LATENT), np.float32)
        arrays = {"latent": latent, "noise": draw.standard_normal((2, IMAGES, LATENT), np.float32)}
        return arrays | ({"dropout": kept[:, :IMAGES]} if units else {})
    if objective == "augkd_distilled":
        arrays = {"target_image": image, "target_label": label}
        return arrays | ({"dropout": kept[0, :IMAGES]} if units else {})
    arrays = {"image": image, "label": label, "noise": draw.standard_normal((IMAGES, LATENT), np.float32)}
    if objective == "augkd_anchor":
        return arrays
    arrays["ratio"] = np.array(0.4, np.float32)
    return arrays | ({"dropout": kept[0], "target_dropout": kept[1]} if units else {})


def build(side: Twin, config: Config, objective: str, compile: bool = False, shake: int | None = None):
    """Return an objective with fixed networks, whose statistics are those of no batch, and its backend."""
    backend, described = open_backend(side.name, device="cpu", compile=compile, threads=1), networks(config)
    frozen = {}
    for role in ROLES[objective]:
        network = side.nets.build_network(described[role], CLASSES)
        side.fill(network, "torch")
        frozen[role] = shaken(side.weights.get_weights(network), shake)
    model = backend.build(config, objective, frozen=frozen)
    for network in trained_networks(model).values():
        side.weights.set_weights(network, shaken(side.weights.get_weights(network), shake))
    return model, backend


def trained_networks(model) -> dict:
    """Return the networks that train, by their part of the state."""
    further = {part: getattr(model, part) for part in ("generator", "encoder") if part in model.state()}
    return {"model": model.network, **further}


class Run:
    """An objective after a few steps.

    Attributes:
        losses: Of each step, by name.
        moved: The change of every weight and statistic, and every moment of the optimizers, by canonical name.
        rounding: What the last place of the weights, of which a change is the difference, is in the norm.
    """

    def __init__(self, form: str, name: str, student: dict, compile: bool = False, shake: int | None = None):
        objective, method = FORMS[form]
        side, config = twin(name), configuration(method, student)
        model, backend = build(side, config, objective, compile, shake)
        parts, before, self.losses = trained_networks(model), model.state(), []
        for _ in range(STEPS):
            done = model.step(batch(config, objective), LR)
            self.losses.append({key: float(backend.numpy(value)) for key, value in done.items()})
        self.moved: dict[str, np.ndarray] = {}
        self.rounding: dict[str, float] = {}
        after = model.state()
        for part, network in parts.items():
            old, new = (side.canonical(state[part], network) for state in (before, after))
            self.moved |= {f"{part} {key}": new[key].astype(np.float64) - old[key] for key in new}
            self.rounding |= {f"{part} {key}": np.linalg.norm(np.spacing(np.abs(new[key]))) for key in new}
            _, optimizer = moving.split(after["optimizer" if part == "model" else f"optimizer_{part}"], name)
            for kind, one in optimizer.slots.items():
                named = side.canonical(one, network) if kind != moving.FRESH else {}
                self.moved |= {f"{part} {kind} {key}": value for key, value in named.items()}


def compare(form: str, student: dict, compile: bool) -> None:
    want, got = Run(form, "torch", student), Run(form, "mindspore", student, compile)
    noisy = [Run(form, "torch", student, shake=seed) for seed in range(RUNS)]
    assert got.moved.keys() == want.moved.keys()
    assert [list(one) for one in got.losses] == [list(one) for one in want.losses]
    for a, b in zip(got.losses, want.losses):
        assert a == pytest.approx(b, rel=GRADIENT, abs=1e-5)
    assert max(float(np.abs(value).max()) for value in want.moved.values()) > 1e-4, "nothing has moved"
    for key, value in want.moved.items():
        noise = max(np.linalg.norm(one.moved[key] - value) for one in noisy)
        layer = want.moved.get(key.replace(".bias", ".weight"), value)  # before a norm a bias sees but what rounding
        size = np.hypot(np.linalg.norm(value), np.linalg.norm(layer))  # leaves of gradients as large as its weight's
        gap = np.linalg.norm(got.moved[key] - value)
        bound = FLOOR_FACTOR * noise + FLOOR_SLACK * size + STEPS * want.rounding.get(key, 0.0)
        assert gap <= bound, f"{form} {key}: {gap:.1e} of {size:.1e}; float32's noise is {noise:.1e}"


@pytest.mark.parametrize("form", [pytest.param(f, marks=[pytest.mark.slow] * (f in LONG)) for f in FORMS])
def test_three_steps_agree(form):
    compare(form, SMOOTH, compile=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "form",
    ["augkd_anchor", *(pytest.param(f, marks=pytest.mark.exhaustive) for f in ("augkd_datafree", "mixup-official"))],
)
def test_three_compiled_steps_of_a_student_with_dropout_agree(form):
    compare(form, STUDENT, compile=True)


@pytest.mark.slow
def test_the_state_of_learning_without_data_is_whole(side):
    """What a resumed stage needs: three networks with their optimizers; and it goes on as if nothing had happened."""
    config = configuration({}, SMOOTH)
    whole, _ = build(side, config, "augkd_datafree")
    cut, _ = build(side, config, "augkd_datafree")
    arrays = batch(config, "augkd_datafree")
    whole.step(arrays, LR)
    assert {"model", "generator", "encoder", "optimizer", "optimizer_generator", "optimizer_encoder"} <= set(
        whole.state()
    )
    cut.load_state(whole.state())
    for one in (whole, cut):
        one.step(arrays, LR)
    for part, values in whole.state().items():
        largest = max(float(np.abs(value).max()) for value in values.values())
        for key, value in values.items():
            gap, size = np.abs(cut.state()[part][key] - value).max(), np.abs(value).max()
            assert gap <= GRADIENT * max(size, largest / 10), f"{part} {key}"  # biases before a norm hold noise alone


def test_without_a_teacher_there_is_a_state(side):
    """What a dry run lends to later stages."""
    config = configuration({}, SMOOTH)
    whole, backend = build(side, config, "augkd_datafree")
    alone = backend.build(config, "augkd_datafree")
    assert {part: list(one) for part, one in alone.state().items()} == {
        part: list(one) for part, one in whole.state().items()
    }


def test_judging_and_showing_change_nothing(side):
    config = configuration({}, SMOOTH)
    model, _ = build(side, config, "augkd_datafree")
    before, arrays = model.state(), batch(config, "augkd_datafree")
    first = model.judge(arrays["latent"][:2], arrays["noise"])
    pictures = model.pictures(arrays["latent"][0])
    again = model.judge(arrays["latent"][:2], arrays["noise"])
    # MindSpore's CPU kernels try out in their first calls how to share sums: the last bits are theirs
    np.testing.assert_allclose(again, first, rtol=LOSS)
    assert pictures.shape == (IMAGES, 3, SIZE, SIZE)
    assert pictures.dtype == np.uint8
    for part, values in before.items():
        for key, value in values.items():
            assert np.array_equal(value, model.state()[part][key]), f"{part} {key}"


def test_masks_are_those_of_the_anchors(side):
    """A mask depends on the class alone."""
    model, backend = build(side, configuration({}, SMOOTH), "augkd_anchor")
    arrays, masks = batch(model.config, "augkd_anchor"), model.masks(CLASSES)
    assert masks.shape == (CLASSES, LATENT)
    assert masks.max() > 0
    side.training.set_mode(model.network, False)
    _, mask = model.network(backend.tensor(arrays["noise"]), backend.tensor(arrays["label"]))
    np.testing.assert_allclose(masks[arrays["label"]], backend.numpy(mask), rtol=1e-6)


def test_pictures_of_a_mixture_end_at_the_real_image(side):
    config = configuration({}, SMOOTH)
    model, _ = build(side, config, "augkd_mixup")
    arrays = batch(config, "augkd_mixup")
    real = model.pictures(arrays["image"], arrays["label"], arrays["noise"], 1.0)
    assert np.array_equal(real, arrays["image"])
    assert not np.array_equal(model.pictures(arrays["image"], arrays["label"], arrays["noise"], 0.0), arrays["image"])


def test_without_an_anchor_network_an_anchor_is_the_latent_vector(side):
    config = configuration({}, SMOOTH)
    model, backend = build(side, config, "augkd_mixup")
    arrays = batch(config, "augkd_mixup")
    plain = backend.build(config, "augkd_mixup", frozen={
        role: side.weights.get_weights(getattr(model, role)) for role in ("teacher", "generator", "encoder")
    })  # fmt: skip
    given = [backend.tensor(arrays[key]) for key in ("image", "label", "noise", "ratio")]
    latent, anchor, mask, *_ = plain.mixture(plain.unit(given[0]), *given[1:])
    assert np.array_equal(side.numpy(latent), side.numpy(anchor))
    assert not side.numpy(mask).any()
    assert model.mixture(model.unit(given[0]), *given[1:])[2].max() > 0
