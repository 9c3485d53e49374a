"""Evaluation over a dataset, and its files; checked against the official Cityscapes evaluator."""

import csv
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from common.checkpoint import read_json
from common.data.cityscapes import Cityscapes
from common.data.labels import CITYSCAPES_LABELS, CLASS_SETS, ClassSet
from common.errors import UserError
from common.evaluate import Evaluation, evaluate, read_ahead
from common.export import prediction_path, score_table, write_overlay, write_prediction, write_scores
from common.pictures import read_png, write_png
from common.schema import DatasetConfig
from tests.common.engine_runs import config, data, run
from tests.fake_backend import FakeBackend, FakeDataset

CLASSES = ClassSet("custom", ("red", "green", "blue"), ((255, 0, 0), (0, 255, 0), (0, 0, 255)), (), {})


class Mixed(FakeDataset):
    """Images of two sizes, and labels of another size than their images."""

    def image(self, index: int) -> np.ndarray:
        """Every third image is smaller."""
        return self.images[index][:4, :6] if index % 3 == 2 else self.images[index]

    def native_label(self, index: int) -> np.ndarray:
        """Twice the size of the image; a stripe is ignored."""
        label = self.truths[index][:4, :6] if index % 3 == 2 else self.truths[index]
        label = label.repeat(2, axis=0).repeat(2, axis=1)
        label[0] = 255
        return label


def brightest(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Predict the brightest channel, at twice the size."""
    labels = images.argmax(axis=1).astype(np.uint8).repeat(2, axis=1).repeat(2, axis=2)
    assert labels.shape[1:] == size
    return labels


def test_a_class_that_is_nowhere_counts_as_asked(tmp_path: Path) -> None:
    """In the scores of a run as well."""
    dataset = FakeDataset(2, 3)
    dataset.truths = np.minimum(dataset.truths, 1)

    def red(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        return np.zeros((len(images), *size), np.uint8)

    skipped, zero = (evaluate(red, dataset, CLASSES, absent=absent) for absent in ("skip", "zero"))
    assert skipped.record()["iou"]["blue"] is None and zero.record()["iou"]["blue"] == 0.0
    assert zero.summary()["mIoU"] == pytest.approx(skipped.summary()["mIoU"] * 2 / 3, abs=0.01)
    run(tmp_path, config(classes__absent="zero"), roles=SimpleNamespace(**{**vars(data()), "val": dataset}))
    scored = read_json(tmp_path / "stages/teacher/done.json")["scores"]["last"]
    assert scored["value"] == pytest.approx(sum(scored["iou"].values()) / 3, abs=0.01)


def test_the_last_batch_is_filled_up() -> None:
    """So that a compiled network sees one shape; what fills it up is not counted."""
    dataset, shapes = FakeDataset(7, 3), []

    def predict(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        shapes.append(len(images))
        return images.argmax(axis=1).astype(np.uint8)

    found = evaluate(predict, dataset, CLASSES, batch_size=3)
    assert shapes == [3, 3, 3] and found.matrix.sum() == sum(dataset.label(i).size for i in range(7))
    assert np.array_equal(found.matrix, evaluate(predict, dataset, CLASSES, batch_size=10).matrix)
    assert shapes[3:] == [7]  # no whole batch, nothing to fit


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_counts_every_pixel_once(batch_size: int) -> None:
    """Whatever the sizes and the batches; ignored pixels do not count."""
    dataset = Mixed(8, 3)
    seen: list[int] = []
    result = evaluate(brightest, dataset, CLASSES, batch_size=batch_size, watch=lambda i, *_: seen.append(i))
    expected = np.zeros((3, 3), np.int64)
    for index in range(8):
        prediction = brightest(dataset.image(index).transpose(2, 0, 1)[None], dataset.native_label(index).shape)[0]
        for true, found in zip(dataset.native_label(index).ravel(), prediction.ravel()):
            if true < 3:
                expected[true, found] += 1
    assert np.array_equal(result.matrix, expected) and seen == list(range(8))
    assert result.summary()["mIoU"] == pytest.approx(result.score.iou.mean(), abs=0.006)


def test_ranks_share_the_images() -> None:
    """Each takes every other one; their sum is the whole."""
    parts = []
    for rank in (0, 1):
        backend = FakeBackend()
        backend.rank, backend.world = rank, 2
        parts.append(evaluate(brightest, Mixed(7, 3), CLASSES, backend=backend).matrix)
    assert np.array_equal(sum(parts), evaluate(brightest, Mixed(7, 3), CLASSES).matrix)
    assert 0 < parts[0].sum() != parts[1].sum() > 0


def test_labels_of_another_size_on_request() -> None:
    """``label_size`` takes the resized label in place of the one on disk."""
    dataset = FakeDataset(2, 0)
    dataset.config = SimpleNamespace(label_size=(10, 8))
    dataset.label, dataset.native_label = dataset.native_label, None
    assert evaluate(lambda x, size: np.zeros((len(x), *size), np.uint8), dataset, CLASSES).matrix.sum() == 160


def test_nothing_to_score_is_no_number() -> None:
    """Not a perfect score, and still valid JSON."""
    record = Evaluation(np.zeros((3, 3), np.int64), CLASSES).record()
    assert record["value"] is None and set(record["iou"].values()) == {None}
    assert "NaN" not in json.dumps(record)


def test_reading_ahead_keeps_order_and_bounds() -> None:
    """Results come in order, few wait at a time, an error comes out at its place."""
    alive, most, lock = 0, 0, threading.Lock()

    def read(index: int) -> int:
        nonlocal alive, most
        with lock:
            alive += 1
            most = max(most, alive)
        if index == 40:
            raise UserError("damaged")
        return index

    found = []
    with pytest.raises(UserError, match="damaged"):
        for value in read_ahead(read, range(50), threads=3):
            found.append(value)
            with lock:
                alive -= 1
    assert found == list(range(40)) and most <= 5
    assert list(read_ahead(read, [])) == []


def test_files_of_an_evaluation(tmp_path: Path) -> None:
    """JSON and CSV hold the matrix with its names."""
    result = Evaluation(np.array([[5, 1, 0], [0, 7, 0], [2, 0, 0]]), CLASSES, ("blue",))
    write_scores(tmp_path / "out", result)
    record = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert record["confusion"] == result.matrix.tolist() and record["iou"]["red"] == pytest.approx(62.5)
    rows = list(csv.reader((tmp_path / "out" / "confusion.csv").open()))
    assert rows[0][1:] == ["red", "green", "blue"] and rows[1] == ["red", "5", "1", "0"]
    table = score_table({"torch": result, "mindspore": result})
    assert table.rows[0] == ("red", "62.50", "62.50", "+0.00") and table.header[-1] == "difference"


def test_overlay_of_one_image(tmp_path: Path) -> None:
    """With the train ids and their colours beside it."""
    labels = np.array([[0, 1], [2, 255]], np.uint8)
    path = write_overlay(tmp_path / "new", "street", np.full((2, 2, 3), 100, np.uint8), labels, CLASSES)
    assert path.name == "street_overlay.png" and read_png(path)[1, 1].tolist() == [100, 100, 100]
    assert np.array_equal(read_png(tmp_path / "new" / "street_train_ids.png"), labels)
    assert read_png(tmp_path / "new" / "street_colours.png")[0, 1].tolist() == [0, 255, 0]


def test_label_ids_need_official_classes(tmp_path: Path) -> None:
    """Custom classes have none."""
    with pytest.raises(UserError, match="no Cityscapes label ids"):
        write_prediction(tmp_path, "a.png", np.zeros((2, 2), np.uint8), CLASSES, "label_ids")


OFFICIAL = """
import json
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as official
official.args.evalInstLevelScore = False
official.main()
print(json.dumps(json.load(open(official.args.exportFile))["classScores"]))
"""


@pytest.mark.parametrize("name", ["cityscapes19", "cityscapes16"])
def test_agrees_with_the_official_evaluator(tmp_path: Path, name: str) -> None:
    """Saved label ids are found by it, and score what we say; some pixels are ignored, some classes absent."""
    classes, rng = CLASS_SETS[name], np.random.default_rng(5)
    absent = {31, 34} | ({22, 27} if name == "cityscapes16" else set())  # where it has classes that the 16 lack
    ids = np.array([label.id for label in CITYSCAPES_LABELS if label.id not in absent], np.uint8)
    for index, city in enumerate(["lindau", "lindau", "ulm"]):
        stem = f"{city}_{index:06d}_000019"
        write_png(tmp_path / f"gtFine/val/{city}/{stem}_gtFine_labelIds.png", rng.choice(ids, (24, 40)))
        write_png(tmp_path / f"leftImg8bit/val/{city}/{stem}_leftImg8bit.png", np.zeros((24, 40, 3), np.uint8))
    dataset = Cityscapes(DatasetConfig(layout="cityscapes", root=tmp_path, split="val"), classes)

    def guess(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        truth = dataset.native_label(next(order))
        random = rng.integers(0, len(classes), size)
        return np.where((truth < 255) & (rng.random(size) < 0.6), truth, random).astype(np.uint8)[None]

    order = iter(range(3))
    save = lambda i, labels, _: write_prediction(tmp_path / "results", dataset.names[i], labels, classes, "label_ids")
    ours = evaluate(guess, dataset, classes, watch=save)
    environment = {**os.environ, "CITYSCAPES_DATASET": str(tmp_path), "CITYSCAPES_RESULTS": str(tmp_path / "results")}
    done = subprocess.run([sys.executable, "-c", OFFICIAL], env=environment, capture_output=True, text=True, check=True)
    theirs = json.loads(done.stdout.splitlines()[-1])
    for label, value in zip(classes.names, ours.score.iou):
        assert value / 100 == pytest.approx(theirs[label], nan_ok=True)
    assert (tmp_path / "results" / "ulm" / "ulm_000002_000019_pred_labelIds.png").exists()


def test_names_of_predictions() -> None:
    """Of Cityscapes and of own data."""
    path = prediction_path(Path("out"), "ulm/ulm_000000_000019_leftImg8bit.png", "train_ids")
    assert path == Path("out/ulm/ulm_000000_000019_pred_labelTrainIds.png")
    assert prediction_path(Path("out"), "day/0001.jpg", "label_ids") == Path("out/day/0001_pred_labelIds.png")
