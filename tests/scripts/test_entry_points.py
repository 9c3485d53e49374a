"""train, evaluate and report as users call them: what they print, write and refuse."""

import json
import re
import runpy
import shutil
import sys
from pathlib import Path

import pytest

from common.pictures import read_png
from tests.e2e.runs import ROOT, command, tiny_data

pytest.importorskip("torch", reason="torch is not installed")
RUN = {"baselines": "[source_only]", "train__steps": 2}


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture):
    """Call a script as ``__main__`` in this process; returns (status, stdout, stderr)."""

    def run(script: str, *options: object) -> tuple[int, str, str]:
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", [f"scripts/{script}.py", *map(str, options)])
        with pytest.raises(SystemExit) as caught:
            runpy.run_path(str(ROOT / "scripts" / f"{script}.py"), run_name="__main__")
        captured = capfd.readouterr()
        return caught.value.code, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny drawn pictures."""
    return tiny_data(tmp_path_factory.mktemp("data") / "toy")


def words(data: Path, out: Path, *options: str, **changes: object) -> list[str]:
    """Options of a tiny run of source-only training on PyTorch."""
    return command(data, out, "torch", "--stages", "baselines/*", *options, **{**RUN, **changes})[2:]


@pytest.fixture
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory, call) -> Path:
    """A finished run; trained once and copied."""
    kept = data.parent / "kept"
    if not kept.exists():
        status, out, err = call("train", *words(data, kept))
        assert status == 0, err
        assert "baselines/source_only 2/2  loss" in out and "source only" in out
    copy = tmp_path_factory.mktemp("run") / "torch"
    shutil.copytree(kept / "ddm" / "toy" / "torch", copy)
    return copy


def test_a_run_leaves_what_it_promises(finished: Path) -> None:
    """Config, command, log, curves, report."""
    assert "width: 8" in (finished / "config.yaml").read_text()
    assert "--stages 'baselines/*'" in (finished / "command.txt").read_text()
    assert len((finished / "metrics.jsonl").read_text().splitlines()) == 3
    assert list((finished / "tensorboard" / "baselines" / "source_only").iterdir())
    assert "source only" in (finished / "report" / "report.md").read_text()


def test_dry_run_saves_nothing(data: Path, tmp_path: Path, call) -> None:
    """It prints config and plan, checks the data and does a step of every kind."""
    status, out, err = call("train", *words(data, tmp_path / "out", "--dry-run"))
    assert status == 0, err
    assert "width: 8" in out and "round1/student" in out and "dry run: everything is in order" in out
    assert re.search(r"round1/student: loss \d", out) and "source: 8 images (128x64), 8 labels" in out
    assert not (tmp_path / "out").exists() and "not tried" not in out


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"optim__lrr": 1}, r"optim has no key 'lrr'. Did you mean 'lr'\?"),
        ({"data__source__root": "/nowhere"}, r"data.source: /nowhere: no such folder"),
        ({"network__weights": "/nowhere.pth"}, r"network.weights: /nowhere.pth: no such file"),
        ({"data__labelled__count": 9}, r"labelled.count is 9, but the target has only 8"),
    ],
)
def test_mistakes_are_one_line_and_cost_no_old_run(finished: Path, data: Path, call, changes: dict, line: str) -> None:
    """Even with --overwrite."""
    out = finished.parent / "out"
    shutil.copytree(finished, out / "ddm" / "toy" / "torch")
    status, _, err = call("train", *words(data, out, "--overwrite", **changes))
    assert status == 2 and re.search(line, err) and len(err.strip().splitlines()) == 1
    assert (out / "ddm" / "toy" / "torch" / "stages" / "baselines" / "source_only" / "done.json").exists()


def test_weights_that_do_not_fit_are_listed(finished: Path, data: Path, tmp_path: Path, call) -> None:
    """Missing, unexpected and misshapen names."""
    weights = next(finished.rglob("model.pth"))
    status, _, err = call("train", *words(data, tmp_path, network__weights=weights, network__depth=34))
    assert status == 2 and "model.pth does not fit the network: missing (" in err
    status, _, err = call("train", *words(data, tmp_path, "--overwrite", network__weights=weights, network__width=16))
    assert status == 2 and "other shape (" in err and "conv1.weight" in err


def test_evaluation_of_a_run(finished: Path, tmp_path: Path, call) -> None:
    """The same score as training printed; predictions, matrix and scores on request."""
    status, out, err = call("evaluate", finished, "--out", tmp_path, "--save-predictions", "label_ids")
    assert status == 0, err
    scores = json.loads((tmp_path / "scores.json").read_text())
    marker = json.loads((finished / "stages" / "baselines" / "source_only" / "done.json").read_text())
    assert scores["confusion"] == marker["scores"]["last"]["confusion"]
    assert "mIoU19" in out and len(list((tmp_path / "predictions").rglob("*_pred_labelIds.png"))) == 4
    assert (tmp_path / "confusion.csv").read_text().startswith("true")


def test_stages_predict_as_one(finished: Path, call) -> None:
    """The ensemble of a network with itself predicts what the network predicts."""
    status, alone, err = call("evaluate", finished)
    assert status == 0, err
    status, twice, err = call("evaluate", finished, "--stage", "baselines/source_only,baselines/source_only")
    assert status == 0, err
    assert "source only + source only" in twice and alone.splitlines()[-20:-1] == twice.splitlines()[-20:-1]


def test_published_numbers_stand_beside_ours(finished: Path, call) -> None:
    """When the configuration has them."""
    row = "[{row: DDM, metric: mIoU19, value: 61.2, source: table 1}]"
    status, out, err = call("evaluate", finished, "--set", f"published={row}")
    assert status == 0, err
    assert "Published numbers beside ours" in out and "61.20" in out


def test_overlay_of_an_image_at_its_own_size(finished: Path, data: Path, tmp_path: Path, call) -> None:
    """Or of a whole folder."""
    image = next((data / "cityscapes" / "leftImg8bit" / "val").rglob("*.png"))
    status, out, err = call("evaluate", finished, "--image", image, "--out", tmp_path, "--flip", "--scales", "0.5,1.0")
    assert status == 0, err
    assert read_png(Path(out.strip())).shape == (64, 128, 3)
    status, out, _ = call("evaluate", finished, "--image", image.parents[1], "--out", tmp_path / "all")
    assert status == 0 and len(out.split()) == 4


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--stage", "round1/student"], r"stage round1/student is not finished; finished: baselines/source_only"),
        (["--weights", "/nowhere.pth"], r"/nowhere.pth: no such file"),
        (["--save-predictions", "train_ids"], r"--save-predictions needs --out"),
        (["--image", "/nowhere.png", "--out", "/tmp"], r"/nowhere.png: no such file"),
        (["--backends", "torch,jax"], r"no backend 'jax'"),
    ],
)
def test_evaluation_refuses_in_one_line(finished: Path, call, options: list[str], line: str) -> None:
    """What cannot be."""
    status, _, err = call("evaluate", finished, *options)
    assert status == 2 and re.search(line, err) and len(err.strip().splitlines()) == 1


def test_a_configuration_needs_weights(call) -> None:
    """A run folder knows its own."""
    status, _, err = call("evaluate", "ddm/toy", "--backend", "torch")
    assert status == 2 and "needs --weights FILE" in err


def test_report_of_two_runs(finished: Path, tmp_path: Path, call) -> None:
    """One table, one page."""
    other = finished.with_name("other")
    shutil.copytree(finished, other)
    (other / "config.yaml").write_text((finished / "config.yaml").read_text().replace("name: ddm/toy", "name: second"))
    status, out, err = call("report", finished, other, "--out", tmp_path / "report")
    assert status == 0, err
    assert "diff." in out and "+0.0" in out and (tmp_path / "report" / "index.html").exists()
    status, _, err = call("report", tmp_path)
    assert status == 2 and "not a run folder" in err


@pytest.mark.slow
def test_one_table_of_all_backends_from_a_checkpoint_of_either(finished: Path, tmp_path: Path, call) -> None:
    """Columns, differences, disagreement; a weights file finds its own configuration."""
    for package in ("mindspore", "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    out = tmp_path / "out"
    (weights,) = finished.rglob("model.pth")
    status, text, err = call("evaluate", "--backends", "mindspore,torch,onnx", weights, "--out", out)
    assert status == 0, err
    assert "mindspore" in text and "Pixels with other labels" in text
    found = json.loads((out / "disagreement.json").read_text())
    assert set(found) == {"torch", "onnx"} and all(pair["share"] <= 1e-3 for pair in found.values())
    assert {path.parent.name for path in out.glob("*/scores.json")} == {"mindspore", "torch", "onnx"}
    native = tmp_path / "elsewhere.ckpt"
    from convert.single import convert_file

    convert_file(weights, native)
    status, _, err = call("evaluate", native)
    assert status == 2 and "say which network it fills: --config" in err
    status, text, err = call("evaluate", native, "--config", finished / "config.yaml")
    assert status == 0 and "mIoU19" in text, err
