"""The self-check of a dataset: counts, missing pairs, sizes, ids that no map knows, files that cannot be read.

At the start of a run every pair must exist, and files are read until ``BUDGET`` pixels are seen, spread over the
list; ``prepare_data.py check`` reads all of them. A fault that the start does not see is found when its file is read.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from common.data.files import read_image
from common.data.segmentation import SegmentationDataset
from common.errors import UserError

BUDGET = 1 << 26  # pixels read at the start of a run: one or two seconds


@dataclass
class Report:
    """What a check has seen.

    Attributes:
        images: Number of images.
        labels: Number of label files that are there.
        read: Number of images that were read, with their labels.
        sizes: (width, height) of the images read -> how often.
        pixels: Train id -> pixels in the labels read; 255 is what is ignored.
        problems: One line a fault.
    """

    images: int = 0
    labels: int = 0
    read: int = 0
    sizes: Counter = field(default_factory=Counter)
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    problems: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Return the report in one line."""
        sizes = ", ".join(f"{width}x{height}" for (width, height), _ in self.sizes.most_common(3))
        more = f" and {len(self.sizes) - 3} other sizes" if len(self.sizes) > 3 else ""
        return f"{self.images} images ({sizes}{more}), {self.labels} labels; read {self.read}"


def check(dataset: SegmentationDataset, labelled: Sequence[int] | None = None) -> Report:
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


def check_all(dataset: SegmentationDataset, labelled: Sequence[int] | None = None) -> Report:
    """Read every file of a dataset; faults are in the report, one line each."""
    report = Report()
    report.problems = list(inspect(dataset, report, labelled, None))
    return report


def inspect(
    dataset: SegmentationDataset, report: Report, labelled: Sequence[int] | None, budget: int | None
) -> Iterator[str]:
    """Yield one line for every fault, while ``report`` fills.

    Args:
        dataset: The dataset.
        report: Takes the counts.
        labelled: Positions that must have labels; None means all.
        budget: Pixels to read at most; None reads all.
    """
    report.images = len(dataset)
    report.labels = sum(dataset.has_label(i) for i in range(len(dataset)))
    yield from _missing(dataset, range(len(dataset)) if labelled is None else labelled)
    yield from _uncached(dataset)
    seen = 0
    for index in _spread(len(dataset)):
        if budget is not None and seen >= budget and report.read:
            break
        try:
            seen += _read(dataset, index, report)
        except UserError as error:
            yield str(error)
    if report.read == report.labels and report.pixels.any() and not report.pixels[:255].any():
        yield f"{dataset.config.root}: every labelled pixel is ignored; check label_ids and class_map"


def _missing(dataset: SegmentationDataset, labelled: Sequence[int]) -> Iterator[str]:
    config = dataset.config
    images = [item.image for item in dataset.items if not item.image.is_file()]
    if images:
        yield (
            f"{config.root}: {len(images)} of {len(dataset)} listed images are missing, first {images[0]}; fetch them, "
            f"or write the list anew: python scripts/prepare_data.py lists {config.layout} {config.root}"
        )
    lost = [dataset.items[i].label for i in labelled if not dataset.has_label(i)]
    if lost:
        place = f"first {lost[0]}" if lost[0] else "the layout names no label folder (labels)"
        repair = dataset.files.repair or "python scripts/prepare_data.py check CONFIG, which names all"
        yield f"{config.root}: {len(lost)} of {len(labelled)} labels are missing, {place}; run: {repair}"


def _uncached(dataset: SegmentationDataset) -> Iterator[str]:
    """Look for the first and the last image in the cache: one that is stale or was cut short lacks them."""
    if dataset.cache and dataset.config.size:
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


def _read(dataset: SegmentationDataset, index: int, report: Report) -> int:
    """Read one image with its label, if it has one; return the number of pixels.

    Raises:
        UserError: If one cannot be read, or their sizes differ where nothing resizes them.
    """
    item = dataset.items[index]
    if not item.image.is_file():
        return 0  # counted as missing already
    height, width = read_image(item.image).shape[:2]
    report.read += 1
    report.sizes[width, height] += 1
    if not dataset.has_label(index):
        return width * height
    label = dataset.native_label(index)
    report.pixels += np.bincount(label.ravel(), minlength=256)
    if label.shape != (height, width) and not (dataset.config.label_size or dataset.config.size):
        raise UserError(
            f"{item.label}: {label.shape[1]}x{label.shape[0]}, but its image is {width}x{height}; set size to resize"
        )
    return width * height + label.size
