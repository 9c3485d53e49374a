"""Which images a step of IAST sees, and how they are augmented.

Images keep their full size until they are cropped; labels of another size, as pseudo-labels have, are enlarged to the
image's first (nearest, Pillow), as the official code does.
"""

from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from common.data.colour_views import strong_view
from common.data.copy_paste import CopyPasteConfig, copy_paste
from common.data.sized_crop import SizedCropConfig, draw, sized_crop
from common.data.torch_order import distributed_order
from common.data.transforms import resize_label
from common.errors import UserError
from common.methods.samples import Draws, Pair, stack, stack_images
from common.pseudo.class_bank import Bank, read_bank
from common.pseudo.folder import read_any_pseudo_label
from common.schema import Size
from common.stage import Batch, StageContext

Label = Callable[[int], np.ndarray | None]  # position in the dataset -> label of any size, None without one


class Samples:
    """Augmented pairs of one domain, by step."""

    def __init__(self, context: StageContext, role: str, crop: SizedCropConfig | None, label: Label | None = None):
        """Prepare; reads no image.

        Args:
            context: The stage's data and configuration.
            role: "source" or "target".
            crop: The augmentation; None leaves the images as they are.
            label: Gives the label of an image; None takes the dataset's own.
        """
        self.context, self.role, self.crop = context, role, crop
        self.dataset = getattr(context.data, role)
        self.label = label or self.dataset.label
        self.draws = Draws(context.config.seed, context.stage)

    def pairs(self, step: int) -> list[Pair]:
        """Return the pairs that this rank sees in a step."""
        positions = self.context.positions(step, self.context.config.train.batch_size)
        if not self.context.config.method.fixed_order:
            indices = [self.draws.epoch(self.role, len(self.dataset), position) for position in positions]
        else:
            indices = self._fixed(step)
        return [self._pair(index, position) for index, position in zip(indices, positions)]

    def _fixed(self, step: int) -> list[int]:
        """Return positions in the order of a sampler that is never told the epoch; an incomplete batch is dropped."""
        size = self.context.config.train.batch_size
        order = distributed_order(len(self.dataset), self.context.rank, self.context.world)
        place = step % max(len(order) // size, 1) * size
        return np.take(order, range(place, place + size), mode="wrap").tolist()

    def whole(self, index: int, position: int) -> Pair:
        """Return an image of the dataset and its label in the image's size, before the augmentation of a position."""
        image, label = self.dataset.image(index), self.label(index)
        height, width = image.shape[:2]
        return image, np.full((height, width), 255, np.uint8) if label is None else resize_label(label, (width, height))

    def _pair(self, index: int, position: int) -> Pair:
        image, label = self.whole(index, position)
        if self.crop is None:
            return image, label
        return sized_crop(image, label, self.crop, draw(self.crop, self.draws.at(f"crop {self.role}", position)))


class PastedSamples(Samples):
    """Target pairs with copies of hard classes from other target images, at full size, before they are cropped."""

    def __init__(self, context: StageContext, label: Label, folder: Path, options: CopyPasteConfig):
        """Prepare; reads nothing. ``folder`` holds the class samples, beside the pseudo-labels."""
        super().__init__(context, "target", context.config.method.crop_target, label)
        self._folder, self._options = folder, options
        self._index = {name: index for index, name in enumerate(self.dataset.names)}

    @cached_property
    def bank(self) -> Bank:
        """Which images show which class."""
        return read_bank(self._folder, len(self.context.data.classes))

    def whole(self, index: int, position: int) -> Pair:
        """Return image and label with what is pasted at a position."""
        rng = self.draws.at("paste target", position)
        return copy_paste(super().whole(index, position), self.bank, self._named, self._options, rng)

    def _named(self, name: str) -> Pair:
        if name not in self._index:
            raise UserError(f"{self._folder}: its class samples name {name}, which is no image of data.target")
        return super().whole(self._index[name], 0)


def source_batches(context: StageContext) -> Callable[[int], Batch]:
    """Return the batch of a step on the source: ``source_image`` and ``source_label``."""
    source = Samples(context, "source", context.config.method.crop_source)
    return lambda step: stack(source.pairs(step), "source")


def warmup_batches(context: StageContext) -> Callable[[int], Batch]:
    """Return the batch of a step of the warm-up: source pairs and ``target_image``."""
    iast = context.config.method
    source = Samples(context, "source", iast.crop_source)
    target = Samples(context, "target", iast.crop_target, lambda index: None)

    def batch(step: int) -> Batch:
        arrays = stack(source.pairs(step), "source")
        arrays["target_image"] = stack(target.pairs(step), "target")["target_image"]
        if iast.warmup.update_every > 1:
            arrays["update_discriminator"] = np.array(step % iast.warmup.update_every == 0)
        return arrays

    return batch


def self_training_batches(context: StageContext, labels: str, size: Size | None) -> Callable[[int], Batch]:
    """Return the batch of a step of self-training: target pairs, and source pairs where they count.

    Images whose truth may be seen (``data.labelled``) keep it. For the consistency loss ``target_strong`` holds the
    same images in other colours.

    Args:
        context: The stage's data and configuration.
        labels: Stage that wrote the pseudo-labels.
        size: (width, height) of the pseudo-labels; None: that of the images.
    """
    iast = context.config.method
    training, label = iast.self_training, partial(_target_label, context, labels)
    if training.copy_paste:
        target = PastedSamples(context, label, _labels_folder(context, labels), training.copy_paste)
    else:
        target = Samples(context, "target", iast.crop_target, label)
    source = Samples(context, "source", iast.crop_source) if training.lambda_source else None

    def batch(step: int) -> Batch:
        pairs = target.pairs(step)
        arrays = stack(pairs, "target")
        if training.lambda_consistency:
            arrays["target_strong"] = stack_images(_strong(target, pairs, step, training.strong_operations))
        return arrays | stack(source.pairs(step), "source") if source else arrays

    return batch


def _strong(target: Samples, pairs: list[Pair], step: int, operations: int) -> list[np.ndarray]:
    """Return the images of a step in other colours."""
    positions = target.context.positions(step, len(pairs))
    draws = [target.draws.at("strong target", position) for position in positions]
    return [strong_view(image, operations, rng) for (image, _), rng in zip(pairs, draws)]


def _labels_folder(context: StageContext, labels: str) -> Path:
    """Return where the pseudo-labels lie."""
    return context.config.method.pseudo.folder or context.folders[labels]


def _target_label(context: StageContext, labels: str, index: int) -> np.ndarray:
    dataset = context.data.target
    if index in context.data.labelled:
        return dataset.label(index)
    return read_any_pseudo_label(_labels_folder(context, labels), dataset.names[index])
