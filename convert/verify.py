"""The parity certificate: the same images through two networks, and what came out of each."""

import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from common.data.check import check
from common.data.labels import class_set
from common.data.roles import open_dataset
from common.evaluate import evaluate
from common.tolerances import LOGITS, LOGITS_ONNX, PIXELS
from convert.sides import Side, same_input


@dataclass
class Certificate:
    """What was compared and what was found; relative errors are against the largest magnitude of the second side."""

    sides: list[dict[str, str]]
    inputs: list[str]
    worst: float  # largest relative error of a logit
    median: float  # median relative error
    equal: float  # share of pixels, or of classified images, with the same largest logit
    tolerance: float
    task: str = "segmentation"
    scores: dict[str, float] = field(default_factory=dict)  # side -> mIoU or accuracy, percent, if data was given
    deep: dict | None = None
    host: str = platform.platform()
    time: str = ""

    @property
    def holds(self) -> bool:
        """Whether everything lies within the tolerance."""
        shallow = self.worst <= self.tolerance and 1.0 - self.equal <= PIXELS
        return bool(shallow and (self.deep is None or self.deep["holds"]))

    def record(self) -> dict:
        """Return everything as JSON values."""
        return {"holds": self.holds, **asdict(self)}


def verify(first: Side, second: Side, images: Sequence[np.ndarray], named: Sequence[str], data: bool) -> Certificate:
    """Compare two networks.

    Args:
        first, second: What to compare.
        images: (3, H, W) uint8 RGB each.
        named: What the images are, for the certificate.
        data: Also score both on the validation set of the first one's configuration.
    Raises:
        UserError: If the two see their images differently.
    """
    same_input(first, second)
    gaps, equal, pixels = [], 0, 0
    for image in images:
        got, want = first.logits(image[None]), second.logits(image[None])
        if got.shape != want.shape:
            gaps.append(np.array([np.inf]))
            pixels += want[:, 0].size
            continue
        gaps.append((np.abs(got.astype(np.float64) - want) / max(np.abs(want).max(), 1e-30)).reshape(-1))
        gaps[-1][np.isnan(gaps[-1])] = np.inf  # NaN is no agreement
        equal += int((got.argmax(1) == want.argmax(1)).sum())
        pixels += want[:, 0].size
    every = np.concatenate(gaps)
    return Certificate(
        sides=[first.facts, second.facts],
        inputs=list(named),
        worst=float(every.max()),
        median=float(np.median(every)),
        equal=equal / pixels,
        tolerance=LOGITS_ONNX if "onnx" in (first.name, second.name) else LOGITS,
        task=first.config.task,
        scores=_scores(first, second) if data else {},
        time=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    )


def _scores(first: Side, second: Side) -> dict[str, float]:
    config = first.config
    classes = class_set(config.classes)
    dataset = open_dataset(config.data.val, classes, "data.val")
    check(dataset)
    result = {}
    for number, side in enumerate((first, second)):
        settings = config.classes.left_out, config.evaluate.batch_size
        found = evaluate(side.predictor().labels, dataset, classes, *settings, absent=config.classes.absent)
        name = side.name if first.name != second.name else f"{side.name} {'AB'[number]}"
        result[name] = float(found.score.main())
    return result
