"""Run folders and checkpoint folders: parts, records, initial weights, and what is refused."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import yaml

from common import checkpoint, keeper
from common.errors import UserError
from common.run_folder import StageFolder, digest_of
from convert.folder import convert_folder
from tests.convert.checkpoints import assert_same, content, numbers, write_pth

STEP = 5


class Writer:
    """Writes native files as the PyTorch twin does."""

    name, suffix = "torch", ".pth"

    def save(self, part, path):
        write_pth(Path(path), part)


def model(seed: int) -> dict[str, np.ndarray]:
    vectors = {f"bn.{leaf}": np.full(3, seed + i, "f4") for i, leaf in enumerate(("weight", "bias"))}
    vectors |= {"bn.running_mean": np.zeros(3, "f4"), "bn.running_var": np.ones(3, "f4")}
    return {"conv.weight": np.full((3, 2, 1, 1), seed, "f4"), **vectors, "bn.num_batches_tracked": np.array(STEP)}


def parts(seed: int) -> dict[str, dict[str, np.ndarray]]:
    trained = {name: array for name, array in model(seed).items() if name in ("conv.weight", "bn.weight", "bn.bias")}
    optimizer = {f"{slot}.{name}": array * 2 for slot in ("exp_avg", "exp_avg_sq") for name, array in trained.items()}
    return {
        "model": model(seed),
        "ema": model(seed + 1),
        "optimizer": {**optimizer, "step": np.array(STEP)},
        "memory": {"prototypes.weight": np.ones((2, 3), "f4"), "thresholds": np.array([0.5, np.nan])},
        "scaler": {"scale": np.array(1024.0), "good_steps": np.array(3)},
    }


@pytest.fixture
def run(tmp_path) -> Path:
    """A run of two finished stages, the second begun from the first, and one in training."""
    folder = tmp_path / "torch"
    stages = {
        name: StageFolder(folder / "stages" / name) for name in ("round1/teacher", "round1/student", "round1/last")
    }
    weights = write_pth(tmp_path / "init.pth", model(9))
    for seed, (name, stage) in enumerate(stages.items()):
        info = {"backend": "torch", "step": STEP, "stage": name, "world": 1}
        checkpoint.save(Writer(), stage.checkpoints / checkpoint.name_of(STEP), parts(seed), info)
    first, second, last = stages.values()
    inputs = {"weights": checkpoint.sha256(weights), "upstream": {"start": None}}
    first.finish({"inputs": inputs, "digest": digest_of(inputs), "outputs": keeper.weights_made(first)})
    inputs = {"upstream": {"frozen": {"teacher": keeper.weights_made(first)["last"]}, "reads": {"x": "0" * 64}}}
    second.finish({"inputs": inputs, "digest": digest_of(inputs), "outputs": keeper.weights_made(second)})
    last._inputs.write_text(json.dumps({"upstream": {"start": keeper.weights_made(second)["last"]}}))
    (folder / "stages/round1/student/files").mkdir()
    (folder / "stages/round1/student/files/a.png").write_bytes(b"png")
    config = {"optim": {"betas": [0.8, 0.99]}, "network": {"weights": str(weights)}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / ".lock").write_text("")
    return folder


def test_every_part_in_the_other_terms_and_back(run, tmp_path):
    reports = convert_folder(run, tmp_path / "ms")
    assert len(reports) == 3 * 5 + 1 and all(Path(report.target).is_file() for report in reports)
    place = Path("stages/round1/teacher/checkpoints") / checkpoint.name_of(STEP)
    checkpoint.verify(tmp_path / "ms" / place)
    optimizer = content(tmp_path / "ms" / place / "optimizer.ckpt")
    assert {"moment1.bn.gamma", "moment2.conv.weight", "beta1_power"} <= set(optimizer)
    assert optimizer["global_step"].tolist() == [STEP] and optimizer["beta1_power"] == np.float32(0.8**STEP)
    assert_same(content(tmp_path / "ms" / place / "memory.ckpt"), parts(0)["memory"])
    assert_same(content(tmp_path / "ms" / place / "scaler.ckpt"), parts(0)["scaler"])
    state = checkpoint.read_json(tmp_path / "ms" / place / "state.json")
    assert (state["backend"], state["converted_from"], state["step"]) == ("mindspore", "torch", STEP)
    convert_folder(tmp_path / "ms", tmp_path / "back")
    for path in run.rglob("*.pth"):
        assert_same(content(tmp_path / "back" / path.relative_to(run)), content(path), str(path))


def test_records_of_finished_stages_keep_fitting(run, tmp_path):
    convert_folder(run, tmp_path / "ms")
    first, second, last = (StageFolder(tmp_path / "ms/stages/round1" / name) for name in ("teacher", "student", "last"))
    for stage in (first, second):
        assert stage.done()["outputs"] == keeper.weights_made(stage)
        assert stage.done()["digest"] == digest_of(stage.done()["inputs"])
    upstream = second.done()["inputs"]["upstream"]
    assert upstream == {"frozen": {"teacher": keeper.weights_made(first)["last"]}, "reads": {"x": "0" * 64}}
    assert last.inputs() == {"upstream": {"start": keeper.weights_made(second)["last"]}}
    config = yaml.safe_load((tmp_path / "ms/config.yaml").read_text())
    assert config["network"]["weights"] == str(tmp_path / "ms/weights/init.ckpt")
    assert first.done()["inputs"]["weights"] == checkpoint.sha256(tmp_path / "ms/weights/init.ckpt")
    assert (tmp_path / "ms/stages/round1/student/files/a.png").read_bytes() == b"png"
    assert not (tmp_path / "ms/.lock").exists()


def test_one_checkpoint_folder(run, tmp_path):
    convert_folder(run / "stages/round1/last/checkpoints" / checkpoint.name_of(STEP), tmp_path / "one")
    assert {path.name for path in tmp_path.joinpath("one").iterdir()} == {
        "model.ckpt", "ema.ckpt", "optimizer.ckpt", "memory.ckpt", "scaler.ckpt", "state.json", "manifest.json",
    }  # fmt: skip
    assert content(tmp_path / "one/optimizer.ckpt")["beta2_power"] == np.float32(0.99**STEP)


def damage(run: Path) -> str:
    path = next(run.rglob("model.pth"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return "damaged, its digest"


def link(run: Path) -> str:
    os.symlink("/etc", run / "stages" / "elsewhere")
    return "is a link"


def stray(run: Path) -> str:
    write_pth(run / "stray.pth", {"w": numbers((2,))})
    return "stands in no checkpoint folder"


def lost(run: Path) -> str:
    (run.parent / "init.pth").unlink()
    return "init.pth: no such file"


def mixed(run: Path) -> str:
    convert_folder(run, run.parent / "other")
    os.rename(run.parent / "other", run / "other")
    return "holds checkpoints of both frameworks"


@pytest.mark.parametrize("spoil", [damage, link, stray, lost, mixed])
def test_refused_with_nothing_written(run, tmp_path, spoil):
    says = spoil(run)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(UserError, match=says):
        convert_folder(run, tmp_path / "ms")
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_places_that_cannot_be(run, tmp_path):
    (tmp_path / "there").mkdir()
    for target, says in (("there", "exists already"), ("torch/inner", "lies within"), ("no/way", "does not exist")):
        with pytest.raises(UserError, match=says):
            convert_folder(run, tmp_path / target)
    with pytest.raises(UserError, match="holds no checkpoint folder"):
        convert_folder(tmp_path / "there", tmp_path / "out")


def test_every_file_of_initial_weights_is_converted_once(run, tmp_path):
    """A teacher's, and a student's that was made elsewhere; of two files with one name both are kept."""
    (tmp_path / "elsewhere").mkdir()
    teacher = write_pth(tmp_path / "teacher.pth", model(8))
    student = write_pth(tmp_path / "elsewhere/init.pth", model(7))
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["method"] = {"teacher": {"network": {"weights": str(teacher)}}, "finetune_weights": str(student)}
    config["other"] = {"network": {"weights": config["network"]["weights"]}}
    (run / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    assert len(convert_folder(run, tmp_path / "ms")) == 3 * 5 + 3
    written = yaml.safe_load((tmp_path / "ms/config.yaml").read_text())
    names = "init.ckpt", "teacher.ckpt", "method-finetune_weights.ckpt"
    places = [str(tmp_path / "ms/weights" / name) for name in names]
    assert written["network"] == written["other"]["network"] == {"weights": places[0]}
    assert written["method"] == {"teacher": {"network": {"weights": places[1]}}, "finetune_weights": places[2]}
    assert content(Path(places[2]))["conv.weight"].flat[0] == 7
    convert_folder(tmp_path / "ms", tmp_path / "back")
    assert sorted(path.name for path in (tmp_path / "back/weights").iterdir()) == [
        "init.pth", "method-finetune_weights.pth", "teacher.pth",
    ]  # fmt: skip


def test_the_files_of_a_translator_are_converted_in_their_list(run, tmp_path):
    """DiGA names a list of files, and its perceptual loss a file under a key of its own."""
    names = ("enc_s", "dec_s2t", "vgg")
    files = [write_pth(tmp_path / f"{name}.pth", model(place)) for place, name in enumerate(names)]
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["method"] = {"translator": {"weights": list(map(str, files[:2])), "vgg": str(files[2]), "steps": 3}}
    (run / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    inputs = {"settings": config["method"], "files": [checkpoint.sha256(file) for file in files]}
    (run / "stages/round1/last/inputs.json").write_text(json.dumps(inputs))
    assert len(convert_folder(run, tmp_path / "ms")) == 3 * 5 + 4
    translator = yaml.safe_load((tmp_path / "ms/config.yaml").read_text())["method"]["translator"]
    places = [tmp_path / f"ms/weights/{name}.ckpt" for name in names]
    assert translator == {"weights": list(map(str, places[:2])), "vgg": str(places[2]), "steps": 3}
    assert [content(place)["conv.weight"].flat[0] for place in places] == [0, 1, 2]
    record = checkpoint.read_json(tmp_path / "ms/stages/round1/last/inputs.json")
    assert record == {"settings": {"translator": translator}, "files": [checkpoint.sha256(place) for place in places]}
    convert_folder(tmp_path / "ms", tmp_path / "back")
    assert sorted(path.name for path in (tmp_path / "back/weights").iterdir()) == [
        "dec_s2t.pth", "enc_s.pth", "init.pth", "vgg.pth",
    ]  # fmt: skip
