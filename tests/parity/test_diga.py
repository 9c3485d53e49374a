"""Rung P3 of DiGA: the change of every parameter, of the teacher and of the memory over three steps; exact resuming."""

import numpy as np
import pytest

from common.backends import open_backend
from common.networks.translator import TranslatorConfig
from tests.compare import assert_close
from tests.double import double_backend
from tests.parity.small_diga import CLASSES, batch, configuration
from tests.tolerances import FLOOR_FACTOR, FLOOR_SLACK, GRADIENT, LOSS
from tests.twins import TWINS, need_both, twin

need_both()

STEPS = 3
PERCEPTUAL = {"translator": {"width": 4}}  # the small configuration leaves VGG-19 out, which is most of a step
OPTIONS = {
    **{"seg_loss": "ohem", "ohem_min_kept": 500, "distil_mask": True},
    **{"centroids": {"momentum": None}, "teacher_mode": "eval"},
}
FORMS = {  # objective, network, keys of the method
    "warmup": ("diga_warmup", "se", {}),
    "warmup-mit": ("diga_warmup", "mit", {"ce_normalise": "valid"}),
    "selftraining": ("diga_selftraining", "se", {"centroids": {"momentum": 0.2}}),
    "selftraining-plain": ("diga_selftraining", "plain", OPTIONS),
    "translator": ("diga_translator", "se", {}),
    "translator-perceptual": ("diga_translator", "se", PERCEPTUAL),
}

REPEATS = ("warmup", "translator-perceptual")  # of what other forms, or the step vectors, show as well


def started(side, form: str, backend=None):
    """Return the backend and an objective of it; the translator and the teacher come from elsewhere."""
    objective, network, method = FORMS[form]
    config = configuration(network, method)
    backend = backend or open_backend(side.name, device="cpu", compile=False, threads=1)
    if objective == "diga_translator":  # has no networks beside its own
        return backend, backend.build(config, objective)
    network = side.nets.build_network(TranslatorConfig(width=config.method.translator.width), 0, config.seed)
    translator = side.weights.get_weights(network)
    return backend, backend.build(config, objective, frozen={"translator": translator})


def run(side, form: str, backend=None) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Return the losses of three steps and the change of everything that the state holds, by canonical names."""
    backend, model = started(side, form, backend)
    before = canonical(side, model)
    channels = getattr(model.network, "feature_channels", 1)
    lr = 1e-3 if form.startswith("translator") else 0.05  # its kinks are real
    done = [model.step(batch(model.config, step, channels), lr / (1 + step)) for step in range(STEPS)]
    losses = [{name: float(backend.numpy(value)) for name, value in one.items()} for one in done]
    after = canonical(side, model)
    return losses, {name: after[name] - before[name] for name in after}


def canonical(side, model) -> dict[str, np.ndarray]:
    """Return the weights of all networks and the memory."""
    parts = {"model": model.network, **{name: getattr(model, name, None) for name in ("teacher", "critics")}}
    state, found = model.state(), {}
    for name, network in parts.items():
        if name in state:
            found |= {f"{name} {key}": value for key, value in side.canonical(state[name], network).items()}
    return found | {f"memory {key}": value for key, value in state.get("memory", {}).items()}


@pytest.mark.slow
@pytest.mark.parametrize("form", [pytest.param(f, marks=[pytest.mark.exhaustive] * (f in REPEATS)) for f in FORMS])
def test_three_steps_agree(form):
    (want_losses, want), (got_losses, got) = (run(twin(name), form) for name in TWINS)
    with double_backend() as backend:
        _, exact = run(twin("torch"), form, backend)
    for step, (a, b) in enumerate(zip(got_losses, want_losses)):
        assert a.keys() == b.keys()
        for name in a:
            assert_close(f"{form} step {step} {name}", a[name], b[name], 10 * LOSS if step else 2 * LOSS)
    largest = max(np.abs(change).max() for name, change in want.items() if "running" not in name)
    for name, change in want.items():
        if np.abs(change).max() <= 1e-5 * largest:  # biases before a norm move by rounding alone
            assert np.abs(got[name]).max() <= 1e-4 * largest, name
            continue
        gap, floor, scale = (np.linalg.norm(x) for x in (got[name] - change, change - exact[name], change))
        bound = FLOOR_FACTOR * floor + FLOOR_SLACK * scale
        assert gap <= bound, f"{form} {name}: {gap / scale:.1e}, torch {floor / scale:.1e}"
    teacher = [change for name, change in want.items() if name.startswith("teacher")]
    assert any(map(np.any, teacher)) or form.startswith("translator")


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("warmup", "torch"),
        ("selftraining", "torch"),
        ("translator", "torch"),
        pytest.param("warmup", "mindspore", marks=[pytest.mark.slow, pytest.mark.exhaustive]),
        pytest.param("selftraining", "mindspore", marks=pytest.mark.slow),
        pytest.param("translator", "mindspore", marks=[pytest.mark.slow, pytest.mark.exhaustive]),
    ],
)
def test_a_resumed_run_goes_on_as_if_it_had_not_been_cut(form, name):
    """To the bit on PyTorch; MindSpore's CPU kernels try out how to share their sums, op by op, and round otherwise."""
    side, tolerance = twin(name), {"torch": 0.0, "mindspore": GRADIENT}[name]
    (_, whole), (_, cut), (_, again) = (started(side, form) for _ in range(3))
    channels = getattr(whole.network, "feature_channels", 1)
    batches = [batch(whole.config, step, channels) for step in range(2)]
    for one in batches:
        whole.step(one, 0.05)
    cut.step(batches[0], 0.05)
    again.load_state(cut.state())
    again.step(batches[1], 0.05)
    want, got = whole.state(), again.state()
    assert want.keys() == got.keys()
    for part, arrays in want.items():
        for key, value in arrays.items():
            assert_close(f"{part} {key}", got[part][key], value, tolerance)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n == "mindspore")) for n in TWINS])
def test_gradients_and_consensus_train_nothing(name):
    side = twin(name)
    _, model = started(side, "selftraining")
    first = batch(model.config, 0, model.network.feature_channels)
    model.load_memory({key: first[key] for key in ("centroids", "counts")})
    before = model.state()
    found, kept = model.consensus(first)
    _, gradients = model.gradients(first)
    assert gradients
    assert np.array_equal(kept, np.where(found == first["target_label"], found, 255))
    after = model.state()
    assert all(np.array_equal(after[part][key], value) for part, some in before.items() for key, value in some.items())


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n == "mindspore")) for n in TWINS])
def test_shares_of_agreeing_labels_are_told_by_class(name):
    side = twin(name)
    _, model = started(side, "selftraining")
    first = batch(model.config, 0, model.network.feature_channels)
    model.load_memory({key: first[key] for key in ("centroids", "counts")})
    _, kept = model.consensus(first)
    losses = {name: float(model.backend.numpy(value)) for name, value in model.step(first, 0.0).items()}
    offline = [losses[f"offline/class {k}"] for k in range(CLASSES)]
    agreed = [losses[f"agreed/class {k}"] for k in range(CLASSES)]
    assert np.allclose(offline, [(first["target_label"] == k).mean() for k in range(CLASSES)], atol=1e-6)
    assert np.allclose(agreed, [(kept == k).mean() for k in range(CLASSES)], atol=1e-6)
    assert losses["kept"] == pytest.approx((kept != 255).mean(), abs=1e-6)
