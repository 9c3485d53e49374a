"""Supervised training as a method of its own and as comparison rows."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from common.config import load_config
from common.methods import METHODS, stages
from common.methods.baselines import baseline_stages
from tests.common.methods.worlds import config, context, world

KEYS = {
    "source_only": ["source_image", "source_label"],
    "target_only": ["target_image", "target_label"],
    "joint": ["source_image", "source_label", "target_image", "target_label"],
}


@pytest.mark.parametrize("domains", KEYS)
def test_method_of_its_own(domains: str) -> None:
    """One stage; the batch holds the domains that are trained on."""
    of = config({"name": "supervised", "domains": domains, "steps": 3, "lambda_aux": 0.5})
    (stage,) = stages(of)
    assert (stage.name, stage.objective, stage.steps) == ("supervised", "supervised", 3)
    assert stage.settings == {"domains": domains, "colour": True, "lambda_main": 1.0, "lambda_aux": 0.5}
    assert sorted(stage.batches(context(of, stage.name))(0)) == KEYS[domains]


def test_rows_beside_a_method() -> None:
    """Before the method's own stages, as long as train.steps, under its loss weights."""
    of = config({"name": "ddm", "rounds": 1, "lambda_aux": 0.2}, baselines=["target_only", "joint"])
    names = [stage.name for stage in stages(of)]
    assert names[:3] == ["baselines/target_only", "baselines/joint", "round1/region"]
    assert [(s.steps, s.settings["lambda_aux"]) for s in baseline_stages(of)] == [(7, 0.2)] * 2


def test_rows_beside_a_method_see_the_images_as_they_are() -> None:
    """Their source keeps its colours whatever ``data.colour`` says; joint training as a method translates it."""
    of = config(baselines=["source_only", "joint"], data={"colour": {"mode": "online"}})
    plain = {world().source.image(i).transpose(2, 0, 1).tobytes() for i in range(6)}
    only, joint = (stage.batches(context(of, stage.name))(0)["source_image"] for stage in baseline_stages(of))
    assert {image.tobytes() for image in [*only, *joint]} <= plain
    method = config({"name": "supervised", "domains": "joint"}, data={"colour": {"mode": "online"}})
    translated = stages(method)[0].batches(context(method, "supervised"))(0)["source_image"]
    assert not {image.tobytes() for image in translated} & plain


def test_source_only_has_not_seen_the_target() -> None:
    """As a method too, it keeps the source's colours."""
    of = config({"name": "supervised", "domains": "source_only"}, data={"colour": {"mode": "online"}})
    plain = {world().source.image(i).transpose(2, 0, 1).tobytes() for i in range(6)}
    images = stages(of)[0].batches(context(of, "supervised"))(0)["source_image"]
    assert {image.tobytes() for image in images} <= plain


def test_target_only_sees_every_labelled_image_once_an_epoch() -> None:
    """Shuffled epochs over the labelled images."""
    of = config({"name": "supervised", "domains": "target_only"})
    build = stages(of)[0].batches(context(of, "supervised"))
    seen = [sorted(int(label[:, 1:].max()) for label in build(step)["target_label"]) for step in range(6)]
    assert seen == [[2, 5]] * 6


def test_crop_applies_to_every_domain() -> None:
    """Augmentation is a matter of data, not of the method."""
    of = config({"name": "supervised", "domains": "joint"}, data={"augment": {"flip": 0.5, "crop": (10, 6)}})
    batch = stages(of)[0].batches(context(of, "supervised"))(0)
    assert {batch[key].shape[-2:] for key in batch} == {(6, 10)} and batch["source_label"].dtype == np.int32


def test_settings_can_be_written_in_yaml(tmp_path: Path) -> None:
    """YAML takes words such as ``on`` for booleans; no key of the method may be one."""
    path = tmp_path / "a.yaml"
    path.write_text("name: a\ndata: {val: {layout: gta5, root: x}}\nmethod: {name: supervised, domains: joint}\n")
    assert load_config(path).method.domains == "joint"
    for method in METHODS.values():
        keys = list(method.Settings.model_fields)
        assert yaml.safe_load("\n".join(f"{key}: 1" for key in keys)) == dict.fromkeys(keys, 1)
