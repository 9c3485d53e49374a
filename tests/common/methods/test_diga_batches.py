"""DiGA's batches and passes over data, without a framework."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from common.config import load_config
from common.data.crops import accepted_crop, flip_and_crop
from common.data.transforms import normalise
from common.errors import UserError
from common.methods.diga import write_first_centroids
from common.methods.diga_batches import Batches, selftraining_batches
from common.pseudo.centroids import read_centroids, stream_centroids, write_centroids
from common.pseudo.folder import write_pseudo_label
from common.stage import StageContext


class Numbers:
    """Stands for a dataset of which only the length counts."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def resized(self, size):
        return self


@pytest.mark.parametrize(("order", "evenly"), [("epochs", True), ("long", False)])
def test_images_come_in_epochs_or_in_one_long_permutation(order, evenly):
    config = load_config("diga/gta5_to_cityscapes", [f"method.order={order}", "method.warmup.steps=100"])
    data = SimpleNamespace(source=Numbers(30), target=Numbers(40), labelled=())
    ranks = [StageContext(config, data, "warmup", Path(), {}, rank=rank, world=2) for rank in range(2)]
    low, full = zip(*(Batches(context, "warmup").source("crop") for context in ranks))
    assert [view.total for view in (*low, *full)] == ([None] * 4 if evenly else [200, 200, 400, 400])
    for views, count in ((low, 1), (full, 2)):
        takes = [[v._index(p) for p in c.positions(s, count)] for s in range(100) for v, c in zip(views, ranks)]
        seen = [index for take in takes for index in take]
        assert (len(set(seen[:30])) == 30) == evenly
        assert max(map(seen.count, range(30))) <= -(-len(seen) // 30)  # the list is repeated so often


class Pictures(Numbers):
    """Images and labels of noise, 40x30."""

    names = tuple(f"{place}.png" for place in range(6))

    def image(self, place):
        return np.random.default_rng(place).integers(0, 256, (30, 40, 3)).astype(np.uint8)

    def label(self, place):
        return self.image(place)[..., 0] % 19


def first_of_selftraining(tmp_path: Path, *sets: str) -> dict:
    """Return the first batch of self-training on images of noise."""
    sizes = [f"method.{role}_{kind}=null" for role in ("source", "target") for kind in ("low", "full")]
    pictures = Pictures(6)
    for place, name in enumerate(pictures.names):
        write_pseudo_label(tmp_path, name, pictures.label(place))
    write_centroids(tmp_path, {"centroids": np.zeros((19, 4), np.float32), "counts": np.zeros(19, np.float32)})
    data = SimpleNamespace(source=pictures, target=pictures, labelled=())
    config = load_config("diga/toy", [*sizes, "method.crop=[32,24]", *sets])
    context = StageContext(config, data, "train", tmp_path, {"p": tmp_path, "c": tmp_path})
    return selftraining_batches(context, translated=True, pseudo="p", centroids="c")(0)


@pytest.mark.parametrize("shown", [False, True])
def test_self_training_may_show_the_student_the_bare_target(shown, tmp_path):
    batch = first_of_selftraining(tmp_path, f"method.self_training.target_bn_pass={str(shown).lower()}")
    assert ("target_seen" in batch) == shown
    if shown:
        assert np.array_equal(batch["target_seen"], batch["target_image"])


def test_colours_of_either_phase_may_be_changed_in_unit_range(tmp_path):
    still = "{jitter: 0, gray: 0, blur: 0, sharpness: 0, range: unit}"
    batch = first_of_selftraining(tmp_path, f"method.self_training.strong={still}")
    config = load_config("diga/toy", [f"method.warmup.strong={still}"])
    assert (config.method.warmup.strong.range, config.method.self_training.strong.range) == ("unit", "centred")
    for domain in ("source", "target"):
        want = [normalise(one.transpose(1, 2, 0), config.input) for one in batch[f"{domain}_image"]]
        np.testing.assert_allclose(batch[f"{domain}_strong"], want, atol=1e-5)


@pytest.mark.parametrize(("mode", "dropping"), [("train", {"teacher", "target"}), ("eval", set())])
def test_an_evaluated_teacher_drops_nothing(mode, dropping, tmp_path):
    batch = first_of_selftraining(tmp_path, f"method.teacher_mode={mode}")
    noise = {name.removesuffix("_noise") for name in batch if name.endswith("_noise")}
    assert noise == {"student", "mixed", *dropping}


class Seen:
    """Stands for a predictor: keeps the images whose class means it is asked for."""

    def __init__(self):
        self.images = []

    def class_means(self, images):
        self.images.append(images[0].transpose(1, 2, 0))
        return np.ones((1, 19, 4), np.float32), np.ones((1, 19), bool)


class Ramps(Numbers):
    """Images of 48x36, or resized, whose first channels number columns and rows."""

    def resized(self, size):
        found = Ramps(self.count)
        found.size = size
        return found

    size = (48, 36)

    def image(self, place):
        rows, columns = np.indices(self.size[::-1])
        return np.stack([columns, rows, np.full_like(rows, place)], axis=2).astype(np.uint8)


def test_first_centroids_of_few_labels_see_whole_images_and_crops_either_flipped_at_random(tmp_path):
    sets = ["method.target_low=[24,16]", "method.target_full=null", "method.centroids.passes=3"]
    config, seen = load_config("diga/toy_semi", sets), Seen()
    data = SimpleNamespace(target=Ramps(40), classes=SimpleNamespace(names=[f"class {k}" for k in range(19)]))
    context = StageContext(config, data, "centroids", tmp_path, {})
    write_first_centroids(context, seen)
    assert {one.shape for one in seen.images} == {(16, 24, 3)}
    assert [one[0, 0, 2] for one in seen.images] == [place for _ in range(3) for place in range(40) for _ in range(2)]
    whole, crops = seen.images[::2], seen.images[1::2]
    flipped = [[int(one[0, 0, 0]) > int(one[0, -1, 0]) for one in some] for some in (whole, crops)]
    assert all(40 < sum(some) < 80 for some in flipped)  # half of 120
    assert 40 < sum(a != b for a, b in zip(*flipped)) < 80  # draws of their own
    assert {(int(one[0, 0, 0]), int(one[0, -1, 0])) for one in whole} == {(0, 23), (23, 0)}
    starts = [(int(one[0, :, 0].min()), int(one[0, 0, 1])) for one in crops]
    assert all(len(set(some)) > 10 for some in zip(*starts)) and max(starts)[0] <= 24


def test_a_crop_is_cut_or_stretched_and_labels_go_along():
    rng = np.random.default_rng(0)
    image, label = np.zeros((40, 60, 3), np.uint8), np.arange(40 * 60).reshape(40, 60).astype(np.uint8)
    cut = flip_and_crop([image, label], "crop", (30, 20), rng)
    assert cut[0].shape == (20, 30, 3) and cut[1].shape == (20, 30)
    stretched = flip_and_crop([image, label], "resized", (80, 48), rng)
    assert stretched[0].shape == (48, 80, 3) and stretched[1].shape == (48, 80)
    bare = accepted_crop(image, np.zeros((40, 60), np.uint8), "crop", (30, 20), rng)  # no crop shows three classes
    assert bare[1].shape == (20, 30)


def test_centroids_are_the_means_of_what_counts(tmp_path):
    rng = np.random.default_rng(1)
    means, valid = rng.standard_normal((7, 3, 4)).astype(np.float32), rng.random((7, 3)) > 0.4
    valid[:, 2], valid[3, 0], means[3, 0] = False, True, 0.0  # nothing of class 2; a vector of zeros
    memory = stream_centroids((means[i : i + 2], valid[i : i + 2]) for i in range(0, 7, 2))
    valid[3, 0] = False
    for number in range(2):
        np.testing.assert_allclose(memory["centroids"][number], means[valid[:, number], number].mean(axis=0), rtol=1e-5)
    assert memory["counts"].tolist() == valid.sum(axis=0).tolist()
    assert not memory["centroids"][2].any()
    write_centroids(tmp_path, memory)
    assert all(np.array_equal(value, memory[name]) for name, value in read_centroids(tmp_path).items())
    with pytest.raises(UserError, match="no image to take centroids from"):
        stream_centroids([])
