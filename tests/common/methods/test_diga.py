"""DiGA's stages and settings, without a framework."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from common.config import load_config
from common.errors import UserError
from common.inputs import stage_inputs
from common.methods import stages
from common.methods.diga_settings import DiGASettings
from common.repeats import repeats_of

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


WARMUP, SELFTRAIN = "warmup", "round1/selftrain"


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ("centroids.passes=3", {"centroids"}),
        ("centroids.momentum=0.5", {SELFTRAIN}),
        ("labels_by=teacher", set()),  # told by the weights that the labelling stages are given
        ("teacher_mode=eval", {SELFTRAIN}),
        ("self_training.lambda_distil=0.7", {SELFTRAIN}),
        ("target_bn_pass=false", {WARMUP}),
        ("translator.lambda_self=0.5", {"translator"}),
        ("translator.width=16", {"translator", WARMUP, SELFTRAIN}),
        ("ema_cap=0.5", {WARMUP, SELFTRAIN}),
        ("class_rule=false", {"translator", WARMUP, SELFTRAIN}),
        ("translator.vgg=other.pth", set()),  # nothing of it counts: the perceptual loss has no weight
    ],
)
def test_a_stage_depends_on_the_options_that_it_uses(change, changed):
    before, after = (
        {one.name: (one.settings, one.files) for one in stages(load_config("diga/toy", sets))}
        for sets in ([], [f"method.{change}"])
    )
    assert {name for name, one in before.items() if after[name] != one} == changed


def test_the_files_of_a_translator_count_by_their_content(tmp_path):
    paths = [tmp_path / f"{name}.pth" for name in ("enc_s", "dec_s2t", "vgg")]
    given = [f"method.translator.weights=[{paths[0]}, {paths[1]}]"]
    perceptual = [f"method.translator.vgg={paths[2]}", "method.translator.lambda_perceptual=0.1"]
    cases = (given, WARMUP, paths[:2]), (given, SELFTRAIN, paths[:2]), (perceptual, "translator", paths[2:])
    for sets, name, files in cases:
        config = load_config("diga/toy", sets)
        stage = next(one for one in stages(config) if one.name == name)
        assert stage.files == tuple(files) and str(tmp_path) not in json.dumps(stage.settings)
        stage, inputs = replace(stage, start=None, frozen={}, reads=()), []
        with pytest.raises(UserError, match=f"{files[0].name}: no such file"):
            stage_inputs(config, stage, SimpleNamespace(), {}, 1)
        for content in ("one", "one", "another"):
            for path in files:
                path.write_text(content)
            inputs.append(stage_inputs(config, stage, SimpleNamespace(), {}, 1))
        assert inputs[0] == inputs[1] != inputs[2]
        for path in files:
            path.unlink()


@pytest.mark.parametrize(("who", "part"), [("student", ""), ("teacher", ":teacher")])
def test_student_or_teacher_labels_the_target_and_finds_the_centroids(who, part):
    sets = [f"method.labels_by={who}", "method.centroids.recompute=true"]
    found = {one.name: one for one in stages(load_config("diga/gta5_to_cityscapes", sets))}
    for number, before in ((1, "warmup"), (2, "round1/selftrain")):
        for name in ("centroids", "pseudo"):
            assert found[f"round{number}/{name}"].frozen == {"network": before + part}
        assert found[f"round{number}/selftrain"].start == before


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
