"""DDM: dual-level domain mixing for semi-supervised domain adaptation (Chen et al., CVPR 2021, arXiv 2103.04705).

A round trains three networks of one architecture and then labels the target for the next round:

    region   M_RL  cross entropy on target images with a rectangle of a source image pasted in   (eq. 1, 2)
    sample   M_SL  cross entropy on one source and one target image a step                       (eq. 3)
    student  M_S   distilled from both teachers on unlabelled images, supervised on labelled ones (eq. 4)
    pseudo         labels of the student for the target images that have none

The authors released no training code: what paper and inference code leave open is an option below, and its default
is what the reference vectors hold. What a stage computes: ``torch_impl/methods/ddm.py``, ``ms_impl/methods/ddm.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from common.data.mixing import Sampler, draw_mask, mix
from common.data.transforms import stack_images
from common.errors import UserError
from common.methods.needs import need_data
from common.methods.samples import (
    Draws,
    Pair,
    SourceSamples,
    TargetSamples,
    UnlabelledSamples,
    stack,
    unlabelled_positions,
)
from common.methods.teacher_logits import read_logits, write_logits
from common.pseudo.predictions import Predictor, predictions
from common.pseudo.produce import PseudoSettings, write_pseudo_labels
from common.schema import AugmentConfig, Fraction, Size, Strict
from common.stage import Batch, Stage, StageContext

if TYPE_CHECKING:
    from common.config import Config


class BoxSettings(Strict):
    """Which pixels of the region teacher's image come from the source."""

    sampler: Sampler = "cutmix"  # cutmix: 32 % of the frame on average; fixed_area; classmix: half of the classes
    area: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5  # fixed_area: share of the frame


class DDMSettings(Strict):
    """Options of DDM; the defaults are those of the paper's main results."""

    name: Literal["ddm"] = "ddm"
    rounds: PositiveInt = 4  # paper: 4 for GTA5, 3 for SYNTHIA, 1 when every target image is labelled
    region_steps: PositiveInt | None = None  # steps a round of each network; None: train.steps
    sample_steps: PositiveInt | None = None
    student_steps: PositiveInt | None = None
    init: Literal["initial", "previous"] = "initial"  # a round starts from the first weights, or the last round's

    lambda_main: NonNegativeFloat = 1.0  # every cross entropy: weight of the last stage's head ...
    lambda_aux: NonNegativeFloat = 0.1  # ... and of the auxiliary head
    box: BoxSettings = BoxSettings()
    rl_source_size: Size | None = None  # region teacher's source (width, height); None: the target's size
    gt_ratio: Fraction | None = None  # teachers from round 2 on: share of true labels; None: uniform over all images

    lambda_kl: NonNegativeFloat = 0.5  # distillation on unlabelled images
    lambda_kl_aux: NonNegativeFloat = 0.0  # the same on the auxiliary head
    lambda_ce: NonNegativeFloat = 1.0  # cross entropy on labelled images
    temperature: PositiveFloat = 10.0  # T of both softmaxes
    kl_t2: bool = True  # multiply the KL term by T * T, so that its gradient does not vanish with T
    kl_reduction: Literal["pixel_mean", "element_mean", "batch_mean"] = "pixel_mean"
    ensemble: Literal["logits", "probs"] = "logits"  # what is averaged over the teachers
    student_ce: Literal["gt", "union"] = "gt"  # student's labelled images: true labels, or pseudo-labels too
    exclude_labelled: bool = False  # leave labelled images out of the unlabelled ones (DEL_XL)
    cache_teachers: bool = False  # predict the teachers' logits once and keep them (float16); a faster student

    pseudo: PseudoSettings = PseudoSettings()


OPTIONS = {  # what each stage depends on: a stage is run again when one of its own options changes, and only then
    "region": {"lambda_main", "lambda_aux", "box", "rl_source_size", "gt_ratio"},
    "sample": {"lambda_main", "lambda_aux", "gt_ratio"},
    "student": {
        *("lambda_main", "lambda_aux", "lambda_kl", "lambda_kl_aux", "lambda_ce", "temperature", "kl_t2"),
        *("kl_reduction", "ensemble", "student_ce", "exclude_labelled", "cache_teachers"),
    },
    "logits": {"exclude_labelled"},
    "pseudo": {"pseudo", "exclude_labelled"},
}


class DDM:
    """The rounds of DDM as a list of stages."""

    Settings = DDMSettings
    TASKS = ("segmentation",)

    @staticmethod
    def stages(config: Config) -> list[Stage]:
        """Return region, sample, student and pseudo of every round; the last round needs no pseudo (algorithm 1).

        Raises:
            UserError: If the configuration has no source, no target or no labelled target images, or options clash.
        """
        need_data(config, "method ddm", "source", "target", "labelled")
        if config.method.cache_teachers and config.data.augment != AugmentConfig():
            raise UserError(f"{config.name}: method.cache_teachers needs unchanged images; switch data.augment off")
        rounds = range(1, config.method.rounds + 1)
        return [stage for number in rounds for stage in round_stages(config, number)]


def round_stages(config: Config, number: int) -> list[Stage]:
    """Return the stages of round ``number``, counted from 1."""
    ddm, here, before = config.method, f"round{number}", f"round{number - 1}"
    seed = 1000 * number  # one stream of draws a round and network
    labels = f"{before}/pseudo" if number > 1 else None  # every round replaces the pseudo-labels of the one before
    reads = (labels,) if labels else ()
    cached = (f"{here}/region_logits", f"{here}/sample_logits") if ddm.cache_teachers else ()
    teachers = {"region_teacher": f"{here}/region", "sample_teacher": f"{here}/sample"}
    first = ddm.init == "initial" or number == 1
    stages = [
        Stage(
            name=f"{here}/region",
            title=f"M_RL, round {number}",
            objective="ddm_region",
            steps=ddm.region_steps or config.train.steps,
            batches=partial(region_batches, seed=config.seed + seed, labels=labels),
            start=None if first else f"{before}/region",
            reads=reads,
            settings=_options(config, "region"),
            seed=seed,
        ),
        Stage(
            name=f"{here}/sample",
            title=f"M_SL, round {number}",
            objective="ddm_sample",
            steps=ddm.sample_steps or config.train.steps,
            batches=partial(sample_batches, seed=config.seed + seed + 1, labels=labels),
            start=None if first else f"{before}/sample",
            reads=reads,
            settings=_options(config, "sample"),
            seed=seed + 1,
        ),
        *(teacher_stage(config, name) for name in cached),
        Stage(
            name=f"{here}/student",
            title=f"M_S, round {number}",
            objective="ddm_student",
            steps=ddm.student_steps or config.train.steps,
            batches=partial(student_batches, seed=config.seed + seed + 2, labels=labels, cached=cached),
            start=None if first else f"{before}/student",
            frozen={} if cached else teachers,
            reads=cached + (reads if ddm.student_ce == "union" else ()),
            settings=_options(config, "student"),
            seed=seed + 2,
        ),
    ]
    return [*stages, pseudo_stage(config, number)] if number < ddm.rounds else stages


def teacher_stage(config: Config, name: str) -> Stage:
    """Return the pass that predicts the unlabelled images with a teacher once (option ``cache_teachers``)."""
    teacher = name.removesuffix("_logits")
    return Stage(
        name=name,
        title=f"logits of {teacher}",
        frozen={"teacher": teacher},
        produce=teacher_logits,
        settings=_options(config, "logits"),
        score=False,
    )


def pseudo_stage(config: Config, number: int) -> Stage:
    """Return the pass that labels the target with the student of round ``number``."""
    how = config.evaluate.model_dump(mode="json", exclude={"batch_size"})
    return Stage(
        name=f"round{number}/pseudo",
        title=f"pseudo-labels, round {number}",
        frozen={"student": f"round{number}/student"},
        produce=partial(pseudo_labels, number=number),
        settings=_options(config, "pseudo") | {"evaluate": how},
        score=False,
    )


def _options(config: Config, kind: str) -> dict:
    return config.method.model_dump(mode="json", include=OPTIONS[kind])


def region_batches(context: StageContext, seed: int, labels: str | None) -> Callable[[int], Batch]:
    """Return the batch of a step of the region teacher: ``mixed_image`` and ``mixed_label`` (eq. 1)."""
    config, ddm = context.config, context.config.method
    draws = Draws(seed, context.stage)
    target = TargetSamples(context, draws, labels)
    source = SourceSamples(context, draws, size=ddm.rl_source_size or target.size())

    def mixed_pair(position: int) -> Pair:
        target_image, target_label = target.random_pair(position, ddm.gt_ratio)
        frame = target_label.shape  # pasted "on the same location": both need one frame
        source_image, source_label = window(*source.pair(position), frame, draws.at("window", position))
        mask = draw_mask(draws.at("box", position), source_label, ddm.box.sampler, ddm.box.area)
        return mix(mask[..., None], target_image, source_image), mix(mask, target_label, source_label)

    def batch(step: int) -> Batch:
        return stack([mixed_pair(p) for p in context.positions(step, config.train.batch_size)], "mixed")

    return batch


def sample_batches(context: StageContext, seed: int, labels: str | None) -> Callable[[int], Batch]:
    """Return the batch of a step of the sample teacher: source and target pairs, in their own sizes (eq. 3)."""
    config = context.config
    draws = Draws(seed, context.stage)
    source = SourceSamples(context, draws)
    target = TargetSamples(context, draws, labels)

    def batch(step: int) -> Batch:
        positions = context.positions(step, config.train.batch_size)
        target_pairs = [target.random_pair(p, config.method.gt_ratio) for p in positions]
        return stack([source.pair(p) for p in positions], "source") | stack(target_pairs, "target")

    return batch


def student_batches(
    context: StageContext, seed: int, labels: str | None, cached: tuple[str, ...]
) -> Callable[[int], Batch]:
    """Return the batch of a step of the student: ``unlabelled_image``, and labelled target pairs (eq. 4).

    With ``cache_teachers`` also ``teacher_logits`` (N, 2, C, h, w) float16, region level first.
    """
    config, ddm = context.config, context.config.method
    draws = Draws(seed, context.stage)
    unlabelled = UnlabelledSamples(context, draws, ddm.exclude_labelled)
    labelled = TargetSamples(context, draws, labels if ddm.student_ce == "union" else None)
    teachers = [context.folders[name] for name in cached]

    def batch(step: int) -> Batch:
        positions = context.positions(step, config.train.batch_size)
        arrays = {"unlabelled_image": stack_images([unlabelled.image(p) for p in positions])}
        arrays |= stack([labelled.random_pair(p) for p in positions], "target")
        if teachers:
            names = [unlabelled.name(p) for p in positions]
            arrays["teacher_logits"] = np.stack([[read_logits(folder, name) for folder in teachers] for name in names])
        return arrays

    return batch


def teacher_logits(context: StageContext, predictor: Predictor) -> dict:
    """Write a teacher's logits of the unlabelled images."""
    target, batch_size = context.data.target, context.config.evaluate.batch_size
    names = [target.names[i] for i in unlabelled_positions(context, context.config.method.exclude_labelled)]
    return write_logits(context.folder, target, names, predictor, batch_size)


def pseudo_labels(context: StageContext, predictor: Predictor, number: int) -> dict:
    """Write the student's labels of the unlabelled images; labelled ones count in the thresholds too."""
    target, ddm = context.data.target, context.config.method
    names = [target.names[i] for i in unlabelled_positions(context, ddm.exclude_labelled)]
    predict = predictions(target, predictor, ddm.pseudo.output, context.config.evaluate.batch_size)
    scratch = context.folder.with_name("scratch")  # beside the folder, so that a killed pass finds it again
    classes = len(context.data.classes)
    return write_pseudo_labels(context.folder, scratch, names, predict, classes, ddm.pseudo, number, target.truth)


def window(image: np.ndarray, label: np.ndarray, frame: tuple[int, int], rng: np.random.Generator) -> Pair:
    """Return a random window of ``frame`` (height, width) of a pair at least as large; an equal one as it is.

    Raises:
        UserError: If the pair is smaller than the frame.
    """
    spare = label.shape[0] - frame[0], label.shape[1] - frame[1]
    if min(spare) < 0:
        sizes = f"source {label.shape[1]}x{label.shape[0]}, target {frame[1]}x{frame[0]}"
        raise UserError(f"method.rl_source_size: the source must not be smaller than the target: {sizes}")
    top, left = int(rng.integers(spare[0] + 1)), int(rng.integers(spare[1] + 1))
    inside = slice(top, top + frame[0]), slice(left, left + frame[1])
    return image[inside], label[inside]
