"""Orders and list files of the official IAST runs, and OpenCV's resizing."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from common.config import load_config
from common.data import iast_lists
from common.data.labels import class_set
from common.data.lists import read_list, write_json_list
from common.data.opencv import resize_linear, resize_nearest
from common.data.roles import open_dataset
from common.data.sized_crop import SizedCropConfig, draw, sized_crop
from common.data.torch_order import distributed_order, permutation
from common.draws import generator
from common.errors import UserError
from scripts.preparation.iast import write_lists


@pytest.mark.parametrize("count", [1, 2, 97, 3000])
@pytest.mark.parametrize("seed", [0, 888, 2**32 + 5])
def test_permutation_is_pytorchs(count: int, seed: int) -> None:
    """Against the framework itself, where it is installed."""
    torch = pytest.importorskip("torch", reason="compares with PyTorch's own generator")
    want = torch.randperm(count, generator=torch.Generator().manual_seed(seed & 0xFFFFFFFF)).numpy()
    assert np.array_equal(permutation(count, seed), want)


def test_ranks_share_the_order() -> None:
    """Every rank has as many; together they visit everything, the beginning twice where it does not divide."""
    parts = [distributed_order(10, rank, 4) for rank in range(4)]
    assert [len(part) for part in parts] == [3, 3, 3, 3]
    whole = np.stack(parts, axis=1).ravel()
    assert np.array_equal(whole[:10], permutation(10)) and np.array_equal(whole[10:], permutation(10)[:2])


def test_official_lists_are_whole() -> None:
    """No number twice; names as in the dataset folders."""
    assert len(set(iast_lists.gta5_order().tolist())) == 24941 and len(set(iast_lists.synthia_order().tolist())) == 9400
    assert iast_lists.gta5_entries()[0] == ("images/18477.png", "labels/18477.png")
    assert iast_lists.synthia_entries()[0] == ("RGB/0007090.png", "GT/LABELS/0007090.png")


@pytest.mark.parametrize("name", ["gta5", "synthia"])
def test_the_official_configurations_take_the_official_order(tmp_path: Path, name: str) -> None:
    """And do not start without its list: the sorted folders would be another order."""
    config = load_config(f"iast/{name}_to_cityscapes_v100_official")
    assert config.method.fixed_order and config.data.target.list is None
    section = config.data.source.model_copy(update={"root": tmp_path})
    with pytest.raises(UserError, match=r"^data/lists/\w+_train\.json: .*_data\.py iast-lists --out data/lists$"):
        open_dataset(section, class_set(config.classes))
    write_lists(Namespace(out=tmp_path))
    found = open_dataset(section.model_copy(update={"list": section.list.name}), class_set(config.classes))
    files = [(item.image, item.label) for item in found.items]
    assert files == [(tmp_path / image, tmp_path / label) for image, label in iast_lists.LISTS[section.list.name]()]


def test_json_lists_are_read_back(tmp_path: Path) -> None:
    """What is written in IAST's form is read as any list is; what is no list is one line."""
    entries = iast_lists.gta5_entries()[:3]
    assert write_json_list(tmp_path / "a.json", entries) == 3
    assert read_list(tmp_path / "a.json") == entries
    for text in ("[]", "{}", "[1]", '[{"image_name": 3}]', '[{"image_name": "../x.png", "mask_name": "y.png"}]', "["):
        (tmp_path / "b.json").write_text(text)
        with pytest.raises(UserError, match=r"b\.json"):
            read_list(tmp_path / "b.json")


def test_a_crop_that_does_not_fit_is_one_line() -> None:
    """As Albumentations, which refuses it too."""
    config = SizedCropConfig(size=(8, 4), heights=(20, 20))
    image, label = np.zeros((16, 64, 3), np.uint8), np.zeros((16, 64), np.uint8)
    with pytest.raises(UserError, match="a crop of 40x20 does not fit an image of 64x16"):
        sized_crop(image, label, config, draw(config, generator(0, "x")))


def test_draws_keep_their_probabilities_and_ranges() -> None:
    """Over many positions: flips, brightness and contrast, heights with both ends."""
    config = SizedCropConfig(size=(8, 4), heights=(5, 8))
    drawn = [draw(config, generator(0, "crop", position)) for position in range(4000)]
    assert abs(np.mean([one.gates[1] < config.flip for one in drawn]) - 0.5) < 0.03
    assert abs(np.mean([one.gates[2] < config.brighten for one in drawn]) - 0.3) < 0.03
    assert {one.height for one in drawn} == {5, 6, 7, 8}
    changes = np.array([(one.contrast, one.brightness) for one in drawn])
    assert np.abs(changes).max() < 0.2 and changes.min() < -0.19 and changes.max() > 0.19


def test_augmented_pairs_belong_together() -> None:
    """Image and label go through the same flip and the same crop."""
    label = np.arange(64, dtype=np.uint8)[None].repeat(32, 0)
    config = SizedCropConfig(size=(16, 8), heights=(8, 8), brighten=0.0)
    for position in range(8):
        image, found = sized_crop(np.stack([label] * 3, -1), label, config, draw(config, generator(1, position)))
        assert image.shape == (8, 16, 3) and np.array_equal(image[..., 0], found)


def test_equal_sizes_are_copies() -> None:
    """Nothing is resampled when the crop has the final size."""
    image = generator(0, "image").integers(0, 256, (6, 9, 3), dtype=np.uint8)
    same = resize_linear(image, (9, 6))
    assert np.array_equal(same, image) and same is not image
    assert np.array_equal(resize_nearest(image[..., 0], (18, 12))[::2, ::2], image[..., 0])
