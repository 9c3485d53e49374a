"""IAST's official configuration files become the configurations that this project ships."""

import json
from argparse import Namespace
from pathlib import Path

import pytest
import yaml

from common.config import load_config
from common.errors import UserError
from common.methods import stages
from scripts.preparation.iast import write_config
from scripts.preparation.iast_official import imported

SETTINGS = {  # name -> source's class and list; batch, epochs, rate, ITER_VAL of every stage; of the warm-up alone
    "gta5_to_cityscapes_v100": (
        ("MsGTAVDataset", "gtav_train.json"),
        [(8, 8, 1e-4, 500), (4, 4, 2e-5, 400), *[(8, 2, rate, 400) for rate in (3e-5, 2.5e-5, 2e-5)]],
        ([1280, 640], 0.05, 2e-5),
    ),
    "gta5_to_cityscapes_t4": (
        ("MsGTAVDataset", "gtav_train.json"),
        [(2, 8, 1e-4, 800), (1, 4, 2e-5, 1600), (2, 2, 3e-5, 400), (2, 2, 2.5e-5, 800), (2, 2, 2e-5, 800)],
        ([1280, 640], 0.05, 2e-5),
    ),
    "synthia_to_cityscapes_v100": (
        ("MsSYNTHIADataset", "SYNTHIA_train.json"),
        [(8, 8, 1e-4, 500), (4, 4, 2e-5, 400), *[(8, 2, rate, 400) for rate in (3e-5, 2.5e-5, 2e-5)]],
        ([1280, 640], 0.001, 2e-5),
    ),
    "synthia_to_cityscapes_t4": (
        ("MsSYNTHIADataset", "SYNTHIA_train.json"),
        [(4, 8, 1e-4, 500), (3, 6, 3e-5, 400), *[(3, 6, rate, 400) for rate in (3e-5, 2.5e-5, 2e-5)]],
        ([1536, 768], 0.001, 1e-4),
    ),
}
UNLIKE = {  # what a page of theirs and one of ours may write otherwise
    "optim": {"horizon"},  # compared as the wave that results
    "train": {"log_every", "checkpoint_every", "evaluate_every"},
    "evaluate": {"batch_size"},
}
NAMES = ("source_only", "warmup_at", "sl_1", "sl_2", "sl_3")
SIZES = [[1024, 512], [1280, 640], [1536, 768], [1800, 900], [2048, 1024]]


def official(folder: Path, setting: str) -> list[Path]:
    """Write the five files of a setting as the authors have them; return their paths."""
    (kind, listed), rows, (size, weight, critic) = SETTINGS[setting]
    paths = []
    for number, (name, (batch, epochs, rate, every)) in enumerate(zip(NAMES, rows)):
        frozen, target = number > 0, {"TYPE": "MsCityscapesDataset", "ANNS": "../data/cityscapes_train.json"}
        model = {
            "TYPE": ("Generalized_Segmentor", "UDA_Segmentor", *["SL_UDA_Segmentor"] * 3)[number],
            "BACKBONE": {"TYPE": "R-DL-101-C1-C5" + "-FREEZEBN" * frozen, "PRETRAINED": True},
            "DECODER": {"TYPE": "DeepLabV2Dedoder"},
            "PREDICTOR": {"TYPE": "UpsamplePredictor", "NUM_CLASSES": 19, "LOSS": "CrossEntropy"},
        }
        if number == 1:
            adversary = {"TYPE": ["Origin-Predictor"], "WEIGHT": [weight], "LR": [critic], "LOSS": "MSELoss"}
            model["DISCRIMINATOR"] = adversary
        if number > 1:
            model["DISCRIMINATOR"] = {"LAMBDA_KLDREG_WEIGHT": 0.1, "LAMBDA_ENTROPY_WEIGHT": 3.0}
            target |= {"PSEUDO_SIZE": [1280, 640] if number == 2 else [1536, 768], "PSEUDO_PL": "IAST"}
            target |= {"PSEUDO_PL_ALPHA": (0.2, 0.25, 0.3)[number - 2], "PSEUDO_PL_GAMMA": 8.0}
            target |= {"PSEUDO_LOSS_WEIGHT": 1.0, "SOURCE_LOSS_WEIGHT": 0.0}
        wave = {"T_MAX": 3 if number > 1 else epochs, "T_MULT": 1.0}
        train = {"ITER_VAL": every, "EPOCHES": epochs, "OPTIMIZER": "Adam", "LR": rate, "BATCHSIZE": batch}
        train |= {"ITER_REPORT": 100, "SCHEDULER": "CosineAnnealingLR_with_Restart", "COSINEANNEALINGLR": wave}
        val = ([1024, 512], size, *[[1536, 768]] * 3)[number]
        dataset = {"TYPE": kind, "ANNS": f"../data/{listed}", "IMAGEDIR": "../data/source", "USE_AUG": True}
        dataset |= {"VAL": {"TYPE": "CityscapesDataset", "ANNS": "../data/cityscapes_val.json", "RESIZE_SIZE": val}}
        dataset |= {"TARGET": target} if number else {}
        test = {"RESIZE_SIZE": SIZES if number > 1 else [val]}
        tree = {"MODEL": model, "TRAIN": train, "DATASET": dataset, "TEST": test}
        paths.append(folder / f"{name}.yaml")
        paths[-1].write_text(yaml.safe_dump(tree), encoding="utf-8")
    return paths


def weights(settings: dict) -> dict:
    """Return what a stage's settings weigh losses, choose labels and draw crops with."""
    keys = ("lambda_", "crop_", "loss", "update", "alpha", "beta", "gamma", "initial", "size", "rule")
    flat = settings | settings.get("warmup", {}) | settings.get("self_training", {}) | settings.get("pseudo", {})
    return {key: value for key, value in flat.items() if key.startswith(keys)}


def written(folder: Path, tree: dict):
    """Return the configuration that a tree is read as."""
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return load_config(file)


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_shipped_configurations_are_the_official_ones(tmp_path: Path, setting: str) -> None:
    """Every stage: steps, rates, sizes, weights of losses, snapshots; the datasets, the network, the evaluation."""
    mine = written(tmp_path, imported(official(tmp_path, setting)[::-1], "mine"))
    ours = load_config(f"iast/{setting}")
    assert [stage.name for stage in stages(mine)] == [stage.name for stage in stages(ours)]
    for got, want in zip(stages(mine), stages(ours)):
        for what in ("steps", "start", "frozen", "snapshots", "objective"):
            assert getattr(got, what) == getattr(want, what), (got.name, what)
        here, there = got.configured(mine), want.configured(ours)
        for section in ("optim", "network", "train", "evaluate"):
            have, wish = (getattr(one, section).model_dump() for one in (here, there))
            for key in wish.keys() - UNLIKE.get(section, set()):
                assert have[key] == (pytest.approx(wish[key]) if section == "optim" else wish[key]), (got.name, key)
        waves = [one.optim.horizon or stage.steps for one, stage in ((here, got), (there, want))]
        assert waves[0] == waves[1] and here.train.evaluate_every == there.train.evaluate_every
        assert weights(got.settings) == weights(want.settings)
    for role in ("source", "target", "val"):
        assert getattr(mine.data, role) == getattr(ours.data, role)
    assert mine.method.pseudo == ours.method.pseudo and mine.method.crop_source == ours.method.crop_source


def test_their_efficientnets_are_ours(tmp_path: Path) -> None:
    """Another network replaces the whole section; it has no IBN."""
    paths = official(tmp_path, "gta5_to_cityscapes_t4")
    for path in paths:
        path.write_text(path.read_text().replace("R-DL-101-C1-C5", "E-B3-C1-C5"), encoding="utf-8")
    network = written(tmp_path, imported(paths, "mine")).network
    assert (network.name, network.variant, network.output_stride) == ("deeplabv2_efficientnet", "b3", 32)
    assert network.weights.stem.startswith("efficientnet_b3_") and network.may_exceed == ("classifier.",)
    for path in paths:
        path.write_text(path.read_text().replace("PRETRAINED: true", "WITH_IBN: true"), encoding="utf-8")
    with pytest.raises(UserError, match=r"MODEL\.BACKBONE\.WITH_IBN is True"):
        imported(paths, "mine")


def test_rounds_alone_begin_with_imported_weights(tmp_path: Path) -> None:
    """The published checkpoints replace the first two stages; the weights have to be named."""
    paths = official(tmp_path, "gta5_to_cityscapes_v100")[2:]
    tree = imported(paths, "rounds", source_images=100)
    assert tree["method"]["begin"] == "self_training" and tree["network"]["weights"] is None
    assert tree["method"]["self_training"]["steps"] == 2 * (100 // 8)
    with pytest.raises(UserError, match=r"starts from network\.weights"):
        stages(written(tmp_path, tree))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("TRAIN: {EPOCHS: 2}", r"IAST's configuration has no key 'TRAIN.EPOCHS'. Did you mean 'TRAIN.EPOCHES'\?"),
        ("TRAIN: {LR: fast}", r"sl_1.yaml:1: TRAIN.LR is 'fast'; right would be something like 0.001"),
        ("MODEL: {TYPE: SL_UDA_Segmentor, BACKBONE: {TYPE: E-B9-C1-C5}}", "MODEL.BACKBONE.TYPE is 'E-B9-C1-C5'; known"),
        ("MODEL: {TYPE: Generalized_Segmentor}", "wanted are source_only, warmup_at and the rounds"),
    ],
)
def test_what_is_not_here_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "sl_1.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        imported([path], "mine")


def test_an_epoch_is_as_long_as_the_list(tmp_path: Path) -> None:
    """The list beside the authors' code counts; an unknown one that is not there needs the number."""
    (tmp_path / "code").mkdir()
    (tmp_path / "data").mkdir()
    paths = official(tmp_path / "code", "gta5_to_cityscapes_v100")
    for path in paths:
        path.write_text(path.read_text().replace("gtav_train", "mine"), encoding="utf-8")
    with pytest.raises(UserError, match="name the number of source images"):
        imported(paths, "mine")
    (tmp_path / "code" / "main.py").touch()
    entries = [{"image_name": f"{number}.png", "mask_name": f"{number}_ids.png"} for number in range(24)]
    (tmp_path / "data" / "mine.json").write_text(json.dumps(entries), encoding="utf-8")
    (tmp_path / "data" / "source").mkdir()
    tree = imported(paths, "mine")
    assert tree["method"]["source"]["steps"] == 24 and tree["data"]["source"]["list"].endswith("data/mine.json")


def test_only_what_can_be_run_is_written(tmp_path: Path) -> None:
    """The command reads its configuration as a run does before the file stands where it was asked for."""
    paths, out = official(tmp_path, "gta5_to_cityscapes_v100"), tmp_path / "new" / "mine.yaml"
    options = Namespace(folder=tmp_path, out=out, source_images=None)
    text = paths[0].read_text()
    paths[0].write_text(text.replace("BATCHSIZE: 8", "BATCHSIZE: 30000"), encoding="utf-8")  # no whole batch
    with pytest.raises(UserError, match=r"amounts to no valid run: mine\.yaml:\d+: method\.source\.steps"):
        write_config(options)
    assert not out.parent.exists()
    paths[0].write_text(text, encoding="utf-8")
    write_config(options)
    assert load_config(out).method.source.steps == 24936 and [file.name for file in out.parent.iterdir()] == [out.name]


@pytest.mark.parametrize("setting", ["SKIP_GEN_PSEUDO: true", "PSEUDO_PL: CBST"])
def test_labels_that_are_not_generated_are_read(tmp_path: Path, setting: str) -> None:
    """A selector of another name generates nothing in the authors' code, which then takes what lies in the folder."""
    paths, key = official(tmp_path, "gta5_to_cityscapes_v100"), setting.partition(":")[0]

    def change(path: Path) -> None:
        path.write_text(path.read_text().replace("    PSEUDO_PL: IAST\n", f"    {setting}\n"), encoding="utf-8")

    change(paths[2])
    with pytest.raises(UserError, match=rf"sl_1\.yaml: reads labels that lie there .*{key}.*all rounds"):
        imported(paths, "mine")
    for path in paths[3:]:
        change(path)
    with pytest.raises(UserError, match=rf"sl_1\.yaml: .*{key}.* needs DATASET\.TARGET\.PSEUDO_SAVE_DIR"):
        imported(paths, "mine")
    for path in paths[2:]:
        path.write_text(path.read_text().replace(f"    {setting}", f"    PSEUDO_SAVE_DIR: {tmp_path}\n    {setting}"))
    tree = imported(paths, "mine")
    assert tree["method"]["pseudo"]["folder"] == str(tmp_path) == str(written(tmp_path, tree).method.pseudo.folder)


def test_stages_must_not_contradict_each_other(tmp_path: Path) -> None:
    paths = official(tmp_path, "gta5_to_cityscapes_v100")
    paths[3].write_text(paths[3].read_text().replace("PSEUDO_PL_GAMMA: 8.0", "PSEUDO_PL_GAMMA: 4.0"), encoding="utf-8")
    with pytest.raises(UserError, match=r"sl_2.yaml: DATASET.TARGET.PSEUDO_PL_GAMMA is 4.0, in .*sl_1.yaml 8.0"):
        imported(paths, "mine")
