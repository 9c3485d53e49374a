"""AuG-KD's stages, options and batches."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from common.config import Config, load_config
from common.config_files import CONFIGS
from common.data.roles import open_roles
from common.errors import UserError
from common.keeper import improves, order_of
from common.methods import stages
from common.methods.augkd_batches import picture_anchor
from common.methods.augkd_rules import curriculum, mixup_ratio
from common.schedules import learning_rate
from common.schema import OptimConfig
from common.stage import StageContext
from tests.common.data.trees import picture, save

NAMES, SIDE, LATENT = ("a", "b"), 8, 5
SMALL = {"name": "resnet", "depth": 10, "width": 4, "stem": "small"}
STUDENT = {"name": "mobilenet_v3", "size": "small", "width": 0.25}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two domains, six images of each class."""
    for domain in ("real", "sketch"):
        for number, name in enumerate(NAMES):
            for i in range(6):
                pixels = picture(100 * (domain == "real") + 10 * number + i, (SIDE, SIDE))
                save(tmp_path / domain / name / f"{i}.png", pixels)
    return tmp_path


def configured(root: Path, method: dict | None = None, **sections) -> Config:
    """Return a small configuration."""
    dataset = {"layout": "class_folders", "size": (SIDE, SIDE)}
    real, sketch = ({**dataset, "root": root / domain} for domain in ("real", "sketch"))
    data = {"source": real, "labelled": sketch, "val": sketch, **sections.pop("data", {})}
    small = {"name": "augkd", "latent_size": LATENT, "image_size": SIDE, "teacher": {"network": SMALL, "steps": 3}}
    tree = {"name": "t", "task": "classification", "data": data, "classes": {"names": NAMES}, "network": STUDENT}
    tree |= {"optim": {"name": "adam", "lr": 1e-3}, "train": {"steps": 10, "batch_size": 4}, **sections}
    return Config.model_validate({**tree, "method": {**small, **(method or {})}})


def batch(config: Config, name: str, step: int = 0, **ranks) -> dict[str, np.ndarray]:
    """Return the batch of a step of a stage."""
    (stage,) = (one for one in stages(config) if one.name == name)
    roles = open_roles(config, checked=False)
    return stage.batches(StageContext(stage.configured(config), roles, name, Path("nowhere"), {}, **ranks))(step)


def test_modules_build_on_each_other(root: Path) -> None:
    """Each stage takes the best weights of the ones before; the teacher's only where its domain can choose them."""
    plan = {stage.name: stage for stage in stages(configured(root, {"rows": ["no_kd", "kd", "no_anchor"]}))}
    assert list(plan) == ["teacher", "datafree", "anchor", "rows/no_kd", "rows/kd", "rows/no_anchor", "mixup"]
    assert plan["datafree"].frozen == {"teacher": "teacher@last"}
    assert plan["mixup"].start == "datafree@best"
    assert plan["mixup"].frozen["generator"] == "datafree@best:generator"
    assert plan["mixup"].frozen["anchor"] == "anchor@best"
    assert "anchor" not in plan["rows/no_anchor"].frozen
    assert (plan["rows/no_kd"].start, plan["rows/kd"].start) == (None, "datafree@best")
    chosen = {"layout": "class_folders", "root": root / "real", "size": (SIDE, SIDE)}
    plan = {stage.name: stage for stage in stages(configured(root, data={"source_val": chosen}))}
    assert plan["anchor"].frozen["teacher"] == "teacher@best"
    assert plan["teacher"].scored_on == "source_val"


def test_each_stage_has_its_own_network_and_rates(root: Path) -> None:
    config = configured(root, {"datafree": {"epochs": 4, "iterations": 5, "lr": 0.01}, "anchor": {"lr": 0.02}})
    plan = {stage.name: stage.configured(config) for stage in stages(config)}
    assert plan["teacher"].network.name == "resnet"
    assert plan["datafree"].network.name == "mobilenet_v3"
    rates = [learning_rate(plan["datafree"].optim, step, 20) for step in (0, 4, 5, 19)]
    assert rates[0] == rates[1] == 0.01
    assert 0 < rates[3] < rates[2] < 0.01
    assert plan["anchor"].optim.weight_decay == 0
    assert learning_rate(plan["mixup"].optim, 4, 10) == pytest.approx(1e-3 / 3)
    assert learning_rate(plan["mixup"].optim, 5, 10) == 1e-3


def test_official_sets_every_quirk_and_yields_to_what_is_said(root: Path) -> None:
    paper, official = (configured(root, {"compat": name}).method for name in ("paper", "official"))
    assert (paper.mixup.target, official.mixup.target) == ("teacher", "student")
    assert (paper.mixup.normalize_real, official.mixup.normalize_real) == (True, False)
    assert (paper.anchor.sched_unit, official.anchor.sched_unit) == ("epoch", "iteration")
    assert (paper.anchor.val_normalize_encoder_input, official.anchor.val_normalize_encoder_input) == (False, True)
    assert (paper.datafree.scored_on, official.datafree.scored_on) == ("val", "test")
    assert official.teacher.ignore_weight_decay
    assert not paper.teacher.ignore_weight_decay
    own = configured(root, {"compat": "official", "mixup": {"target": "teacher"}}).method
    assert (own.mixup.target, own.mixup.normalize_real) == ("teacher", False)


@pytest.mark.parametrize(
    ("method", "data", "message"),
    [
        ({}, {"labelled": None}, "needs data.labelled"),
        ({}, {"source": None}, "needs data.source"),
        ({"teacher": {"network": SMALL, "steps": 0}}, {}, "teacher.network.weights"),
        ({"image_size": 12}, {}, r"needs size, or crop, \[12, 12\]"),
    ],
)
def test_what_is_missing_is_said(root: Path, method: dict, data: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        stages(configured(root, method, data=data))


def test_batches_are_pure_and_have_their_shapes(root: Path) -> None:
    config = configured(root, {"datafree": {"inner": 2, "batch_size": 6}, "mixup": {"target": "student"}})
    units = config.network.dropout_units()
    free = batch(config, "datafree", 3)
    assert {key: value.shape for key, value in free.items()} == {
        "latent": (3, 6, LATENT), "noise": (2, 6, LATENT), "dropout": (3, 6, units),
    }  # fmt: skip
    again = batch(config, "datafree", 3)
    assert all(np.array_equal(value, again[key]) for key, value in free.items())
    assert not np.array_equal(free["latent"], batch(config, "datafree", 4)["latent"])
    mixed = batch(config, "mixup", 2)
    assert mixed["image"].shape == (4, 3, SIDE, SIDE)
    assert mixed["noise"].shape == (4, LATENT)
    assert mixed["dropout"].shape == mixed["target_dropout"].shape == (8, units)
    assert not np.array_equal(mixed["dropout"], mixed["target_dropout"])


def test_two_ranks_see_what_one_with_twice_the_batch_sees(root: Path) -> None:
    twice = configured(root, train={"steps": 10, "batch_size": 4})
    half = configured(root, train={"steps": 10, "batch_size": 2})
    for name in ("datafree", "anchor", "mixup"):
        whole = batch(twice, name, 1)
        parts = [batch(half, name, 1, rank=rank, world=2) for rank in range(2)]
        axis = 1 if name == "datafree" else 0
        for key in ("latent",) if name == "datafree" else ("image", "label", "noise"):
            assert np.array_equal(whole[key], np.concatenate([part[key] for part in parts], axis)), f"{name} {key}"


def test_the_ratio_grows_in_epochs_to_one(root: Path) -> None:
    config = configured(root, {"mixup": {"epochs": 5, "a": 0.5, "b": 0.2}})
    found = [float(batch(config, "mixup", step)["ratio"]) for step in range(10)]
    assert found == pytest.approx([0.2, 0.2, 0.52, 0.52, 0.84, 0.84, 1.0, 1.0, 1.0, 1.0])
    assert float(batch(configured(root, {"rows": ["no_mixup"]}), "rows/no_mixup", 9)["ratio"]) == 0.0
    assert mixup_ratio("step", 3, 10, 1.0, 0.0) == pytest.approx(0.3)


def test_a_search_trains_a_student_for_every_pair_and_keeps_the_test_images_out(root: Path) -> None:
    config = configured(root, {"search": {"a": [0.4, 1.0], "b": [0.0, 0.5]}, "mixup": {"epochs": 5, "b": 0.2}})
    points = {stage.name: stage for stage in stages(config) if stage.name.startswith("search/")}
    assert list(points) == ["search/a0.4-b0", "search/a0.4-b0.5", "search/a1-b0", "search/a1-b0.5"]
    assert not any(stage.tested for stage in points.values())
    assert len({str(stage.settings) for stage in points.values()}) == 4
    assert float(batch(config, "search/a1-b0.5")["ratio"]) == 0.5
    assert float(batch(config, "search/a0.4-b0", 4)["ratio"]) == 1.0
    assert float(batch(config, "mixup")["ratio"]) == pytest.approx(0.2)


def test_masks_are_shown_class_by_class() -> None:
    class Shown:
        def masks(self, classes: int) -> np.ndarray:
            return np.linspace(0, 1 / 3, classes * LATENT).reshape(classes, LATENT)

    classes = SimpleNamespace(set="custom", names=NAMES, colours=None)
    page = picture_anchor(SimpleNamespace(config=SimpleNamespace(classes=classes)), Shown())
    assert page.shape == (4 * len(NAMES), 4 * LATENT, 3)
    assert page[0, 0].tolist() == [0, 0, 0]
    assert page[-1, -1].tolist() == [255, 255, 255]


def test_a_curriculum_begins_with_what_is_certain() -> None:
    assert curriculum(np.array([3.0, 1.0, 2.0, 0.0]), 0.5).tolist() == [1, 3]
    assert curriculum(np.array([3.0, 1.0]), 0.0).size == 0


def test_losses_decide_before_accuracies() -> None:
    better = order_of({"value": 10.0, "summary": {}, "judged": {"generator": 1.0, "encoder": 9.0}})
    worse = order_of({"value": 90.0, "summary": {}, "judged": {"generator": 2.0, "encoder": 1.0}})
    assert improves(better, worse)
    assert not improves(worse, better)
    assert not improves(better, better)
    assert improves(
        order_of({"value": 5.0, "summary": {"top-3": 8.0}}), order_of({"value": 5.0, "summary": {"top-3": 7.0}})
    )


@pytest.mark.parametrize("schedule", ["cosine_wave", "constant_after_third"])
def test_schedules_of_the_released_code(schedule: str) -> None:
    optim = OptimConfig(lr=1.0, schedule=schedule, horizon=4, epoch=2)
    rates = [learning_rate(optim, step, 100) for step in range(17)]
    if schedule == "cosine_wave":
        assert rates[:2] == [1.0, 1.0]
        assert rates[8] == pytest.approx(0.0, abs=1e-12)
        assert rates[16] == pytest.approx(1.0)
    else:
        assert rates == pytest.approx([1 / 3] * 5 + [1.0] * 12)


@pytest.mark.parametrize("path", sorted((CONFIGS / "augkd").glob("[a-z]*.yaml")), ids=lambda path: path.stem)
def test_every_configuration_gives_a_plan(path: Path) -> None:
    config = load_config(path)
    plan = stages(config)
    assert config.name == f"augkd/{path.stem}"
    assert [stage.name for stage in plan][:3] == ["teacher", "datafree", "anchor"]
    assert plan[-1].name == "mixup"  # what the method is judged by
    assert {stage.configured(config).train.evaluate_every for stage in plan} != {None}
