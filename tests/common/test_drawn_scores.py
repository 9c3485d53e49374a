"""Which images count in a score, as all images or as released code draws them."""

from pathlib import Path

import numpy as np
import pytest

from common.config import load_config
from common.data.roles import open_roles
from common.drawn_scores import scored_images
from common.errors import UserError
from common.evaluate import evaluate
from tests.e2e.classes import NAMES, write_config, write_data


def opened(root: Path, protocol: str):
    """Return a configuration with 12 images for validation and test, batches of 5 and 8, and its datasets."""
    sections = {"train": {"batch_size": 5}, "evaluate": {"batch_size": 8, "protocol": protocol}, "baselines": []}
    path = write_config(root / "own.yaml", write_data(root / "data"), **sections)
    views = ["data.augment.pad=0", "data.augment.crop=[8, 8]", "data.val.crop=[8, 8]", "data.test.crop=[8, 8]"]
    config = load_config(path, [*views, "data.val.every=1", "data.test.every=1", "data.test.offset=0"])
    return config, open_roles(config, checked=False)


def test_all_images_count_as_they_are(tmp_path):
    config, data = opened(tmp_path, "all")
    dataset, which = scored_images(config, data, "val", "first", 3)
    assert dataset is data.val and list(which) == list(range(12))


def test_released_code_drops_the_last_batch_and_augments_the_validation_images(tmp_path):
    config, data = opened(tmp_path, "ssda")
    seen = {}
    for role, kept in (("val", 10), ("test", 8)):
        draws = [scored_images(config, data, role, "first", step) for step in (1, 2, 2)]
        (seen[role], first), (_, second), (again, third) = draws
        assert all(len(set(one)) == kept and max(one) < 12 for one in (first, second))
        assert first != second and second == third
        assert [again.label(i) for i in range(12)] == [getattr(data, role).label(i) for i in range(12)]
    assert seen["test"] is data.test
    views = [scored_images(config, data, "val", "first", step)[0] for step in (1, 2, 1)]
    pictures = [np.stack([view.image(i) for i in range(12)]) for view in views]
    assert pictures[0].shape == (12, 8, 8, 3)
    assert not np.array_equal(pictures[0], pictures[1]) and np.array_equal(pictures[0], pictures[2])
    middle = np.stack([data.val.image(i) for i in range(12)])
    assert not np.array_equal(pictures[0], middle)


def test_a_score_counts_the_chosen_images_alone(tmp_path):
    config, data = opened(tmp_path, "ssda")
    dataset, which = scored_images(config, data, "test", "first", 0)

    def first_class(images, size):
        return np.zeros((len(images), 1), np.int64)

    result = evaluate(first_class, dataset, data.classes, batch_size=3, indices=which)
    truths = np.bincount([data.test.label(i) for i in which], minlength=len(NAMES))
    assert result.matrix[:, 0].tolist() == truths.tolist() and result.matrix.sum() == 8


def test_fewer_images_than_a_batch_all_count(tmp_path):
    config, data = opened(tmp_path, "ssda")
    wide = config.model_copy(update={"evaluate": config.evaluate.model_copy(update={"batch_size": 48})})
    assert list(scored_images(wide, data, "test", "first", 0)[1]) == list(range(12))


def test_segmentation_has_one_protocol():
    with pytest.raises(UserError, match="protocol: ssda is for classification"):
        load_config("ddm/toy", ["evaluate.protocol=ssda"])
