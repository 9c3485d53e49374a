"""The self-check of a dataset: counts, missing pairs, sizes, ids that no map knows, files that cannot be read.

At the start of a run every pair must exist, and files are read until ``BUDGET`` pixels or ``MOST`` images are seen,
spread over the list; ``prepare_data.py check`` reads all of them. A fault that the start does not see is found when
its file is read.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from common.data.dataset import ImageDataset
from common.data.files import read_image
from common.errors import UserError

BUDGET = 1 << 26  # pixels read at the start of a run: one or two seconds
MOST = 3000  # images read at the start of a run, where they are small


@dataclass
class Report:
    """What a check has seen.

    Attributes:
        images: Number of images.
        labels: Number of labels that are there.
        read: Number of images that were read, with their labels.
        sizes: (width, height) of the images read -> how often.
        counts: Class -> pixels in the labels read, of which 255 is what is ignored; for classification, images.
        problems: One line a fault.
    """

    images: int = 0
    labels: int = 0
    read: int = 0
    sizes: Counter = field(default_factory=Counter)
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    problems: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Return the report in one line."""
        sizes = ", ".join(f"{width}x{height}" for (width, height), _ in self.sizes.most_common(3))
        more = f" and {len(self.sizes) - 3} other sizes" if len(self.sizes) > 3 else ""
        return f"{self.images} images ({sizes}{more}), {self.labels} labels; read {self.read}"


    def shares(self, names: Sequence[str], ignored: Sequence[int] = ()) -> str:
        """Say how much of the labelled pixels or images each class has, the frequent ones first.

        Args:
            names: Of the classes.
            ignored: Labels that are no class.
        """
        counts = dict(zip(names, self.counts)) | {"(ignored)": self.counts[[*ignored]].sum()}
        total = max(1, sum(counts.values()))
        found = sorted(((count, name) for name, count in counts.items() if count), reverse=True)
        absent = [name for name in names if not counts[name]]
        text = ", ".join(f"{name} {100 * count / total:.2f} %" for count, name in found) or "no labels"
        return text + (f"; absent: {', '.join(absent)}" if absent and found else "")


def check(dataset: ImageDataset, labelled: Sequence[int] | None = None) -> Report:
    """Check a dataset at the start of a run.

    Args:
        dataset: The dataset.
        labelled: Positions that must have labels; None means all.
    Raises:
        UserError: The first fault: the dataset's role, which file, and what repairs it.
    """
    report = Report()
    for problem in inspect(dataset, report, labelled, BUDGET):
        raise UserError(f"{dataset.role}: {problem}" if dataset.role else problem)
    return report


def check_all(dataset: ImageDataset, labelled: Sequence[int] | None = None) -> Report:
    """Read every file of a dataset; faults are in the report, one line each."""
    report = Report()
    report.problems = list(inspect(dataset, report, labelled, None))
    return report


def inspect(dataset: ImageDataset, report: Report, labelled: Sequence[int] | None, budget: int | None) -> Iterator[str]:
    """Yield one line for every fault, while ``report`` fills.

    Args:
        dataset: The dataset.
        report: Takes the counts.
        labelled: Positions that must have labels; None means all.
        budget: Pixels to read at most, of no more than ``MOST`` images; None reads all.
    """
    report.images = len(dataset)
    report.labels = sum(dataset.has_label(i) for i in range(len(dataset)))
    yield from _missing(dataset, range(len(dataset)) if labelled is None else labelled)
    yield from _uncached(dataset)
    seen, report.counts = 0, np.zeros(max(256, len(dataset.classes)), np.int64)
    for index in _spread(len(dataset)):
        if budget is not None and report.read and (seen >= budget or report.read >= MOST):
            break
        try:
            seen += _read(dataset, index, report)
        except UserError as error:
            yield str(error)
    if report.read == report.labels and report.counts.any() and not np.delete(report.counts, dataset.ignored).any():
        yield f"{dataset.config.root}: every labelled pixel is ignored; check label_ids and class_map"


def _missing(dataset: ImageDataset, labelled: Sequence[int]) -> Iterator[str]:
    config = dataset.config
    images = [item.image for item in dataset.items if not item.image.is_file()]
    if images:
        missing = f"{len(images)} of {len(dataset)} listed images are missing, first {images[0]}"
        yield f"{config.root}: {missing}; {dataset.missing_image_hint()}"
    lost = [i for i in labelled if not dataset.has_label(i)]
    if lost:
        yield f"{config.root}: {len(lost)} of {len(labelled)} labels are missing, {dataset.missing_label_hint(lost[0])}"


def _uncached(dataset: ImageDataset) -> Iterator[str]:
    """Look for the first and the last image in the cache: one that is stale or was cut short lacks them."""
    if getattr(dataset, "cache", None) and dataset.config.size:
        try:
            for index in (0, len(dataset) - 1):
                dataset.cache.image(dataset, index)
        except UserError as error:
            yield str(error)


def _spread(count: int) -> list[int]:
    """Positions 0..count-1 so that every beginning of the list is spread over the whole: halves, quarters, eighths."""
    bits = max(1, (count - 1).bit_length())
    backwards = (int(f"{i:0{bits}b}"[::-1], 2) for i in range(1 << bits))
    return [i for i in backwards if i < count]


def _read(dataset: ImageDataset, index: int, report: Report) -> int:
    """Read one image with its label, if it has one; return the number of pixels.

    Raises:
        UserError: If one cannot be read, or does not fit the other.
    """
    item = dataset.items[index]
    if not item.image.is_file():
        return 0  # counted as missing already
    height, width = read_image(item.image).shape[:2]
    report.read += 1
    report.sizes[width, height] += 1
    if not dataset.has_label(index):
        return width * height
    report.counts += dataset.inspect_label(index, (width, height))
    return 2 * width * height if isinstance(item.label, Path) else width * height
