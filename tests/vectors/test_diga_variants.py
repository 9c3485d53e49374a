"""Runners of DiGA on files that differ from the stored ones in shapes, in options left out and in empty cases."""

import json
from pathlib import Path

import numpy as np

from tests.vectors import Vector
from tests.vectors.diga.mechanics import lr_schedules
from tests.vectors.diga.memory import class_mean_vectors
from tests.vectors.diga.step_inputs import classes_of, configuration, prescribed
from tests.vectors.diga.steps import _holds_both


def written(place: Path, stem: str, params: object, **arrays: np.ndarray) -> Vector:
    """Return a vector file of these arrays and parameters."""
    np.savez(place / f"{stem}.npz", params=json.dumps(params), **arrays)
    return Vector(place / f"{stem}.npz")


def assert_holds(checks) -> None:
    checks = list(checks)
    assert checks and all(check.error() <= check.tol for check in checks), [(c.case, c.error()) for c in checks]


def test_class_means_without_a_vector_and_of_labels_with_a_channel(tmp_path, backends):
    """Five pixels make a vector: a map of four has none, stored as an array of shape (0,)."""
    rng = np.random.default_rng(0)
    feature, logits = rng.normal(size=(2, 4, 6, 10)).astype("f4"), rng.normal(size=(2, 3, 6, 10)).astype("f4")
    label = rng.integers(0, 3, (2, 1, 12, 20)).astype("f4")
    both = np.where(logits.argmax(1) == label[:, 0, ::2, ::2], logits.argmax(1), -1)
    found = [(k, feature[n][:, both[n] == k].mean(1)) for n in range(2) for k in range(3) if (both[n] == k).sum() >= 5]
    empty = {"c1_feat": feature[..., :2, :2], "c1_logits": logits[..., :2, :2]}
    empty |= {"c1_vectors": np.zeros(0, "f4"), "c1_ids": np.zeros(0, "i8")}
    labelled = {"c0_feat": feature, "c0_logits": logits, "c0_label": label}
    labelled |= {"c0_vectors": np.array([v for _, v in found]), "c0_ids": np.array([k for k, _ in found])}
    params = [{"classes": 3, "has_label": True}, {"classes": 3, "has_label": False}]
    for backend in backends.values():
        vector = written(tmp_path, "class_mean_vectors_few", params, **labelled, **empty)
        assert_holds(class_mean_vectors(vector, backend))
    assert found


def test_whether_a_loss_holds_two_is_read_off_the_total_whatever_the_other_is_called():
    losses = {"loss_semseg": 3.0, "loss_mix": 1.0, "loss_s_distil": 4.0}
    params = {"lambda_distil": 0.25, "losses": [losses | {"total_loss": 5.0}, losses | {"total_loss": 4.0}]}
    assert [_holds_both(params, step) for step in (0, 1)] == [False, True]


def test_synthia_files_that_name_no_option_have_those_of_the_synthia_scripts(tmp_path):
    labels = {"src_label": np.zeros((1, 8, 8), "u1")}
    for stem, beta in (("step_warmup_syn", 0.4), ("step_selftrain_syn", 0.3)):
        vector = written(tmp_path, stem, {"lr": [[0.0, 0.0], [1e-4, 1e-3]]}, **labels)
        method = configuration(vector, {"name": "deeplabv2_se"}, classes_of(vector, labels)).method
        assert (method.warmup.lambda_distil, method.lambda_reverse, method.warmup.strong.beta) == (0.25, 0.25, beta)
        assert (method.seg_loss, method.translator.lambda_self, classes_of(vector, labels)) == ("ohem", 0.025, 16)
    semi = written(tmp_path, "step_selftrain_semi", {}, **{"val1|student.hrnet.conv1.weight": np.zeros(1)})
    assert [prescribed(semi)[name] for name in ("lambda_distil", "scale", "beta")] == [0.5, 0.5, 0.4]


def test_schedules_of_other_scripts_are_those_of_the_adaptation(tmp_path):
    steps = np.array([0, 40_000])
    rates = np.outer(2.5e-4 * (1 - steps / 80_000) ** 0.9, (1, 10))
    vector = written(tmp_path, "lr_schedules_more", {}, gta_selftrain_steps=steps, gta_selftrain_lr=rates)
    assert_holds(lr_schedules(vector, None))
