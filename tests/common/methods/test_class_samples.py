"""Batches of classification: pure functions of the step, whatever the rank, in shuffled epochs."""

from pathlib import Path

import numpy as np
import pytest

from common.config import Config
from common.data.roles import open_roles
from common.errors import UserError
from common.methods import stages
from common.methods.class_samples import dropout, stack_equal, unlabelled_images
from common.methods.samples import Draws
from common.networks import FAMILIES
from common.stage import StageContext
from tests.common.data.trees import picture, save

NAMES = ("a", "b", "c")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two domains, four images of each class."""
    for domain in ("real", "sketch"):
        for number, name in enumerate(NAMES):
            for i in range(4):
                save(
                    tmp_path / domain / name / f"{i}.png", picture(100 * (domain == "real") + 10 * number + i, (12, 12))
                )
    return tmp_path


def configured(root: Path, method: dict, **sections) -> Config:
    """Return a configuration with one labelled target image a class."""
    data = {
        "source": {"layout": "class_folders", "root": root / "real"},
        "target": {"layout": "class_folders", "root": root / "sketch"},
        "val": {"layout": "class_folders", "root": root / "sketch"},
        "labelled": {"shots": 1},
        **sections.pop("data", {}),
    }
    tree = {"name": "t", "task": "classification", "data": data, "classes": {"names": NAMES}, "method": method}
    network = {"name": "resnet", "depth": 10, "stem": "small", "width": 4}
    return Config.model_validate({**tree, "network": network, "train": {"steps": 5, "batch_size": 4}, **sections})


def context(config: Config, stage: str, **ranks) -> StageContext:
    """Return the context of a stage."""
    return StageContext(config, open_roles(config, checked=False), stage, Path("nowhere"), {}, **ranks)


def build(config: Config, **ranks):
    """Return the stage of a supervised method, and its batches."""
    (stage,) = stages(config)[-1:]
    return stage, stage.batches(context(config, stage.name, **ranks))


def test_domains_of_a_batch(root: Path) -> None:
    """The keys tell the objective what to train on; the title is that of the task."""
    keys = {"source_only": ["source"], "target_only": ["target"], "joint": ["source", "target"]}
    titles = {"source_only": "source only", "target_only": "target only", "joint": "S+T"}
    for domains, wanted in keys.items():
        stage, batch = build(configured(root, {"name": "supervised", "domains": domains}))
        assert list(batch(0)) == [f"{one}_{kind}" for one in wanted for kind in ("image", "label")]
        assert (stage.title, stage.objective) == (titles[domains], "supervised_classes")
        assert batch(0)[f"{wanted[0]}_image"].shape == (4, 3, 12, 12) and batch(0)[f"{wanted[0]}_label"].shape == (4,)


def test_an_epoch_sees_every_image_once(root: Path) -> None:
    """Three steps of four source images are one epoch; images and labels belong together."""
    _, batch = build(configured(root, {"name": "supervised"}))
    steps = [batch(step) for step in range(3)]
    images = np.concatenate([step["source_image"] for step in steps]).transpose(0, 2, 3, 1)
    labels = np.concatenate([step["source_label"] for step in steps])
    want = {picture(100 + 10 * k + i, (12, 12)).tobytes(): k for k in range(3) for i in range(4)}
    assert sorted(image.tobytes() for image in images) == sorted(want)
    assert all(want[image.tobytes()] == label for image, label in zip(images, labels))


def test_labelled_images_are_the_shots(root: Path) -> None:
    """And never the others, which are the unlabelled ones."""
    config = configured(root, {"name": "supervised", "domains": "joint"}, baselines=["target_only"])
    assert [stage.name for stage in stages(config)] == ["baselines/target_only", "supervised"]
    _, batch = build(config)
    seen = {image.tobytes() for step in range(6) for image in batch(step)["target_image"]}
    rest = unlabelled_images(context(config, "s"), Draws(1, "s"))
    assert len(seen) == 3 and len(rest.dataset) == 9
    others = {rest.image(position).transpose(2, 0, 1).tobytes() for position in range(9)}
    assert len(others) == 9 and not seen & others


def test_ranks_see_together_what_one_sees(root: Path) -> None:
    """Two ranks with half the batch, augmented."""
    method = {"name": "supervised", "domains": "joint"}
    augmented = {"augment": {"flip": 0.5, "crop": [10, 10]}}
    whole = build(configured(root, method, data=augmented))[1](1)
    half = configured(root, method, data=augmented, train={"steps": 5, "batch_size": 2})
    parts = [build(half, rank=rank, world=2)[1](1) for rank in range(2)]
    for key, array in whole.items():
        assert np.array_equal(array, np.concatenate([part[key] for part in parts])), key
    assert whole["source_image"].shape[2:] == (10, 10)


def test_dropout_is_drawn_by_position(root: Path) -> None:
    """One row an image, as many kept as the rate says; none where the network drops nothing."""
    network, draws = FAMILIES["alexnet"](width=4, hidden=300, grid=1, dropout=0.25), Draws(1, "s")
    kept = dropout(network, draws, "source", range(4))
    assert kept.shape == (4, network.dropout_units()) and kept.dtype == np.uint8
    assert abs(kept.mean() - 0.75) < 0.05 and np.array_equal(kept[2:], dropout(network, draws, "source", range(2, 4)))
    assert not np.array_equal(kept, dropout(network, draws, "target", range(4)))
    assert dropout(FAMILIES["resnet"](), draws, "source", range(4)) is None
    options = {"name": "alexnet", "width": 4, "hidden": 8, "grid": 1}
    batch = build(configured(root, {"name": "supervised", "domains": "joint"}, network=options))[1](0)
    assert batch["dropout"].shape == (8, FAMILIES["alexnet"](**options).dropout_units())


def test_what_is_missing_or_does_not_fit(root: Path) -> None:
    """One line each."""
    config = configured(root, {"name": "supervised", "domains": "joint"}, data={"labelled": None})
    with pytest.raises(UserError, match=r"data\.labelled is missing: 'all', shots of data\.target"):
        build(config)
    with pytest.raises(UserError, match=r"images of 12x12 and 8x8 cannot share a batch; set size"):
        stack_equal([picture(0, (12, 12)), picture(0, (8, 8))])
    source = {"layout": "class_folders", "root": root / "real", "size": (8, 10)}
    config = configured(root, {"name": "supervised", "domains": "joint"}, data={"source": source})
    with pytest.raises(UserError, match=r"pass: source 8x10, target 12x12; set size of data\.source, target"):
        build(config)[1](0)
