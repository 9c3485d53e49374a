"""Stages, options and batches of S3D, ENT, MME and APE."""

from pathlib import Path

import numpy as np
import pytest

from common.config import Config, load_config
from common.data.lists import parse_class_list
from common.data.roles import open_roles
from common.errors import UserError
from common.methods import stages
from common.methods.s3d_memory import Memory
from common.stage import StageContext
from tests.e2e.classes import NAMES, write_config, write_data

S3D = {"name": "s3d", "first_steps": 3, "steps": 5, "pseudo_interval": 2}


def configured(root: Path, **sections) -> Config:
    """Return a small configuration of S3D over class folders."""
    return load_config(write_config(root / "own.yaml", write_data(root / "data"), **{"method": S3D, **sections}))


def batch(config: Config, name: str, step: int = 0, memory: dict | None = None, **ranks) -> dict[str, np.ndarray]:
    """Return the batch of a step of a stage; without ``memory`` one is made up."""
    (stage,) = (one for one in stages(config) if one.name == name)
    context = StageContext(stage.configured(config), open_roles(config, checked=False), name, Path(), {}, **ranks)
    context = stage.rehearsed(context)
    if memory is not None:
        context = StageContext(context.config, context.data, name, Path(), {}, memory, **ranks)
    return stage.batches(context)(step)


def test_the_second_stage_goes_on_from_s_t_with_its_optimizer(tmp_path):
    first, second = stages(configured(tmp_path, baselines=[]))
    assert (first.title, first.steps, first.objective) == ("S+T", 3, "supervised_classes")
    assert (second.start, second.carry, second.steps, second.refresh.every) == ("first", True, 5, 2)
    fresh = {**S3D, "init_from": "best", "carry_optimizer": False}
    assert stages(configured(tmp_path, baselines=[], method=fresh))[1].start == "first@best"


def test_contradictions_are_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="best weights have no optimizer"):
        stages(configured(tmp_path, method={**S3D, "init_from": "best"}))
    with pytest.raises(UserError, match=r"needs data\.target"):
        config = configured(tmp_path)
        stages(config.model_copy(update={"data": config.data.model_copy(update={"target": None})}))
    with pytest.raises(UserError, match="consistency: official needs vectors of one length"):
        stages(configured(tmp_path, network={"head": "predictor_deep"}, baselines=["ape"]))
    with pytest.raises(UserError, match="mme belongs to the methods"):
        stages(configured(tmp_path, method={"name": "supervised"}, baselines=["mme"]))


def test_partners_stand_beside_labelled_images_of_their_class(tmp_path):
    config = configured(tmp_path, baselines=[])
    data = open_roles(config, checked=False)
    truth = np.array([data.target.label(i) for i in range(len(data.target))])
    arrays = batch(config, "second", 1, Memory(truth, ramp_start=np.array(100_000)).arrays())
    assert {key: value.shape for key, value in arrays.items()} == {
        "labelled_image": (4, 3, 12, 12),
        "labelled_label": (4,),
        "unlabelled_image": (4, 3, 12, 12),
        "style_mix": (4, 4),
        "weight": (),
    }
    brightness = [arrays[f"{side}_image"].max(axis=(1, 2, 3)) for side in ("labelled", "unlabelled")]
    assert np.abs(np.subtract(*brightness, dtype=np.int64)).max() < 30  # classes are 60 apart in these pictures
    assert set(arrays["labelled_label"]) <= set(range(len(NAMES)))
    assert arrays["weight"] == 1.0
    assert ((arrays["style_mix"] >= 0) & (arrays["style_mix"] <= 1)).all()


def test_a_batch_depends_on_its_position_and_the_memory_alone(tmp_path):
    config = configured(tmp_path, baselines=[])
    for step in (0, 1):
        one, other = (batch(config, "second", step) for _ in range(2))
        assert all(np.array_equal(one[key], other[key]) for key in one)
    assert not np.array_equal(batch(config, "second", 0)["style_mix"], batch(config, "second", 1)["style_mix"])


def test_two_ranks_share_what_one_with_twice_the_batch_sees(tmp_path):
    """The same pairs in the same views and styles: source images first, then target ones."""
    config = configured(tmp_path, baselines=[], train={"batch_size": 1})
    for step in (0, 1):
        halves = [batch(config, "second", step, rank=rank, world=2) for rank in (0, 1)]
        whole = batch(configured(tmp_path, baselines=[], train={"batch_size": 2}), "second", step)
        assert whole.keys() == halves[0].keys()
        for key in set(whole) - {"weight", "style_mix"}:
            assert np.array_equal(whole[key], np.stack([one[key] for one in halves], axis=1).reshape(whole[key].shape))
        mixes = np.stack([one["style_mix"] for one in halves], axis=2)
        assert np.array_equal(whole["style_mix"], mixes.reshape(whole["style_mix"].shape))


def test_without_labelled_target_images_the_source_alone_teaches(tmp_path):
    config = configured(tmp_path, baselines=[])
    alone = config.model_copy(update={"data": config.data.model_copy(update={"labelled": None})})
    first, second = stages(alone)
    assert first.title == "source only" and second.title == "S3D"
    assert batch(alone, "second")["labelled_image"].shape == (4, 3, 12, 12)


class Bright:
    """Stands for a network and a backend: the logits are how near an image's brightness is to that of each class."""

    seen = ()

    def logits(self, images):
        self.seen = (*self.seen, images.shape[1:])
        level = images.max(axis=(1, 2, 3)).astype(np.float32)[:, None]
        return -np.abs(level - np.array([127, 187, 247], np.float32)) / 10

    def average(self, values):
        return values

    def total(self, array):
        return array


@pytest.mark.parametrize("view", ["augmented", "plain"])
def test_a_refresh_labels_all_images_and_fixes_the_threshold_once(tmp_path, view):
    crop = {"flip": 0.5, "crop": [10, 10]}
    data = {"augment": crop}
    config = configured(tmp_path, baselines=[], method={**S3D, "pseudo_view": view}).model_copy()
    augmented = type(config.data.augment).model_validate(crop)
    config = config.model_copy(update={"data": config.data.model_copy(update=data | {"augment": augmented})})
    (_, second) = stages(config)
    context = StageContext(config, open_roles(config, checked=False), "second", Path(), {})
    network = Bright()
    first = second.refresh.find(context, network, network, Memory().arrays(), 0)
    truth = [context.data.target.label(i) for i in range(len(context.data.target))]
    accepted = first["labels"] >= 0
    assert accepted.any() and (first["labels"][accepted] == np.array(truth)[accepted]).all()
    assert first["threshold"] > 0 and first["ramp_start"] > 0
    assert network.seen[0] == (3, 10, 10)
    later = second.refresh.find(context, network, network, first, 4)
    assert later["threshold"] == first["threshold"] and later["ramp_start"] == first["ramp_start"]
    assert later["refreshed"] == 4


def test_the_last_pseudo_labels_are_written_in_the_official_format(tmp_path):
    config = configured(tmp_path, baselines=[])
    data = open_roles(config, checked=False)
    truth = [data.target.label(i) for i in range(len(data.target))]
    found = np.array([-1, truth[1], (truth[2] + 1) % len(NAMES), *truth[3:]])
    context = StageContext(config, data, "second", tmp_path / "files", {}, Memory(found).arrays())
    made = stages(config)[1].produce(context, None)
    count = len(truth)
    assert made == {
        "images": count,
        "labelled": round(100 * (count - 1) / count, 2),
        "right": round(100 * (count - 2) / (count - 1), 2),
    }
    text = (tmp_path / "files/pseudo_labels.txt").read_text()
    assert text.splitlines()[:2] == [f"{data.target.names[0]} -1", f"{data.target.names[1]} {truth[1]}"]
    assert [label for _, label in parse_class_list(text)] == [None, *found[1:].tolist()]


def test_without_labelled_target_images_the_first_stage_sees_as_many_of_the_source(tmp_path):
    def first(**sections):
        return stages(configured(tmp_path, baselines=[], **sections))[0]

    assert first().changes == {}
    assert first(data={"labelled": None}).changes == {"train": {"batch_size": 4}}


def test_ape_is_not_ended_by_the_patience_of_the_others(tmp_path):
    config = configured(tmp_path, baselines=["ape", "mme"], train={"patience": 5, "evaluate_every": 2, "batch_size": 2})
    ape = {"evaluate_every": 3, "batch_size": 4}
    config = config.model_copy(
        update={"method": config.method.model_copy(update={"ape": config.method.ape.model_copy(update=ape)})}
    )
    train = {stage.name: stage.configured(config).train for stage in stages(config)}
    given = {name: (one.patience, one.evaluate_every, one.batch_size) for name, one in train.items()}
    assert given["baselines/ape"] == (None, 3, 4) and given["baselines/mme"] == given["first"] == (5, 2, 2)


@pytest.mark.parametrize("kind", ["ent", "mme", "ape"])
def test_baselines_see_twice_as_many_unlabelled_images(tmp_path, kind):
    arrays = batch(configured(tmp_path, baselines=[kind]), f"baselines/{kind}")
    assert arrays["source_image"].shape == arrays["target_image"].shape == (2, 3, 12, 12)
    assert arrays["unlabelled_image"].shape == (4, 3, 12, 12)
    assert ("noise" in arrays) == (kind == "ape")
    if kind == "ape":
        assert arrays["noise"].shape == (6, 3, 12, 12)
        assert len({row.tobytes() for row in arrays["noise"]}) == 6


def test_dropout_has_masks_of_its_own_for_every_pass(tmp_path):
    net = {"name": "alexnet", "width": 4, "hidden": 16, "grid": 1, "activation": "relu"}
    tree = configured(tmp_path, baselines=[]).model_dump(mode="json")
    arrays = batch(Config.model_validate({**tree, "network": net}), "second")
    masks = [arrays[f"{name}_dropout"] for name in ("labelled", "unlabelled", "assistant")]
    assert all(mask.shape == (4, 32) and set(np.unique(mask)) == {0, 1} for mask in masks)
    assert not np.array_equal(masks[1], masks[2])
