"""What evaluate.py's first argument may mean, and what it says when it means nothing."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from common.config import dump, load_config
from common.errors import UserError
from common.subject import find_subject
from scripts import evaluate as script


def test_a_configuration_takes_the_weights_that_are_named():
    found = find_subject("ddm/toy", weights=Path("student.pth"))
    assert (found.config.name, found.weights) == ("ddm/toy", [Path("student.pth")])


def test_weights_of_a_run_are_scored_as_its_own_section_evaluate_says(tmp_path):
    """IAST's stages score one size while they train; that is no setting of the evaluation afterwards."""
    name = "iast/gta5_to_cityscapes_v100"
    (tmp_path / "config.yaml").write_text(dump(load_config(name)), encoding="utf-8")
    weights = tmp_path / "stages/round3/train/checkpoints/step-006234/model.pth"
    weights.parent.mkdir(parents=True)
    weights.touch()
    found = find_subject(str(weights)).config
    assert found.network.freeze_bn_affine and not load_config(name).network.freeze_bn_affine  # the stage's network
    assert len(found.evaluate.scales) == 5 and found.evaluate.output == "probabilities"
    asked = find_subject(str(weights), ["evaluate.scales=[0.5,1.0]", "evaluate.flip=true"]).config.evaluate
    assert (asked.scales, asked.flip, asked.output) == ((0.5, 1.0), True, "probabilities")


def test_evaluate_predicts_in_float32_as_the_section_evaluate_says(monkeypatch):
    """Whatever precision a network trained in; its initial weights are not read again."""
    seen = {}

    def build(config, objective):
        seen["built"] = config
        return SimpleNamespace(load_weights=lambda weights: None)

    def predictor(objective, settings):
        seen["settings"] = settings

    backend = SimpleNamespace(suffix=".pth", load=lambda path: {}, build=build, predictor=predictor)
    monkeypatch.setattr(script, "open_backend", lambda name, device: backend)
    config = load_config("iast/gta5_to_cityscapes_v100", ["evaluate.scales=[0.5,1.0]"])
    assert config.train.precision == "fp16" and config.network.weights
    script._open("torch", config, [Path("student.pth")], "cpu")
    built = seen["built"]
    assert built.train.precision == "fp32" and built.network.weights is None
    assert built.network.depth == config.network.depth and seen["settings"].scales == (0.5, 1.0)


@pytest.mark.parametrize(
    "what, words",
    [
        ("ddm/toyy", "neither a run folder .*; ddm/toyy: no such configuration. Did you mean 'ddm/toy'"),
        ("runs/none", "runs/none: neither a run folder"),
        ("ddm/toy", "needs --weights FILE"),
    ],
)
def test_what_names_nothing_is_one_clear_line(what, words):
    with pytest.raises(UserError, match=words) as caught:
        find_subject(what)
    assert "\n" not in str(caught.value)
