"""The pass that pseudo-labels a set of images: exact thresholds over all of them, one batch in memory at a time.

Confidences are kept on disk between the passes (5 bytes a pixel for ``bdl``, about 1.3 for ``cbst``), so that every
image is predicted once (``cbst``: twice). A pass that was cut short goes on where it stopped.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal
from zipfile import BadZipFile

import numpy as np
from pydantic import PositiveInt

from common.errors import UserError
from common.pseudo import bdl, cbst
from common.pseudo.folder import THRESHOLDS, check_names, write_pseudo_label, write_whole
from common.pseudo.order import OrderStatistics, Stream
from common.pseudo.statistics import Quality
from common.schema import Fraction, Strict

CBST_PORTIONS = (0.2, 0.05, 0.5)  # first round, added in every later round, at most
Predictions = Iterable[tuple[str, np.ndarray]]  # name of the image, its probabilities (C, H, W) float32
Predict = Callable[[Sequence[str]], Predictions]
Pair = tuple[np.ndarray, np.ndarray]  # class ids and confidences of one image


class PseudoSettings(Strict):
    """Options of pseudo-labels; the defaults are the paper's."""

    rule: Literal["bdl", "cbst"] = "bdl"  # per-class portion with a cap; class-balanced self-training
    portion: Fraction | None = None  # share of each class to keep; None: bdl 0.5; cbst 0.2 + 0.05 a round, at most 0.5
    cap: Fraction | None = 0.9  # bdl: a confidence that is always enough; None: no cap
    form: cbst.Form = "crst"  # cbst: the authors' PyTorch code, or the original mxnet code
    every: PositiveInt = 4  # cbst: every n-th pixel of a class counts in its threshold

    def portion_in(self, number: int) -> float:
        """Return the portion in round ``number``, counted from 1."""
        if self.portion is not None:
            return self.portion
        first, added, most = CBST_PORTIONS
        return 0.5 if self.rule == "bdl" else min(first + added * (number - 1), most)

    @property
    def output(self) -> str:
        """Where the softmax stands: ``bdl`` takes it at the network's stride, ``cbst`` after upsampling."""
        return "coarse_probabilities" if self.rule == "bdl" else "probabilities"


def write_pseudo_labels(
    folder: Path,
    scratch: Path,
    names: Sequence[str],
    predict: Predict,
    classes: int,
    settings: PseudoSettings,
    number: int = 1,
    truth: Callable[[str], np.ndarray | None] = lambda name: None,
) -> dict:
    """Pseudo-label images into a folder.

    Args:
        folder: Receives ``CITY/NAME_pseudo_trainIds.png`` and ``thresholds.json``.
        scratch: Holds confidences between the passes; removed at the end. What a killed pass left there is used.
        names: The images, which count in the thresholds together.
        predict: Given names, yields each with its probabilities (``settings.output`` says of which kind).
        classes: Number of classes C.
        settings: The rule and its options.
        number: Number of the round, from 1.
        truth: Given a name, the true label (H, W) if there is one; for the statistics only.
    Returns:
        What ``thresholds.json`` holds: thresholds, and how much of each class was kept and is right.
    Raises:
        UserError: If there is no image, a prediction is not finite, or two images would share a file.
    """
    if not names:
        raise UserError("pseudo-labels: there is no unlabelled image to label")
    check_names(names)
    for name, probabilities in predict([name for name in names if not _scratch_file(scratch, name).exists()]):
        label, confidence = label_and_confidence(name, probabilities)
        if settings.rule == "cbst":
            label, confidence = cbst.subsample(label, confidence, settings.every)
        _keep(_scratch_file(scratch, name), label, confidence)

    def kept() -> Iterator[Pair]:
        return (_read(_scratch_file(scratch, name)) for name in names)

    found, limits = _thresholds(settings, kept, classes, number)
    quality = Quality(classes)
    for name, label in _labels(settings, limits, names, kept, predict):
        write_pseudo_label(folder, name, label)
        quality.add(label, truth(name))
    report = {"rule": settings.rule, "portion": settings.portion_in(number), "thresholds": limits.tolist()}
    report |= {"thresholds_raw": found.values.tolist(), "class_counts": found.counts.tolist()}
    report |= quality.summary(found.counts if settings.rule == "bdl" else None)
    write_whole(folder / THRESHOLDS, lambda file: file.write(json.dumps(report, indent=1).encode()))
    shutil.rmtree(scratch)
    return report


def label_and_confidence(name: str, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the predicted class, (H, W) uint8, the first on ties, and its probability, (H, W) float32.

    Args:
        name: Of the image, for the message.
        probabilities: (C, H, W).
    Raises:
        UserError: If a probability is not finite: the network is broken.
    """
    confidence = probabilities.max(axis=0).astype(np.float32)
    if not np.isfinite(confidence).all():
        raise UserError(f"pseudo-labels: the prediction of {name} is not finite; the student that made it is unusable")
    return probabilities.argmax(axis=0).astype(np.uint8), confidence


def _thresholds(
    settings: PseudoSettings, kept: Stream, classes: int, number: int
) -> tuple[OrderStatistics, np.ndarray]:
    """Return what the rule found, and the thresholds that it applies."""
    portion = settings.portion_in(number)
    if settings.rule == "bdl":
        found = bdl.thresholds(kept, classes, portion)
        return found, bdl.capped(found.values, settings.cap)
    found = cbst.thresholds(kept, classes, portion, settings.form)
    return found, found.values


def _labels(
    settings: PseudoSettings, limits: np.ndarray, names: Sequence[str], kept: Stream, predict: Predict
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the pseudo-label of every image: from what was kept (bdl), or from another prediction (cbst)."""
    if settings.rule == "bdl":
        yield from ((name, bdl.select(*pair, limits)) for name, pair in zip(names, kept()))
    else:
        yield from ((name, cbst.select(probabilities, limits)) for name, probabilities in predict(names))


def _scratch_file(scratch: Path, name: str) -> Path:
    return scratch / f"{name}.npz"


def _keep(path: Path, label: np.ndarray, confidence: np.ndarray) -> None:
    write_whole(path, lambda file: np.savez(file, label=label, confidence=confidence))


def _read(path: Path) -> Pair:
    try:
        with np.load(path, allow_pickle=False) as file:
            return file["label"], file["confidence"]
    except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
        raise UserError(f"{path}: damaged ({error}); remove it and run the stage again") from None
