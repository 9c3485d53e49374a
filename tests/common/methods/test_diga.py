"""DiGA's stages, batches and passes over data, without a framework."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from common.config import load_config
from common.data.crops import accepted_crop, flip_and_crop
from common.errors import UserError
from common.methods import stages
from common.methods.diga_batches import Batches, selftraining_batches
from common.methods.diga_settings import DiGASettings
from common.pseudo.centroids import read_centroids, stream_centroids, write_centroids
from common.pseudo.folder import write_pseudo_label
from common.repeats import repeats_of
from common.stage import StageContext

CONFIGS = (
    "toy", "toy_dg", "toy_semi",
    *(f"{pair}_to_cityscapes{form}" for pair in ("gta5", "synthia") for form in ("", "_official")),
    *(f"gta5_dg{form}" for form in ("", "_official", "_bdd", "_mapillary")),
    *(f"cityscapes_semi_{part}{form}" for part in (2, 4, 8, 16) for form in ("", "_official")),
)  # fmt: skip


def names(name: str, *sets: str) -> list[str]:
    """Return the stages of a configuration, without its baselines."""
    return [one.name for one in stages(load_config(f"diga/{name}", sets)) if not one.name.startswith("baselines/")]


@pytest.mark.parametrize("name", CONFIGS)
def test_every_configuration_is_read_and_has_stages(name):
    assert "warmup" in names(name)


def test_settings_decide_the_stages():
    assert names("gta5_dg") == ["warmup"]
    one = ["round1/pseudo", "centroids", "round1/selftrain"]
    assert names("gta5_to_cityscapes") == ["translator", "warmup", *one, "round2/pseudo", "round2/selftrain"]
    assert names("cityscapes_semi_8", "method.rounds=1") == ["warmup", *one]
    assert names("gta5_to_cityscapes", "method.translator.weights=[t.pth]", "method.rounds=0") == ["warmup"]
    again = names("cityscapes_semi_2", "method.centroids.recompute=true")
    assert again[-3:] == ["round2/pseudo", "round2/centroids", "round2/selftrain"]


def test_a_phase_may_have_a_rate_and_batchnorm_of_its_own():
    sets = ["method.self_training.lr=5e-4", "method.self_training.freeze_bn_stats=true", "method.warmup.schedule=ramp"]
    config = load_config("diga/toy", sets)
    found = {one.name: one.configured(config) for one in stages(config)}
    warmup, selftrain = found["warmup"], found["round1/selftrain"]
    assert (warmup.optim.lr, warmup.optim.schedule, warmup.network) == (config.optim.lr, "ramp", config.network)
    assert (selftrain.optim.lr, selftrain.optim.schedule) == (5e-4, config.optim.schedule)
    assert selftrain.network.freeze_bn_stats and not config.network.freeze_bn_stats


@pytest.mark.parametrize(
    ("name", "times"),
    [
        ("layer0.0.weight", 2),  # deeplabv2_se
        ("conv1.weight", 2),  # deeplabv2
        ("layer1.0.downsample.0.weight", 4),
        ("layer4.0.downsample.0.weight", 4),
        ("layer1.0.conv1.weight", 3),
        ("layer3.22.conv2.weight", 3),
        ("layer4.2.conv3.weight", 3),
        ("final.conv2d_list.0.0.weight", 1),
        ("final.bottleneck.0.se.0.weight", 1),
        ("layer5.conv2d_list.0.weight", 1),
        ("layer6.conv2d_list.3.bias", 1),
        ("context.conv1.weight", 1),
        ("hrnet.conv1.weight", 1),
        ("hrnet.stage1.0.downsample.0.weight", 1),
        ("patch_embed1.proj.weight", 1),
    ],
)
def test_the_official_optimizer_repeats_backbones_and_no_head(name, times):
    assert repeats_of([name], load_config("diga/gta5_to_cityscapes").optim.repeats) == [times]
    assert repeats_of([name], load_config("diga/cityscapes_semi_8").optim.repeats) == [1]


def test_self_training_keeps_its_own_defaults_beside_what_is_given():
    whole, warmup = DiGASettings().self_training, DiGASettings().warmup
    for one, wanted in ((whole, ((2, 1), 0.25, 0.3, "resized")), (warmup, ((1, 2), 0.5, 0.4, "crop"))):
        assert (one.batch_size, one.lambda_distil, one.strong.beta, one.target_crop) == wanted
    some = DiGASettings.model_validate({"self_training": {"steps": 7, "strong": {"jitter": 0.1}}}).self_training
    wanted = {"steps": 7, "strong": whole.strong.model_copy(update={"jitter": 0.1})}
    assert some == whole.model_copy(update=wanted)


def test_generalisation_sees_no_target_unless_asked():
    config = load_config("diga/gta5_dg")
    assert config.data.target is None
    assert not config.method.sees_target
    assert load_config("diga/gta5_dg_official").method.sees_target


OFFICIAL = (
    "gta5_to_cityscapes", "synthia_to_cityscapes", "gta5_dg", *(f"cityscapes_semi_{part}" for part in (2, 4, 8, 16)),
)  # fmt: skip


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_official_preset_switches_its_quirks_on_and_nothing_else(name):
    plain, official = load_config(f"diga/{name}"), load_config(f"diga/{name}_official")
    quirks = {"train": {"evaluate_offset": 1, "hand_on": "best"}}
    assert (plain.train.evaluate_offset, plain.train.hand_on) == (0, "last")
    method = plain.method.model_dump() | {"order": "long"}
    if plain.method.setting == "uda":
        method["translator"]["hand_on"] = 48_001
    if name == "synthia_to_cityscapes":
        method["warmup"]["schedule"] = "ramp"
    if name == "gta5_dg":
        method["target_bn_pass"] = True
        quirks["data"] = {"target": official.data.target.model_dump()}
    wanted = plain.model_dump() | {"name": f"diga/{name}_official", "method": method}
    for section, keys in quirks.items():
        wanted[section] = wanted[section] | keys
    assert official.model_dump() == wanted


def test_the_translator_may_be_taken_from_an_earlier_step():
    config = load_config("diga/gta5_to_cityscapes_official")
    found = {one.name: one for one in stages(config)}
    assert found["translator"].snapshots == (48_001,) and found["translator"].steps == 50_000
    assert found["warmup"].frozen == {"translator": "translator@48001"}
    assert found["round1/selftrain"].frozen["translator"] == "translator@48001"
    with pytest.raises(UserError, match=r"translator\.hand_on: no such step"):
        load_config("diga/gta5_to_cityscapes", ["method.translator.hand_on=50001"])


@pytest.mark.parametrize(("who", "part"), [("student", ""), ("teacher", ":teacher")])
def test_student_or_teacher_labels_the_target_and_finds_the_centroids(who, part):
    sets = [f"method.labels_by={who}", "method.centroids.recompute=true"]
    found = {one.name: one for one in stages(load_config("diga/gta5_to_cityscapes", sets))}
    for number, before in ((1, "warmup"), (2, "round1/selftrain")):
        for name in ("centroids", "pseudo"):
            assert found[f"round{number}/{name}"].frozen == {"network": before + part}
        assert found[f"round{number}/selftrain"].start == before


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


@pytest.mark.parametrize(("mode", "dropping"), [("train", {"teacher", "target"}), ("eval", set())])
def test_an_evaluated_teacher_drops_nothing(mode, dropping, tmp_path):
    batch = first_of_selftraining(tmp_path, f"method.teacher_mode={mode}")
    noise = {name.removesuffix("_noise") for name in batch if name.endswith("_noise")}
    assert noise == {"student", "mixed", *dropping}


def test_what_is_known_of_the_published_numbers_is_listed():
    found = {name: [(row.row, row.value) for row in load_config(f"diga/{name}").published] for name in CONFIGS}
    single = {"gta5_to_cityscapes": 74.3, "synthia_to_cityscapes": 67.9}
    single |= {"gta5_dg_bdd": 44.42, "gta5_dg_mapillary": 51.78}
    assert {name: [value for _, value in found[name]] for name in single} == {n: [v] for n, v in single.items()}
    generalised = found["gta5_dg"]
    assert [value for _, value in generalised] == [48.87, 37.17, 41.27]
    assert generalised[0][0] == "DiGA" and all(row != "DiGA" for row, _ in generalised[1:])  # no row of ours is theirs


def test_what_is_missing_is_named():
    with pytest.raises(UserError, match=r"method.setting 'semi' needs data.labelled; the configuration does"):
        stages(load_config("diga/toy", ["method.setting=semi"]))


def test_weights_of_a_translator_are_refused_where_there_is_none():
    for name, setting in (("toy_dg", "dg"), ("toy_semi", "semi")):
        with pytest.raises(UserError, match=f"translator.weights: setting '{setting}' has no translator"):
            load_config(f"diga/{name}", ["method.translator.weights=[t.pth]"])


@pytest.mark.parametrize(
    ("crop", "weights", "fits"),
    [((90, 64), "", [88, 64]), ((96, 60), "", [96, 64]), ((90, 64), "t.pth", [88, 64]), ((4, 9), "t.pth", [8, 8])],
)
def test_a_crop_that_the_translator_cannot_take_is_refused(crop, weights, fits):
    def wanted(size):
        return stages(load_config("diga/toy", [f"method.crop={list(size)}", f"method.translator.weights=[{weights}]"]))

    with pytest.raises(UserError, match=rf"diga/toy: method.crop is .*such as {re.escape(str(fits))}"):
        wanted(crop)
    assert wanted(fits)
    assert names("toy_semi", "method.crop=[33,21]")


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
