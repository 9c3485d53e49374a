"""Writes what an evaluation found: scores, confusion matrix, predictions, overlays of single images."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from common.accuracy import ranked
from common.data.labels import ClassSet
from common.evaluate import ClassEvaluation, Evaluation
from common.pictures import coloured, overlay, write_png
from common.report.results import MEASURES
from common.report.tables import Table, difference, number

Ids = Literal["train_ids", "label_ids"]
_ENDINGS = {"train_ids": "pred_labelTrainIds", "label_ids": "pred_labelIds"}


def prediction_path(folder: Path, name: str, ids: Ids) -> Path:
    """Return where the prediction of an image is written.

    Below the image's own folder (its city), under a name that begins as the image's does: that is how the official
    Cityscapes evaluator finds predictions (``evalPixelLevelSemanticLabeling.py``, ``CITYSCAPES_RESULTS``).

    Args:
        folder: Root of the predictions.
        name: Name of the image below its dataset, for example ``lindau/lindau_000000_000019_leftImg8bit.png``.
        ids: What the file holds.
    """
    image = PurePosixPath(name)
    return folder / image.parent / f"{image.stem.removesuffix('_leftImg8bit')}_{_ENDINGS[ids]}.png"


def write_prediction(folder: Path, name: str, labels: np.ndarray, classes: ClassSet, ids: Ids) -> None:
    """Write predicted train ids, (H, W) uint8, as they are or as official label ids.

    Raises:
        UserError: If label ids are asked for and the classes have none.
    """
    write_png(prediction_path(folder, name, ids), classes.to_label_ids(labels) if ids == "label_ids" else labels)


def write_overlay(folder: Path, stem: str, image: np.ndarray, labels: np.ndarray, classes: ClassSet) -> Path:
    """Write ``STEM_overlay.png``, ``STEM_colours.png`` and ``STEM_train_ids.png``; return the first.

    Args:
        folder: Made if it is not there.
        stem: Beginning of the names.
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) uint8 train ids.
        classes: Gives the colours.
    """
    palette = classes.palette()
    write_png(folder / f"{stem}_train_ids.png", labels)
    write_png(folder / f"{stem}_colours.png", coloured(labels, palette))
    path = folder / f"{stem}_overlay.png"
    write_png(path, overlay(image, labels, palette))
    return path


def class_lines(names: Sequence[str], probabilities: np.ndarray, classes: ClassSet) -> list[str]:
    """Return ``path label confidence`` for each image: the name of its class, and the probability of it.

    The three stand apart by a blank, by a tab where path or name holds one.

    Args:
        names: Paths of N images.
        probabilities: (N, C) float32.
        classes: Give the names.
    """
    chosen = ranked(probabilities, 1)[:, 0]
    rows = [(name, classes.names[k], f"{row[k]:.4f}") for name, row, k in zip(names, probabilities, chosen)]
    return [("\t" if any(" " in part for part in row) else " ").join(row) for row in rows]


def write_scores(folder: Path, evaluation: Evaluation | ClassEvaluation) -> None:
    """Write ``scores.json`` (everything) and ``confusion.csv`` (rows true, columns predicted; pixels, or images)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scores.json").write_text(json.dumps(evaluation.record(), indent=1), encoding="utf-8")
    with (folder / "confusion.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["true \\ predicted", *evaluation.classes.names])
        writer.writerows([name, *row] for name, row in zip(evaluation.classes.names, evaluation.matrix.tolist()))


def score_table(evaluations: dict[str, Evaluation | ClassEvaluation]) -> Table:
    """Return one line a class and mean, one column an evaluation, and the differences from the first one.

    A mean that an absent class makes meaningless is followed by the mean over the classes that are there.
    """
    names, found = list(evaluations), list(evaluations.values())
    gaps = ["difference"] if len(names) == 2 else [f"{names[0]} - {name}" for name in names[1:]]
    measure = found[0].MEASURE
    table = Table(f"{MEASURES[measure]} in percent", ["class", *names, *gaps])
    records = [evaluation.record() for evaluation in found]
    for section, note in ((measure, ""), ("summary", ""), ("means_of_present", ", present classes")):
        for name in records[0].get(section, ()):
            values = [record[section][name] for record in records]
            if not note or values != [record["summary"][name] for record in records]:
                table.add(name + note, *map(number, values), *(difference(values[0], value) for value in values[1:]))
        table.end_group()
    return table
