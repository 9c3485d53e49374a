"""A user's own images in class folders, from configuration to report, evaluation, export and certificate."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from common.checkpoint import steps
from common.data.lists import read_class_list
from tests.e2e.classes import NAMES, write_config, write_data
from tests.e2e.runs import ROOT
from tests.scripts.test_entry_points import call  # noqa: F401

pytest.importorskip("torch", reason="torch is not installed")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, configuration and, once it is trained, the run."""
    root = tmp_path_factory.mktemp("own")
    write_config(root / "own.yaml", write_data(root / "data"))
    return root


@pytest.fixture
def finished(root: Path, call) -> Path:  # noqa: F811
    """A finished run on PyTorch."""
    run = root / "runs/own/torch"
    if not run.exists():
        status, out, err = call("train", root / "own.yaml", "--backend", "torch", "--out", root / "runs")
        assert status == 0, err
        assert "supervised 4/4  loss" in out and "S+T" in out and "test accuracy" in out
    return run


def test_dry_run_checks_every_dataset(root: Path, tmp_path: Path, call) -> None:  # noqa: F811
    """By its role, and does a step."""
    status, out, err = call("train", root / "own.yaml", "--backend", "torch", "--out", tmp_path, "--dry-run")
    assert status == 0, err
    for role, count in {"source": 12, "target": 9, "labelled": 3, "val": 6, "test": 6}.items():
        assert f"{role}: {count} images (12x12), {count} labels" in out
    assert "dry run: everything is in order" in out and not list(tmp_path.iterdir())
    status, out, err = call("prepare_data", "check", root / "own.yaml", "--role", "labelled")
    assert status == 0 and out.count("33.33 %") == 3, err


def test_report(finished: Path) -> None:
    """Names of the classes come from the folders; accuracy, examples, confusion."""
    assert "- cup\n  - hat\n  - key" in (finished / "config.yaml").read_text()
    text = (finished / "report/report.md").read_text()
    assert "Accuracy of each class" in text and "best on val" not in text and "source only" in text
    pictures = {path.stem for path in (finished / "report/pictures").iterdir()}
    assert {"examples", "confusion-1", "confusion-2", "supervised-loss"} <= pictures


def test_resumed_training_is_equal_to_the_bit(finished: Path, root: Path, tmp_path: Path, call) -> None:  # noqa: F811
    """A run that is cut after a checkpoint, as a kill would leave it."""
    settings = {"steps": 4, "batch_size": 2, "log_every": 1, "checkpoint_every": 2, "keep": 9}
    config = write_config(tmp_path / "own.yaml", root / "data", train=settings)
    status, _, err = call("train", config, "--backend", "torch", "--out", tmp_path)
    assert status == 0, err
    stage = tmp_path / "own/torch/stages/supervised"
    last = {p.name: p.read_bytes() for p in steps(stage / "checkpoints")[-1].glob("*.pth")}
    short = write_config(tmp_path / "own.yaml", root / "data", train={**settings, "steps": 2, "checkpoint_every": 1})
    assert call("train", short, "--backend", "torch", "--out", tmp_path / "short")[0] == 0
    half = steps(tmp_path / "short/own/torch/stages/supervised/checkpoints")[-1]
    shutil.rmtree(stage / "checkpoints"), (stage / "done.json").unlink()
    shutil.copytree(half, stage / "checkpoints" / half.name)
    config = write_config(tmp_path / "own.yaml", root / "data", train=settings)
    status, out, err = call("train", config, "--backend", "torch", "--out", tmp_path, "--resume")
    assert status == 0 and "supervised: goes on after step 2" in out, err
    assert {p.name: p.read_bytes() for p in steps(stage / "checkpoints")[-1].glob("*.pth")} == last


def test_evaluation(finished: Path, tmp_path: Path, call) -> None:  # noqa: F811
    """Scores of the test set, of the validation set on demand, and predictions in the official list format."""
    options = ("--out", tmp_path, "--save-predictions", "train_ids")
    status, out, err = call("evaluate", finished, *options)
    assert status == 0 and "top-3" in out, err
    marker = json.loads((finished / "stages/supervised/done.json").read_text())
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["confusion"] == marker["scores"]["last"]["confusion"]
    guesses = read_class_list(tmp_path / "predictions.txt")
    truth = [NAMES.index(path.split("/")[0]) for path, _ in guesses]
    matrix = np.zeros((3, 3), int)
    np.add.at(matrix, (truth, [label for _, label in guesses]), 1)
    assert matrix.tolist() == scores["confusion"]
    status, out, err = call("evaluate", finished, "--role", "val", "--out", tmp_path / "val")
    val = json.loads((tmp_path / "val/scores.json").read_text())
    assert status == 0 and val["summary"] == marker["scores"]["last"]["val"], err
    status, _, err = call("evaluate", finished, "--role", "source_val")
    assert status == 2 and "own has no data.source_val" in err


def test_images_of_ones_own(finished: Path, root: Path, tmp_path: Path, call) -> None:  # noqa: F811
    """One line each: path, class, confidence."""
    folder = root / "data/real/hat"
    status, out, err = call("evaluate", finished, "--image", folder, "--out", tmp_path)
    lines = (tmp_path / "classes.txt").read_text().splitlines()
    assert status == 0 and out.strip().splitlines() == lines, err
    assert [line.split()[0] for line in lines] == [str(folder / f"{i}.png") for i in range(4)]
    assert all(re.fullmatch(r"\S+ (cup|hat|key) [01]\.\d{4}", line) for line in lines)
    status, out, err = call("evaluate", finished, "--image", folder / "0.png")
    assert status == 0 and out.strip() == lines[0], err


def test_batches_can_be_looked_at(root: Path, tmp_path: Path, call) -> None:  # noqa: F811
    """One picture a step."""
    options = ("--stage", "supervised", "--out", tmp_path, "--count", "1")
    status, out, err = call("show_batches", root / "own.yaml", *options)
    assert status == 0 and Path(out.strip()).is_file(), err


def test_shots_in_the_official_format(root: Path, tmp_path: Path, call) -> None:  # noqa: F811
    """Of class folders or of a list; the lists make a configuration of their own."""
    options = ("--domain", "sketch", "--shots", "1", "--out", tmp_path)
    status, out, err = call("prepare_data", "shots", root / "data", *options)
    assert status == 0 and len(out.splitlines()) == 4, err
    entries = read_class_list(tmp_path / "labeled_source_images_sketch.txt")
    shots = read_class_list(tmp_path / "labeled_target_images_sketch_1.txt")
    rest = read_class_list(tmp_path / "unlabeled_target_images_sketch_1.txt")
    chosen = read_class_list(tmp_path / "validation_target_images_sketch_3.txt")
    assert len(entries) == 12 and [label for _, label in shots] == [0, 1, 2] and len(chosen) == 9
    assert set(rest) == set(entries) - set(shots) and set(chosen) <= set(rest)
    again = tmp_path / "again"
    status, _, err = call("prepare_data", "shots", tmp_path / "labeled_source_images_sketch.txt",
                          "--domain", "sketch", "--shots", "1", "--out", again)  # fmt: skip
    assert status == 0, err
    names = ("labeled_target_images_sketch_1.txt", "unlabeled_target_images_sketch_1.txt")
    assert all((again / name).read_bytes() == (tmp_path / name).read_bytes() for name in names)


@pytest.mark.parametrize("words", [("--task", "detection"), ("--task",), ("classification",)])
def test_quickstart_refuses_what_it_does_not_know(words: tuple[str, ...]) -> None:
    """Before it sets anything up."""
    command = ["bash", str(ROOT / "scripts/quickstart.sh"), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "segmentation" in done.stderr and len(done.stderr.splitlines()) == 1
    assert not done.stdout


@pytest.mark.slow
def test_all_backends_side_by_side(finished: Path, tmp_path: Path, call) -> None:  # noqa: F811
    """The same weights on both frameworks and as ONNX."""
    for name in ("mindspore", "onnxruntime"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    status, out, err = call("evaluate", finished, "--backends", "torch,mindspore,onnx", "--out", tmp_path)
    assert status == 0 and "torch - onnx" in out and "Images with other labels" in out, err
    scores = [json.loads((tmp_path / name / "scores.json").read_text()) for name in ("torch", "mindspore", "onnx")]
    assert scores[0] == scores[1] == scores[2]
