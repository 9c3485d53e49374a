"""Pictures of classification for the report: examples with what was guessed, and confusion matrices."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from common.data.labels import ClassSet
from common.examples import read_classes
from common.pictures import captioned, grid, read_png
from common.report.collect import Row

_BLACK, _RIGHT, _WRONG = (20, 20, 20), (23, 110, 50), (200, 30, 30)
_COLUMNS, _WIDTH = 8, 150  # of the examples; pixels
_NUMBERED = 16  # up to so many classes, cells hold their number


def class_sheets(
    inputs: Sequence[Path], columns: Mapping[str, Row], classes: ClassSet
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (file name, picture): the examples under their truth and guesses, and the confusion of each column.

    Args:
        inputs: Kept images.
        columns: Caption -> row of a run.
        classes: Give the names.
    """
    names = classes.names
    yield "examples", grid([_example(path, columns, names) for path in inputs], _COLUMNS)
    for number, (caption, row) in enumerate(columns.items(), 1):
        yield f"confusion-{number}", confusion_picture(np.array(row.last["confusion"]), names, caption)


def confusion_picture(matrix: np.ndarray, names: Sequence[str], title: str) -> np.ndarray:
    """Draw a confusion matrix: the darker, the larger the share of the true class (row); the diagonal is right.

    Args:
        matrix: (C, C) counts, rows true, columns predicted.
        names: Of the classes.
        title: One line above.
    Returns:
        (H, W, 3) uint8 RGB.
    """
    count, cell = len(matrix), max(3, min(34, 560 // len(matrix)))
    written = cell >= 12
    font = ImageFont.load_default(11)
    left = int(max(map(font.getlength, names))) + 10 if written else 8
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    width = max(left + count * cell + 8, int(font.getlength(title)) + 16)
    canvas = Image.new("RGB", (width, 40 + count * cell + 8), "white")
    draw = ImageDraw.Draw(canvas)
    draw.text((8, 4), title, fill=_BLACK, font=font)
    draw.text((left, 22), "predicted, in the same order", fill=_BLACK, font=font)
    for row in range(count):
        y = 40 + row * cell
        if written:
            draw.text((left - 6, y + cell // 2), names[row], fill=_BLACK, font=font, anchor="rm")
        for column in range(count):
            box = (left + column * cell, y, left + (column + 1) * cell - 1, y + cell - 1)
            draw.rectangle(box, fill=_shade(shares[row, column], row == column))
            if count <= _NUMBERED and matrix[row, column]:
                middle = (left + column * cell + cell // 2, y + cell // 2)
                ink = (255, 255, 255) if shares[row, column] > 0.5 else _BLACK
                draw.text(middle, str(matrix[row, column]), fill=ink, font=font, anchor="mm")
    return np.asarray(canvas)


def _shade(share: float, right: bool) -> tuple[int, int, int]:
    """Return white for 0, green (right) or red (wrong) for 1."""
    full = np.array(_RIGHT if right else _WRONG)
    return tuple(int(value) for value in np.round(245 + (full - 245) * share))


def _example(path: Path, columns: Mapping[str, Row], names: Sequence[str]) -> np.ndarray:
    """Return one example: the image above its true class and what each column guessed."""
    (truth,) = read_classes(path.parents[1] / "truth" / f"{path.stem}.json")
    lines = [(f"truth: {names[truth]}", _BLACK)]
    for caption, row in columns.items():
        guess = read_classes(row.examples / f"{path.stem}.json")[0]
        lines.append((f"{caption}: {names[guess]}", _RIGHT if guess == truth else _WRONG))
    return captioned(read_png(path), lines, _WIDTH)
