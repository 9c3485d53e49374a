"""Which image a position of a stage sees: the samplers that methods share, and how samples become a batch.

Every choice is drawn at its own position (``common.draws``), so a batch is a pure function of the step.
An image is (H, W, 3) uint8 RGB, a label (H, W) uint8 train ids with 255 ignored.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.data.augment import augment
from common.data.colour import LabStatistics, lab_statistics, transfer
from common.data.transforms import stack_images
from common.draws import generator, shuffled, shuffled_whole
from common.errors import UserError
from common.pseudo.folder import read_pseudo_label
from common.schema import Size
from common.stage import Batch, StageContext

Pair = tuple[np.ndarray, np.ndarray]  # image, label


@dataclass(frozen=True)
class Draws:
    """The random draws of one stage; each belongs to a purpose and a position."""

    seed: int
    stage: str

    def at(self, purpose: str, position: int) -> np.random.Generator:
        """Return the generator of one position, for example ``("box", 17)``."""
        return generator(self.seed, self.stage, purpose, position)

    def epoch(self, purpose: str, count: int, position: int) -> int:
        """Return the element of ``range(count)`` at a position of endless shuffled epochs."""
        return shuffled(self.seed, self.stage, purpose, count=count, index=position)

    def whole(self, purpose: str, count: int, total: int, position: int) -> int:
        """Return the element of ``range(count)`` at a position of one permutation for ``total`` of them."""
        return shuffled_whole(self.seed, self.stage, purpose, count=count, total=total, index=position)


class SourceSamples:
    """Labelled source pairs in shuffled epochs, in the target's colours where ``data.colour`` asks for it."""

    def __init__(self, context: StageContext, draws: Draws, size: Size | None = None, colour: bool = True):
        """Prepare; reads no image.

        Args:
            context: The stage's data and configuration.
            draws: The stage's draws.
            size: (width, height) of images and labels; None takes the sizes of ``data.source``.
            colour: False leaves the colours alone whatever ``data.colour`` says.
        Raises:
            UserError: If translated images are to be read and ``data.colour.cache`` does not say from where.
        """
        data = context.config.data
        self.dataset = context.data.source.resized(size) if size else context.data.source
        self.target = context.data.target
        self.mode = data.colour.mode if colour else "off"
        self.cache, self.augment, self.draws = data.colour.cache, data.augment, draws
        self._styles: dict[int, LabStatistics] = {}
        if self.mode == "cached" and self.cache is None:
            raise UserError("data.colour.cache is missing: mode 'cached' reads translated images from that folder")

    def pair(self, position: int) -> Pair:
        """Return image and label at a position of the endless sequence."""
        index = self.draws.epoch("source", len(self.dataset), position)
        pair = self._image(index, position), self.dataset.label(index)
        return augment(*pair, self.augment, self.draws.at("augment source", position))

    def _image(self, index: int, position: int) -> np.ndarray:
        """Return the image in its final size, translated (DDM, section 4.2 of the paper) or as it is."""
        if self.mode == "off":
            return self.dataset.image(index)
        if self.mode == "cached":
            return self.dataset.image(index, folder=self.cache)
        style = self._style(int(self.draws.at("style", position).integers(len(self.target))))
        if self.mode == "resized":
            return transfer(self.dataset.image(index), style)
        return self.dataset.fit(transfer(self.dataset.native_image(index), style))  # online: at full size

    def _style(self, index: int) -> LabStatistics:
        """Return the colours of a target image; six numbers are kept, for decoding costs more."""
        if index not in self._styles:
            read = self.target.image if self.mode == "resized" else self.target.native_image
            self._styles[index] = lab_statistics(read(index))
        return self._styles[index]


class TargetSamples:
    """Target pairs: ground truth where it exists, else the pseudo-labels of an earlier stage."""

    def __init__(self, context: StageContext, draws: Draws, labels: str | None = None):
        """Prepare; reads no image.

        Args:
            context: The stage's data and configuration.
            draws: The stage's draws.
            labels: Stage that wrote pseudo-labels; None leaves the labelled images alone in the pool.
        """
        self.dataset, self.augment = context.data.target, context.config.data.augment
        self.truth = tuple(context.data.labelled)
        known = set(self.truth)
        self.rest = tuple(i for i in range(len(self.dataset)) if i not in known) if labels else ()
        self.pseudo = context.folders[labels] if labels else None
        self.draws, self._known = draws, known

    def size(self) -> Size:
        """Return the (width, height) of the images: the one configured, or the first file's."""
        height, width = self.dataset.image(0).shape[:2]
        return width, height

    def random_pair(self, position: int, truth_share: float | None = None) -> Pair:
        """Return a pair drawn uniformly with replacement, as DDM's released dataset class draws labelled images.

        Args:
            position: Place in the endless sequence.
            truth_share: Probability of drawing from the images with ground truth; None is uniform over all.
        """
        rng = self.draws.at("labelled", position)
        pool = self.truth + self.rest
        if truth_share is not None and self.rest:
            pool = self.truth if rng.random() < truth_share else self.rest
        return self._pair(pool[int(rng.integers(len(pool)))], position)

    def epoch_pair(self, position: int) -> Pair:
        """Return the pair at a position of shuffled epochs over the whole pool."""
        pool = self.truth + self.rest
        return self._pair(pool[self.draws.epoch("labelled", len(pool), position)], position)

    def _pair(self, index: int, position: int) -> Pair:
        image = self.dataset.image(index)
        if index in self._known:
            label = self.dataset.label(index)
        else:
            label = read_pseudo_label(self.pseudo, self.dataset.names[index], image.shape[:2])
        return augment(image, label, self.augment, self.draws.at("augment target", position))


class UnlabelledSamples:
    """Target images without labels, in shuffled epochs."""

    def __init__(self, context: StageContext, draws: Draws, without_labelled: bool = False):
        """Prepare; reads no image.

        Args:
            context: The stage's data and configuration.
            draws: The stage's draws.
            without_labelled: Leave out the images that have ground truth.
        """
        self.dataset, self.augment, self.draws = context.data.target, context.config.data.augment, draws
        self.pool = unlabelled_positions(context, without_labelled)

    def name(self, position: int) -> str:
        """Return the name of the image at a position of the endless sequence."""
        return self.dataset.names[self._index(position)]

    def image(self, position: int) -> np.ndarray:
        """Return the image at a position of the endless sequence."""
        image = self.dataset.image(self._index(position))
        blank = np.full(image.shape[:2], 255, np.uint8)
        return augment(image, blank, self.augment, self.draws.at("augment unlabelled", position))[0]

    def _index(self, position: int) -> int:
        return self.pool[self.draws.epoch("unlabelled", len(self.pool), position)]


def unlabelled_positions(context: StageContext, without_labelled: bool) -> tuple[int, ...]:
    """Return the positions of the target images that count as unlabelled, in order of the list.

    Raises:
        UserError: If there is none.
    """
    left_out = set(context.data.labelled) if without_labelled else set()
    chosen = tuple(i for i in range(len(context.data.target)) if i not in left_out)
    if not chosen:
        raise UserError("all target images are labelled, so that exclude_labelled leaves none without a label")
    return chosen


def stack_labels(labels: Sequence[np.ndarray]) -> np.ndarray:
    """Return (N, H, W) int32 of N labels (H, W)."""
    return np.stack(labels).astype(np.int32)


def stack(pairs: list[Pair], domain: str) -> Batch:
    """Return ``{domain}_image`` (N, 3, H, W) uint8 and ``{domain}_label`` (N, H, W) int32 of N pairs."""
    images, labels = zip(*pairs)
    return {f"{domain}_image": stack_images(images), f"{domain}_label": stack_labels(labels)}
