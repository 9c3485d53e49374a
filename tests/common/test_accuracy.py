"""Scores of classification, and everything that shows them; no framework."""

from types import SimpleNamespace

import numpy as np
import pytest

from common.accuracy import GUESSES, accuracy, place_of_truth, ranked
from common.data.labels import ClassSet, class_set
from common.disagreement import ClassDisagreement
from common.errors import UserError
from common.evaluate import evaluate, true_label
from common.examples import ClassExamples, read_classes
from common.export import class_lines, score_table
from common.pictures import captioned, grid, read_png
from common.preview import batch_sheet
from common.report.class_pictures import class_sheets, confusion_picture
from common.schema import ClassesConfig

NAMES = ("apple", "bus", "cat", "dog", "egg", "fan", "gate")
CLASSES = class_set(ClassesConfig(set="custom", names=NAMES))


class Images:
    """Images of one grey value each, which a scorer turns into scores; a dataset for classification."""

    task = "classification"

    def __init__(self, truths: list[int], guesses: list[int]):
        self.truths, self.guesses, self.names = truths, guesses, [f"{i}.png" for i in range(len(truths))]

    def __len__(self) -> int:
        return len(self.truths)

    def image(self, index: int) -> np.ndarray:
        """Return an image whose value is what is guessed; every third one is wider."""
        return np.full((6, 8 + index % 3, 3), self.guesses[index], np.uint8)

    def label(self, index: int) -> int:
        """Return the class."""
        return self.truths[index]


def guess(images: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Rank the class of the grey value first, then the classes behind it in a circle."""
    assert size == ()
    first = images[:, 0, 0, 0].astype(int)
    return (first[:, None] + np.arange(GUESSES)) % len(NAMES)


def test_ranking_keeps_the_first_of_equal_scores() -> None:
    """As argmax does; fewer classes than asked for are all ranked."""
    scores = np.array([[0.5, 2.0, 2.0, -1.0], [1.0, 1.0, 1.0, 1.0]])
    assert ranked(scores).tolist() == [[1, 2, 0, 3], [0, 1, 2, 3]] and ranked(scores, 1).tolist() == [[1], [0]]
    assert [place_of_truth(label, np.array([4, 2, 0])) for label in (4, 0, 6)] == [0, 2, GUESSES]


@pytest.mark.parametrize("batch_size", [1, 4])
def test_every_image_counts_once(batch_size: int) -> None:
    """Whatever the batches; the truth one place behind the guess counts for top-3, four places behind for top-5."""
    data = Images([0, 0, 1, 2, 3, 3], [0, 6, 1, 5, 3, 3])  # 2 of 6 wrong: places 1 and 4
    seen: list[int] = []
    found = evaluate(guess, data, CLASSES, batch_size=batch_size, watch=lambda i, *_: seen.append(i))
    assert seen == list(range(6)) and found.matrix.sum() == 6 and found.matrix[0, 6] == found.matrix[2, 5] == 1
    assert found.summary() == {"accuracy": 66.67, "mean accuracy": 62.5, "top-3": 83.33, "top-5": 100.0}
    assert found.record()["recall"] == {**dict.fromkeys(NAMES), "apple": 50, "bus": 100, "cat": 0, "dog": 100}
    assert found.record()["value"] == 66.67 and true_label(data, 3).shape == ()


def test_nothing_scores_nothing() -> None:
    """An empty dataset is NaN, in JSON null; a class that is left out must be there."""
    empty = evaluate(guess, Images([], []), CLASSES)
    assert np.isnan(empty.score.main()) and empty.record()["summary"]["mean accuracy"] is None
    with pytest.raises(UserError, match="no class is called 'bicycle'"):
        accuracy(np.zeros((7, 7), np.int64), np.zeros(GUESSES + 1, np.int64), CLASSES, ["bicycle"])


def test_tables_and_lines() -> None:
    """Per class and in the mean, side by side; one line an image."""
    one, other = (evaluate(guess, Images([0, 1, 1], g), CLASSES) for g in ([0, 1, 1], [0, 1, 2]))
    table = score_table({"torch": one, "mindspore": other})
    assert table.title == "Accuracy in percent" and table.rows[1] == ("bus", "100.00", "50.00", "+50.00")
    assert table.rows[7][0] == "accuracy" and table.rows[7][3] == "+33.33"
    assert class_lines(["a.png"], np.array([[0.1, 0.7, 0.2]]), CLASSES) == ["a.png bus 0.7000"]
    assert class_lines(["a b.png"], np.array([[0.1, 0.7, 0.2]]), CLASSES) == ["a b.png\tbus\t0.7000"]


def test_disagreement_of_classes(tmp_path) -> None:
    """Counted by image; the images on which two sides differ are shown with both classes."""
    found, data = ClassDisagreement(tmp_path, CLASSES), Images([0, 1, 2, 3], [0, 1, 2, 3])
    for name, guesses in (("torch", [0, 1, 2, 3]), ("onnx", [0, 1, 5, 3])):
        evaluate(guess, Images(data.truths, guesses), CLASSES, watch=found.watcher(name))
    assert found.table().rows == [("torch, onnx", "cat / fan", "1", "25.0000")] and not list(tmp_path.iterdir())
    assert found.record()["onnx"]["worst"] == [{"image": 2, "different": 1}]
    assert found.pictures(data.image)["torch_onnx.png"].shape[2] == 3


def test_examples_and_their_pictures(tmp_path) -> None:
    """Spread over the dataset; the sheet has a tile for each, the confusion a cell for each pair of classes."""
    data = Images([k % 7 for k in range(60)], [3] * 60)
    keep = ClassExamples(data, tmp_path / "run", tmp_path / "stage").keep
    found = evaluate(guess, data, CLASSES, watch=keep)
    inputs = sorted((tmp_path / "run/input").glob("*.png"))
    assert len(inputs) == ClassExamples.COUNT and read_classes(tmp_path / "stage/00059.json") == [3, 4, 5, 6, 0]
    assert read_classes(tmp_path / "run/truth/00059.json") == [3] and read_png(inputs[0]).shape[1] == 112
    row = SimpleNamespace(examples=tmp_path / "stage", last=found.record())
    assert [name for name, _ in class_sheets(inputs, {"a": row}, CLASSES)] == ["examples", "confusion-1"]
    alone = confusion_picture(np.eye(2, dtype=np.int64), ["no", "yes"], "t")
    off = confusion_picture(1 - np.eye(2, dtype=np.int64), ["no", "yes"], "t")
    greener = [int(picture[60, -60, 1]) - int(picture[60, -60, 0]) for picture in (alone, off)]
    assert alone.shape == off.shape and (alone != off).any() and greener[0] != greener[1]
    assert confusion_picture(np.ones((345, 345), np.int64), ["x"] * 345, "many").shape[0] > 345


def test_captions_are_cut_to_the_width() -> None:
    """A long name does not widen its tile."""
    tile = captioned(np.zeros((10, 20, 3), np.uint8), [("a very long name of a class", (0, 0, 0))], 60)
    assert tile.shape[1] == 60


def test_a_grid_lays_pictures_in_rows() -> None:
    """Four white pixels between them and around; the last row may be short."""
    tiles = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((3, 3, 3), np.uint8)
    page = grid(tiles, 3)
    assert page.shape == (2 * 7 + 4, 3 * 7 + 4, 3)
    assert [page[top, left, 0] for top, left in ((4, 4), (4, 11), (11, 4), (11, 18), (3, 4))] == [0, 1, 3, 255, 255]
    with pytest.raises(ValueError, match="no pictures"):
        grid([], 2)


def test_batches_show_their_classes() -> None:
    """Names stand below labelled images; unlabelled ones stand alone."""
    image = np.zeros((2, 3, 28, 28), np.uint8)
    batch = {"source_image": image, "source_label": np.array([1, 6], np.int32), "unlabelled_image": image}
    picture = batch_sheet(batch, CLASSES)
    assert picture.shape[0] > 2 * 28 and picture.shape[1] > 90 + 28


def test_many_classes_have_names_and_colours() -> None:
    """More than a label map could tell apart."""
    many = ClassesConfig(set="custom", names=[f"class {i}" for i in range(345)])
    assert isinstance(class_set(many), ClassSet) and len(class_set(many)) == 345
