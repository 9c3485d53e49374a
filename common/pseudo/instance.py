"""The pass that labels the target with IAST's selector, or with one of the rules that it is compared with.

One batch of images is in memory at a time and every image is predicted once (cbst: twice). A pass that was cut short
goes on behind its last whole batch: thresholds stand in a journal beside the labels.

G predicts in float32, as in the official code, which switches half precision on when the labels are made. Only the
order statistics round its confidences, to float16 (``ias.update``): they and the comparison with a threshold are exact
for those confidences, which logits of half precision would not give.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from common.data.labels import ClassSet
from common.data.torch_order import permutation
from common.data.transforms import resize_image, resize_label, stack_images
from common.errors import UserError
from common.evaluate import read_ahead
from common.pictures import coloured, fitted, sheet, write_png
from common.pseudo import ias
from common.pseudo.class_bank import BANK, BankBuilder
from common.pseudo.folder import THRESHOLDS, check_names, read_any_pseudo_label, write_pseudo_label, write_whole
from common.pseudo.predictions import Predictor
from common.pseudo.produce import Predictions, PseudoSettings, write_pseudo_labels
from common.pseudo.statistics import JOURNAL, Quality
from common.schema import Fraction, Size, Strict
from common.stage import StageContext

SHOWN, PICTURE_WIDTH = 4, 320  # images on the sheet for the report, pixels
USUAL = (0.2, 0.6)  # share of the pixels that a sound round labels; the paper: 0.365


class InstanceSettings(Strict):
    """Options of pseudo-labels; the defaults are those of the authors' first round."""

    rule: Literal["ias", "constant", "none", "cbst"] = "ias"  # constant: one threshold; none: every pixel
    alpha: Fraction = 0.2  # ias: share that is kept of a class whose threshold is 1; cbst: share kept of every class
    beta: Fraction = 0.9  # ias: weight of the past in a threshold
    gamma: NonNegativeFloat = 8.0  # ias: how much less is kept of classes with low thresholds
    initial: Fraction = 0.9  # ias: every threshold at the start of a round
    constant: Fraction = 0.9
    size: Size | None = None  # (width, height) of the images that G sees, Lanczos; None: as data.target has them
    batch_size: PositiveInt = 2  # images that share one local threshold; 1 is the paper's
    scales: tuple[PositiveFloat | Size, ...] = Field((1.0,), min_length=1)  # G's passes; the authors use one
    flip: bool = False
    bank: NonNegativeInt = 0  # images that are remembered of each class, for copy-paste; 0: no bank is written (HIAST)
    folder: Path | None = None  # take the labels from there instead, ours or the official code's


def instance_labels(context: StageContext, predictor: Predictor, settings: InstanceSettings) -> dict:
    """Write ``context.folder``: the labels, ``thresholds.json``, their journal and, if asked, ``class_samples.json``.

    Args:
        context: The stage's data; its target images are labelled, in the order of PyTorch's seed 0.
        predictor: G.
        settings: The rule.
    Returns:
        What ``thresholds.json`` holds: thresholds, and how much of each class was kept and is right.
    Raises:
        UserError: If a prediction is not finite, or two images would share a file.
    """
    if settings.folder:
        return {"folder": str(settings.folder)}
    target = context.data.target
    names = [target.names[index] for index in permutation(len(target))]
    check_names(names)
    images = _Images(target, settings)
    scratch, classes = context.folder.with_name("scratch"), len(context.data.classes)  # a killed pass finds it again
    if settings.rule == "cbst":
        if settings.bank:
            raise UserError("method.pseudo.bank: rule cbst fills none; use ias, constant or none, or set bank to 0")
        rule = PseudoSettings(rule="cbst", portion=settings.alpha)
        predict = partial(_probabilities, images, predictor, settings)
        return write_pseudo_labels(context.folder, scratch, names, predict, classes, rule, truth=images.truth)
    report = _stream(scratch, names, images, predictor, settings, classes)
    write_png(scratch / "pictures" / "labels.png", _examples(scratch, names[:SHOWN], images, context.data.classes))
    shutil.copytree(scratch, context.folder, dirs_exist_ok=True)
    shutil.rmtree(scratch)
    write_whole(context.folder / THRESHOLDS, lambda file: file.write(json.dumps(report, indent=1).encode()))
    return report


class _Images:
    """Target images, and their truth where there is one, at the size that G sees."""

    def __init__(self, dataset: Any, settings: InstanceSettings):
        self._dataset, self._size = dataset, settings.size
        self._place = {name: index for index, name in enumerate(dataset.names)}

    def image(self, name: str) -> np.ndarray:
        """Return an image, (H, W, 3) uint8 RGB."""
        index = self._place[name]
        if self._size is None:
            return self._dataset.image(index)
        return resize_image(self._dataset.native_image(index), self._size, "lanczos")

    def truth(self, name: str) -> np.ndarray | None:
        """Return the true label, (H, W) uint8, or None."""
        found = self._dataset.truth(name)
        if found is None or self._size is None:
            return found
        return resize_label(found, self._size)

    def batches(self, names: Sequence[str], size: int) -> Iterator[tuple[list[str], np.ndarray]]:
        """Yield names and images (N, 3, H, W) uint8, as many as ``size``; the last may be fewer."""
        ahead = read_ahead(self.image, names)
        for first in range(0, len(names), size):
            some = list(names[first : first + size])
            images = [next(ahead) for _ in some]
            if len({image.shape for image in images}) > 1:
                raise UserError("method.pseudo.size is missing: the target's images differ in size")
            yield some, stack_images(images)


def _probabilities(
    images: _Images, predictor: Predictor, settings: InstanceSettings, names: Sequence[str]
) -> Predictions:
    """Yield each image with its probabilities (C, H, W)."""
    for some, batch in images.batches(names, settings.batch_size):
        yield from zip(some, predictor.scores(batch, batch.shape[2:], "probabilities"))


def _predicted(predictor: Predictor, batch: np.ndarray, settings: InstanceSettings) -> tuple[np.ndarray, np.ndarray]:
    """Return class and confidence of every pixel, (N, H, W) uint8 and float32."""
    if len(settings.scales) == 1 and not settings.flip:  # one pass: the softmax of its logits, here, in one go
        logits = predictor.scores(batch, batch.shape[2:], "input_logits")
        label, confidence = (np.stack(parts) for parts in zip(*map(ias.label_and_confidence, logits)))
        return label, confidence
    probabilities = predictor.scores(batch, batch.shape[2:], "probabilities")
    return probabilities.argmax(axis=1).astype(np.uint8), np.minimum(probabilities.max(axis=1), np.float32(1))


def _stream(
    scratch: Path,
    names: Sequence[str],
    images: _Images,
    predictor: Predictor,
    settings: InstanceSettings,
    classes: int,
) -> dict:
    """Label batch after batch into ``scratch``, behind those that its journal holds; return the report."""
    start = {"ias": settings.initial, "constant": settings.constant, "none": 0.0}[settings.rule]
    done, thresholds, quality = _Journal(scratch), ias.initial_thresholds(classes, start), Quality(classes)
    predicted, bank = np.zeros(classes, np.int64), BankBuilder(classes, settings.bank) if settings.bank else None
    for entry in done.entries:
        thresholds, predicted = np.array(entry["thresholds"]), predicted + np.array(entry["counts"])
        quality.restore(entry["quality"])
        if bank:
            bank.restore(entry["bank"])
    left = names[len(done.entries) * settings.batch_size :]
    for some, batch in images.batches(left, settings.batch_size):
        label, confidence = _predicted(predictor, batch, settings)
        if not np.isfinite(confidence).all():
            raise UserError(f"pseudo-labels: the prediction of {some[0]} is not finite; the generator is unusable")
        found = ias.update(label, confidence, thresholds, settings.alpha, settings.beta, settings.gamma)
        thresholds = found.thresholds if settings.rule == "ias" else thresholds
        predicted += found.counts
        chosen = ias.select(label, confidence, thresholds)
        for name, kept in zip(some, chosen):
            write_pseudo_label(scratch, name, kept)
            quality.add(kept, images.truth(name))
        entry = {"thresholds": thresholds.tolist(), "counts": found.counts.tolist(), "quality": quality.counts()}
        done.add({**entry, "bank": bank.add(some, chosen, confidence)} if bank else entry)
    if bank:
        write_whole(scratch / BANK, lambda file: file.write(json.dumps(bank.content()).encode()))
    report = {"rule": settings.rule, "thresholds": thresholds.tolist(), **quality.summary(predicted)}
    if settings.rule == "ias" and not USUAL[0] <= report["kept"] <= USUAL[1]:
        report["note"] = f"{report['kept']:.0%} of the pixels were kept; 20 to 60 % are usual, the paper has 36.5 %"
    return report


def _examples(folder: Path, names: Sequence[str], images: _Images, classes: ClassSet) -> np.ndarray:
    """Return a sheet of images with their pseudo-labels, and their truth where all have one."""
    palette = classes.palette()
    truths = [images.truth(name) for name in names]
    shown = not any(truth is None for truth in truths)
    rows = []
    for name, truth in zip(names, truths):
        image, label = images.image(name), read_any_pseudo_label(folder, name)
        size = PICTURE_WIDTH, max(round(image.shape[0] * PICTURE_WIDTH / image.shape[1]), 1)
        maps = [coloured(fitted(one, size), palette) for one in (label, *((truth,) if shown else ()))]
        rows.append([fitted(image, size), *maps])
    return sheet(rows, ["input", "pseudo-label", "truth"][: 2 + shown])


class _Journal:
    """The lines of ``thresholds.jsonl``: what is known after each batch. A line that was cut short does not count."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / JOURNAL
        text = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        self.entries = [json.loads(line) for line in whole.splitlines()]
        self._path.write_text(whole, encoding="utf-8")

    def add(self, entry: dict) -> None:
        """Append the line of a batch, whose labels have been written."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
