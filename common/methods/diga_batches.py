"""The batches of DiGA's stages: crops of two resolutions, strong views, mixing masks, numbers for dropout.

An image is (H, W, 3) uint8 RGB, a label (H, W) uint8 train ids with 255 ignored. Low-resolution samples come first.
"""

from collections.abc import Callable, Sequence

import numpy as np

from common.data.class_mixing import half_of_classes, label_edges, paste_masks
from common.data.crops import Crop, accepted_crop, flip_and_crop
from common.data.strong_colour import StrongConfig, draw_strong, strong_view
from common.data.transforms import resize_label, stack_images
from common.methods.samples import Draws, stack_labels
from common.pseudo.centroids import read_centroids
from common.pseudo.folder import read_pseudo_label
from common.schedules import teacher_momentum
from common.schema import Size
from common.stage import Batch, StageContext


class Views:
    """Random crops of a dataset's images at one resolution, in the order that ``method.order`` asks for."""

    def __init__(
        self,
        context: StageContext,
        name: str,
        indices: Sequence[int] | None,
        size: Size | None,
        crop: Crop,
        rule: bool,
        total: int,
    ) -> None:
        """Prepare; reads no image.

        Args:
            context: The stage's data and configuration.
            name: Role of the dataset and resolution, "source low"; part of every draw's position.
            indices: Which images; None takes all.
            size: (width, height) before cropping; None: the dataset's.
            crop: Kind of the crop.
            rule: Whether crops must show enough classes.
            total: How many samples the stage takes from here, all ranks together.
        """
        data = getattr(context.data, name.split()[0])
        self.dataset = data.resized(size) if size else data
        self.indices = tuple(range(len(data))) if indices is None else tuple(indices)
        self.draws, self.name = Draws(context.config.seed, context.stage), name
        self.crop, self.size, self.rule = crop, context.config.method.crop, rule
        self.total = total if context.config.method.order == "long" else None

    def labelled(self, position: int) -> list[np.ndarray]:
        """Return image and label at a position of the endless sequence."""
        index, rng = self._index(position), self.draws.at(f"crop {self.name}", position)
        image, label = self.dataset.image(index), self.dataset.label(index)
        take = accepted_crop if self.rule else _plain_crop
        return take(image, label, self.crop, self.size, rng)

    def image(self, position: int) -> np.ndarray:
        """Return an image without label."""
        rng = self.draws.at(f"crop {self.name}", position)
        return flip_and_crop([self.dataset.image(self._index(position))], self.crop, self.size, rng)[0]

    def pseudo_labelled(self, position: int, folder, full: Size) -> list[np.ndarray]:
        """Return image and pseudo-label, which was written to ``folder`` at (width, height) ``full``."""
        index, rng = self._index(position), self.draws.at(f"crop {self.name}", position)
        image = self.dataset.image(index)
        label = read_pseudo_label(folder, self.dataset.names[index], (full[1], full[0]))
        label = resize_label(label, (image.shape[1], image.shape[0]))
        return flip_and_crop([image, label], self.crop, self.size, rng)

    def _index(self, position: int) -> int:
        if self.total is None:
            return self.indices[self.draws.epoch(self.name, len(self.indices), position)]
        return self.indices[self.draws.whole(self.name, len(self.indices), self.total, position)]


class Batches:
    """What the batches of all stages of a run share."""

    def __init__(self, context: StageContext, phase: str) -> None:
        """Prepare; reads no image. ``phase`` is ``"translator"``, ``"warmup"`` or ``"self_training"``."""
        self.context, self.config, self.method = context, context.config, context.config.method
        self.phase, self.draws = getattr(self.method, phase), Draws(context.config.seed, context.stage)
        known = set(context.data.labelled)
        semi = self.method.setting == "semi"
        rest = list(range(len(context.data.target))) if context.data.target is not None else []
        self.of_source = sorted(known) if semi else None
        self.of_target = [i for i in rest if i not in known] if semi else None

    def source(self, crop: Crop) -> tuple[Views, Views]:
        """Return the labelled images at low and full resolution; those of the target where it has some labels."""
        semi, method = self.method.setting == "semi", self.method
        role, sizes = ("target", self._sizes("target")) if semi else ("source", self._sizes("source"))
        rule = method.class_rule and not semi
        return self._views(f"{role} labelled", self.of_source, sizes, crop, rule)

    def target(self, crop: Crop) -> tuple[Views, Views]:
        """Return the target images at low and full resolution."""
        return self._views("target", self.of_target, self._sizes("target"), crop, False)

    def take(self, views: tuple[Views, Views], step: int, read: Callable[[Views, int], object]) -> list:
        """Return this rank's samples of a step, low resolution first."""
        counts = self.phase.batch_size
        return [read(view, p) for view, n in zip(views, counts) for p in self.context.positions(step, n)]

    def strong(self, images: list[np.ndarray], step: int, domain: str) -> np.ndarray:
        """Return (N, 3, H, W) float32, the augmented images as the network sees them."""
        options: StrongConfig = self.phase.strong
        order = tuple(map(int, self.draws.at(f"order {domain}", step).permutation(4)))
        views = []
        for image, place in zip(images, self._places(step, len(images))):
            draw = draw_strong(self.draws.at(f"strong {domain}", place), options, order)
            views.append(strong_view(image, draw, options, self.config.input))
        return np.stack(views)

    def masks(self, labels: list[np.ndarray], step: int, purpose: str) -> np.ndarray:
        """Return (N, H, W) uint8, 1 on half of the classes of each label and on what is ignored (``paste_masks``)."""
        places = self._places(step, len(labels))
        chosen = [half_of_classes(one, self.draws.at(purpose, place)) for one, place in zip(labels, places)]
        return paste_masks(labels, chosen)

    def noise(self, images: int, step: int, *names: str) -> Batch:
        """Return ``NAME_noise`` for networks with dropout; nothing for others. Views need it for twice the images."""
        draws, rank = self.config.network.draws if self.method.dropout else 0, self.context.rank
        if not draws:
            return {}
        counts = {name: 2 * images if name in ("teacher", "student") else images for name in names}
        made = {n: self.draws.at(f"dropout {n} {rank}", step).random((c, draws), np.float32) for n, c in counts.items()}
        return {f"{name}_noise": value for name, value in made.items()}

    def _places(self, step: int, count: int) -> range:
        return self.context.positions(step, count)

    def _views(
        self, name: str, indices: Sequence[int] | None, sizes: tuple[Size | None, Size | None], crop: Crop, rule: bool
    ) -> tuple[Views, Views]:
        steps = (self.phase.steps or self.config.train.steps) * self.context.world
        kinds = zip(("low", "full"), sizes, self.phase.batch_size)
        return tuple(Views(self.context, f"{name} {k}", indices, s, crop, rule, n * steps) for k, s, n in kinds)

    def _sizes(self, role: str) -> tuple[Size | None, Size | None]:
        return getattr(self.method, f"{role}_low"), getattr(self.method, f"{role}_full")


def translator_batches(context: StageContext) -> Callable[[int], Batch]:
    """Return the batch of a step of the translator: images of both domains, edges of the source's labels."""
    batches = Batches(context, "translator")
    source, target = batches.source(batches.phase.crop), batches.target(batches.phase.crop)

    def batch(step: int) -> Batch:
        images, labels = zip(*batches.take(source, step, Views.labelled))
        return {
            "source_image": stack_images(images),
            "source_edge": np.stack([label_edges(label) for label in labels]),
            "target_image": stack_images(batches.take(target, step, Views.image)),
        }

    return batch


def warmup_batches(context: StageContext, translated: bool) -> Callable[[int], Batch]:
    """Return the batch of a step of the warm-up; ``translated``: whether there is a translator to mix with."""
    batches = Batches(context, "warmup")
    source = batches.source(batches.phase.source_crop)
    target = batches.target(batches.phase.target_crop) if batches.method.sees_target else None

    def batch(step: int) -> Batch:
        arrays, images, _ = _source(batches, source, step, translated)
        if target:
            arrays["target_seen"] = stack_images(batches.take(target, step, Views.image))
        return arrays | batches.noise(len(images), step, "teacher", "student")

    return batch


def selftraining_batches(context: StageContext, translated: bool, pseudo: str, centroids: str) -> Callable:
    """Return the batch of a step of self-training.

    Args:
        context: The stage's data and configuration.
        translated: Whether there is a translator to mix with.
        pseudo: Stage that wrote the offline labels.
        centroids: Stage that wrote the first centroids.
    """
    batches = Batches(context, "self_training")
    source, target = batches.source(batches.phase.source_crop), batches.target(batches.phase.target_crop)
    folder, full = context.folders[pseudo], pseudo_size(context)

    def read(view: Views, position: int) -> list[np.ndarray]:
        return view.pseudo_labelled(position, folder, full)

    def batch(step: int) -> Batch:
        arrays, _, labels = _source(batches, source, step, translated)
        images, pseudo_labels = zip(*batches.take(target, step, read))
        arrays |= {
            "target_image": stack_images(images),
            "target_label": stack_labels(list(pseudo_labels)),
            "target_strong": batches.strong(list(images), step, "target"),
            "target_mask": batches.masks(labels, step, "paste"),
        }
        if batches.phase.target_bn_pass:
            arrays["target_seen"] = arrays["target_image"]
        if step == 0:
            arrays |= read_centroids(context.folders[centroids])
        dropping = ("teacher", "target") if batches.method.teacher_mode == "train" else ()
        return arrays | batches.noise(len(images), step, *dropping, "student", "mixed")

    return batch


def pseudo_size(context: StageContext) -> Size:
    """Return the (width, height) of the offline labels: the full resolution of the target."""
    if context.config.method.target_full:
        return context.config.method.target_full
    height, width = context.data.target.image(0).shape[:2]
    return width, height


def _source(batches: Batches, source: tuple[Views, Views], step: int, translated: bool) -> tuple[Batch, list, list]:
    """Return what both stages need of the source, and its images and labels."""
    images, labels = map(list, zip(*batches.take(source, step, Views.labelled)))
    arrays = {
        "source_image": stack_images(images),
        "source_label": stack_labels(labels),
        "source_strong": batches.strong(images, step, "source"),
        "momentum": np.array(teacher_momentum(step, batches.method.ema_cap), np.float32),
    }
    return arrays | ({"source_mask": batches.masks(labels, step, "mix")} if translated else {}), images, labels


def _plain_crop(image: np.ndarray, label: np.ndarray, crop: Crop, size: Size, rng) -> list[np.ndarray]:
    return flip_and_crop([image, label], crop, size, rng)
