"""S3D: sample-to-sample self-distillation for semi-supervised classification (Yoon et al., WACV 2022).

    first    S+T: cross entropy on source and labelled target images in one pass
    second   pairs of a labelled image and an unlabelled one whose pseudo-label is its class; the unlabelled image in
             the labelled one's style (the assistant) teaches the unlabelled image

Every ``pseudo_interval`` steps the unlabelled images get new pseudo-labels. Without labelled target images both stages
run on the source alone (unsupervised adaptation). Defaults are the README's of the released code; what a step
computes: ``torch_impl/methods/s3d.py``, ``ms_impl/methods/s3d.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from common.accuracy import correct
from common.data.lists import write_list
from common.data.transforms import centre_crop
from common.drawn_scores import scored_images
from common.errors import UserError
from common.evaluate import read_ahead
from common.methods.class_samples import (
    ClassImages,
    dropout,
    labelled_images,
    of_one_size,
    source_images,
    stack_equal,
    unlabelled_images,
)
from common.methods.needs import need_data
from common.methods.s3d_memory import Memory
from common.methods.s3d_rules import distillation_weight, pair_batches, ramp_start
from common.methods.samples import Draws
from common.methods.ssda import SsdaSettings
from common.methods.supervised import supervised_stage
from common.pseudo.margin import margin_labels, mean_margin
from common.stage import Batch, Refresh, Stage, StageContext

if TYPE_CHECKING:
    from common.config import Config

GROUPS = ("source", "labelled")  # of a batch's labelled half
LABELS = "pseudo_labels.txt"  # the last pseudo-labels of the second stage, among its files


class S3DSettings(SsdaSettings):
    """Options of S3D. ``steps`` is the length of the second stage, ``train.batch_size`` the source images of a step."""

    name: Literal["s3d"] = "s3d"
    first_steps: PositiveInt | None = None  # steps of S+T; None: train.steps
    init_from: Literal["last", "best"] = "last"  # weights of S+T with which the second stage begins
    carry_optimizer: bool = True  # momentum and learning rate go on where S+T stopped; needs init_from: last
    temperature: PositiveFloat = 4.0  # of the distillation
    kd_lambda: PositiveFloat = 8.0  # sharpness of the ramp of its weight; 100: full weight almost at once
    ramp_from: Literal["val", "test"] = "val"  # accuracy of S+T that begins the ramp; test: as released
    pseudo_interval: PositiveInt = 100  # steps between two sets of pseudo-labels
    pseudo_view: Literal["augmented", "plain"] = "augmented"  # of the images that are labelled; plain: as for scoring
    alpha: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.95  # probability above which any image gets its pseudo-label
    sty_w: PositiveFloat = 0.1  # both parameters of the Beta distribution of the share of the labelled style
    sty_layer: Literal["layer1", "layer2", "layer3", "layer4"] = "layer4"  # last style point; all before it count too
    own_statistics: Literal["official", "assistant", "ordinary"] = "official"  # official: ordinary for AlexNet and VGG
    assistant_counts: bool = True  # assistants count in the running statistics of BatchNorm

    def points(self) -> int:
        """Return how many style points there are."""
        return int(self.sty_layer.removeprefix("layer"))


_FIRST = {"first_steps", "init_from", "lambda_entropy", "ape"}  # what the second stage does not depend on


class S3D:
    """The two stages of S3D."""

    Settings = S3DSettings
    TASKS = ("classification",)

    @staticmethod
    def stages(config: Config) -> list[Stage]:
        """Return S+T and the second stage.

        Raises:
            UserError: If the configuration has no source or no target, or options contradict each other.
        """
        s3d = config.method
        need_data(config, "method s3d", "source", "target")
        if s3d.carry_optimizer and s3d.init_from == "best":
            raise UserError("method.carry_optimizer: the best weights have no optimizer; set it to false, or init_from")
        if s3d.ramp_from == "test" and config.data.test is None:
            raise UserError("method.ramp_from: test needs data.test; the configuration does not set it")
        shots = config.data.labelled is not None
        first = supervised_stage(config, "joint" if shots else "source_only", "first", s3d.first_steps)
        if not shots:  # as many images a step as source and labelled target have together
            first = replace(first, changes={"train": {"batch_size": 2 * config.train.batch_size}})
        second = Stage(
            name="second",
            title="S3D",
            objective="s3d",
            steps=s3d.steps or config.train.steps,
            batches=s3d_batches,
            start=f"first@{s3d.init_from}" if s3d.init_from == "best" else "first",
            carry=s3d.carry_optimizer,
            refresh=Refresh(s3d.pseudo_interval, refresh_labels, stand_in),
            produce=write_labels,
            settings=s3d.model_dump(mode="json", exclude=_FIRST),
        )
        return [first, second]


def refresh_labels(context: StageContext, predictor: Any, backend: Any, memory: dict, step: int) -> dict:
    """Return the memory after new pseudo-labels for the unlabelled images; the first time also what is then fixed.

    Each rank predicts its share of the images.

    Args:
        context: The stage's data and configuration.
        predictor: The network in evaluation mode.
        backend: Adds the shares up.
        memory: As ``Memory.arrays``.
        step: Steps done in this stage.
    """
    s3d, now = context.config.method, Memory.of(memory)
    images = unlabelled_images(context, Draws(context.config.seed, context.stage))
    mine = range(context.rank, len(images.dataset), context.world)
    logits = target_logits(context, images, predictor, mine, step)
    threshold, start = now.threshold, now.ramp_start
    if step == 0:
        threshold = np.array(mean_margin(logits, len(images.dataset), partial(_total, context, backend)))
        start = np.array(ramp_start(accuracy(context, predictor, backend), s3d.kd_lambda), np.int64)
    labels = np.zeros(len(images.dataset), np.int64)
    labels[list(mine)] = margin_labels(logits, float(threshold), s3d.alpha)
    return Memory(backend.total(labels), threshold, start, np.array(step, np.int64)).arrays()


def _total(context: StageContext, backend: Any, part: float) -> float:
    """Return the sum of a number over all ranks."""
    return backend.average({"part": part})["part"] * context.world


def write_labels(context: StageContext, predictor: Any) -> dict:
    """Write the last pseudo-labels as the official code does: ``pseudo_labels.txt``, ``path label`` a line, -1: none.

    Returns:
        ``images``, the share of them that is ``labelled`` and, where the target's own labels are known, the share of
        those that is ``right``, in percent.
    """
    images, labels = context.data.target, Memory.of(context.memory).labels
    write_list(context.folder / LABELS, [(name, str(label)) for name, label in zip(images.names, labels)])
    accepted = np.flatnonzero(labels >= 0)
    made = {"images": len(labels), "labelled": percent(len(accepted), len(labels))}
    known = [i for i in accepted if images.has_label(i)]
    right = sum(images.label(i) == labels[i] for i in known)
    return {**made, "right": percent(right, len(known))} if known else made


def percent(part: int, whole: int) -> float:
    """Return the share of a part in percent, rounded to two places."""
    return round(100.0 * part / whole, 2)


def stand_in(context: StageContext) -> dict[str, np.ndarray]:
    """Return a memory in which the unlabelled images carry all classes in turn."""
    return Memory(np.arange(len(context.data.target), dtype=np.int64) % len(context.data.classes)).arrays()


def target_logits(context: StageContext, images: ClassImages, predictor: Any, which: range, step: int) -> np.ndarray:
    """Return the logits (N, C) float32 of some unlabelled images, in views that belong to ``step``."""
    config, count = context.config, len(images.dataset)
    if config.method.pseudo_view == "plain":
        read = partial(_middle, images)
    else:
        seen = ClassImages(images.dataset, config.data.augment, images.draws, "pseudo")
        read = partial(_view, seen, first=step * count)
    found, size, pending = [], config.evaluate.batch_size, []
    for image in read_ahead(read, list(which)):
        pending.append(image)
        if len(pending) == size:
            found.append(predictor.logits(stack_equal(pending)))
            pending = []
    if pending:
        found.append(predictor.logits(stack_equal(pending)))
    classes = len(context.data.classes)
    return np.concatenate(found) if found else np.zeros((0, classes), np.float32)


def _middle(images: ClassImages, index: int) -> np.ndarray:
    """Return an image as it is scored: the middle, where training crops at random."""
    image, crop = images.dataset.image(index), images.augmented.crop
    return centre_crop(image, crop) if crop else image


def _view(images: ClassImages, index: int, first: int) -> np.ndarray:
    return images.view(index, first + index)


def accuracy(context: StageContext, predictor: Any, backend: Any) -> float:
    """Return the accuracy in percent, over all ranks, on the images that ``ramp_from`` names."""
    config = context.config
    dataset, which = scored_images(config, context.data, config.method.ramp_from, context.stage, 0)
    mine, size, classes = which[context.rank :: context.world], config.evaluate.batch_size, len(context.data.classes)
    matrix = np.zeros((classes, classes), np.int64)
    for first in range(0, len(mine), size):
        some = mine[first : first + size]
        guesses = predictor.logits(stack_equal([dataset.image(i) for i in some])).argmax(axis=1)
        np.add.at(matrix, ([dataset.label(i) for i in some], guesses), 1)
    return correct(backend.total(matrix))


def s3d_batches(context: StageContext) -> Callable[[int], Batch]:
    """Return the batch of a step of the second stage, for the pseudo-labels that ``context.memory`` holds.

    ``labelled_image`` (2N, 3, H, W) uint8 and ``labelled_label`` (2N,) int32: N source images, then N labelled target
    ones, or 2N source images where no target image has a label; ``unlabelled_image``: their partners in this order;
    ``style_mix`` (points, 2N) float32; ``weight`` () float32; with dropout the masks of the three passes.
    """
    config, s3d, memory = context.config, context.config.method, Memory.of(context.memory)
    draws = Draws(config.seed, context.stage)
    shots = context.data.labelled_target is not None
    groups = [source_images(context, draws), *([labelled_images(context, draws)] if shots else [])]
    partners = unlabelled_images(context, draws)
    each = config.train.batch_size * (1 if shots else 2)  # images of a group, a rank
    chosen, partner = _plan(context, draws, groups, memory, each)
    start = int(memory.ramp_start)

    def batch(step: int) -> Batch:
        row, views = step - int(memory.refreshed), _positions(context, step, len(groups), each)
        mine = slice(context.rank * each, (context.rank + 1) * each)
        picked = [(images, int(i)) for images, plan in zip(groups, chosen) for i in plan[row, mine]]
        mates = [int(i) for plan in np.split(partner[row], len(groups)) for i in plan[mine]]
        kept = {name: dropout(config.network, draws, name, views) for name in ("labelled", "unlabelled", "assistant")}
        beta = [draws.at("style", p).beta(s3d.sty_w, s3d.sty_w, s3d.points()) for p in views]
        pairs = {
            "labelled_image": stack_equal(images.view(i, p) for (images, i), p in zip(picked, views)),
            "unlabelled_image": stack_equal(partners.view(i, p) for i, p in zip(mates, views)),
        }
        return {
            **of_one_size(pairs),
            "labelled_label": np.array([images.dataset.label(i) for images, i in picked], np.int32),
            "style_mix": np.ascontiguousarray(np.stack(beta, axis=1), np.float32),
            "weight": np.array(distillation_weight(start, step, s3d.kd_lambda), np.float32),
            **{f"{name}_dropout": mask for name, mask in kept.items() if mask is not None},
        }

    return batch


def _positions(context: StageContext, step: int, groups: int, each: int) -> list[int]:
    """Return where this rank's pairs stand in the endless sequence: W ranks have those of one with W times the batch.

    ``context.positions`` would give the source images of one rank the places of the target images of another.
    """
    first, share = step * groups * each * context.world, context.rank * each
    return [first + group * each * context.world + share + i for group in range(groups) for i in range(each)]


def _plan(
    context: StageContext, draws: Draws, groups: list[ClassImages], memory: Memory, each: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the pairs of all ranks until the next pseudo-labels: positions in each group, and in the target."""
    refreshed = int(memory.refreshed)
    labels = [np.array([one.dataset.label(i) for i in range(len(one.dataset))]) for one in groups]
    orders = [draws.at(f"order {name}", refreshed).permutation(len(own)) for name, own in zip(GROUPS, labels)]
    rng = draws.at("partners", refreshed)
    counts = [each * context.world] * len(groups)
    batches = context.config.method.pseudo_interval
    return pair_batches(labels, memory.labels, orders, counts, batches, lambda n: int(rng.integers(n)))
