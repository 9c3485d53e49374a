"""Shares, exchanged classes and pictures of pixels on which evaluations disagree."""

from pathlib import Path

import numpy as np

from common.data.labels import class_set
from common.disagreement import Disagreement
from common.schema import ClassesConfig

CLASSES = class_set(ClassesConfig(set="custom", names=("red", "green", "blue")))


def compared(folder: Path, flips: list[int]) -> Disagreement:
    """Two evaluations of images of 4x5 pixels, of which the second flips some from class 0 to 2."""
    found = Disagreement(folder, CLASSES)
    first, second = found.watcher("torch"), found.watcher("onnx")
    for index in range(len(flips)):
        labels = np.zeros((4, 5), np.uint8)
        first(index, labels, labels)
    for index, count in enumerate(flips):
        labels = np.zeros((4, 5), np.uint8)
        labels.reshape(-1)[:count] = 2
        second(index, labels, labels)
    return found


def test_shares_and_worst_images(tmp_path):
    found = compared(tmp_path, [0, 3, 1, 7, 2, 5, 0])
    record = found.record()["onnx"]
    assert (record["pixels"], record["different"], record["against"]) == (140, 18, "torch")
    assert record["matrix"] == [[122, 0, 18], [0, 0, 0], [0, 0, 0]]
    assert [entry["image"] for entry in record["worst"]] == [3, 5, 1, 4]
    assert found.table().rows == [("torch, onnx", "red / blue", "18", f"{100 * 18 / 140:.4f}")]
    assert len([path for path in tmp_path.iterdir() if path.name.startswith("onnx")]) == 4


def test_pictures_show_where(tmp_path):
    found = compared(tmp_path, [0, 3])
    (picture,) = found.pictures(lambda index: np.full((4, 5, 3), 9, np.uint8)).values()
    assert picture.ndim == 3 and (picture == np.uint8([210, 30, 30])).all(-1).sum() == 3


def test_a_single_pixel_can_be_seen_on_a_large_map(tmp_path):
    found = Disagreement(tmp_path, CLASSES)
    labels = np.zeros((40, 256), np.uint8)
    found.watcher("torch")(0, labels, labels)
    other = labels.copy()
    other[0, 9] = 1
    found.watcher("onnx")(0, other, labels)
    (picture,) = found.pictures(lambda index: np.full((40, 256, 3), 9, np.uint8)).values()
    assert (picture == np.uint8([210, 30, 30])).all(-1).sum() == 3 * 5  # at the upper border


def test_equal_evaluations_have_no_pictures(tmp_path):
    found = compared(tmp_path, [0, 0])
    assert found.pictures(lambda index: np.zeros((4, 5, 3), np.uint8)) == {}
    assert found.table().rows == [("torch, onnx", "-", "0", "0.0000")]
