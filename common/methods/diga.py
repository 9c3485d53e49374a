"""DiGA: distil to generalise, then adapt (Shen et al., CVPR 2023, arXiv 2304.02222).

    translator        source images in the target's style (``setting: uda``)
    warmup            a student and its mean teacher distil between two views of a source image, in both directions
    roundR/pseudo     the student, or its teacher, labels the target, every pixel
    centroids         the classes' mean features on the target
    roundR/selftrain  labels count where the nearest centroid agrees; they supervise mixed images

``setting: dg`` (generalisation) is the warm-up alone, with augmented views; ``setting: semi`` takes the target's
labelled images for the source and needs no translator. Not built: labels made while self-training goes on, translations
kept on disk, and the paper's results on top of HRDA, whose code the authors did not release.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from common.data.crops import flip_and_crop
from common.data.transforms import stack_images
from common.draws import generator
from common.errors import UserError
from common.methods.diga_batches import pseudo_size, selftraining_batches, translator_batches, warmup_batches
from common.methods.diga_settings import DiGASettings, PhaseSettings
from common.methods.needs import need_data
from common.methods.samples import unlabelled_positions
from common.networks.translator import JUDGED_SIDE, SIDE_STEP, TRANSLATED_SIDE
from common.pseudo.centroids import stream_centroids, write_centroids
from common.pseudo.folder import check_names, write_pseudo_label
from common.stage import Stage, StageContext

if TYPE_CHECKING:
    from collections.abc import Iterator

    from common.config import Config


_OF_STUDENTS = (
    *("lambda_main", "lambda_aux", "lambda_reverse", "seg_loss", "ce_normalise", "ohem_threshold", "ohem_min_kept"),
    *("distil_mask", "ema_cap", "teacher_mode", "dropout", "target_bn_pass", "warmup", "self_training", "centroids"),
)
_UNUSED = {  # phase -> options that it does not use, and those that count otherwise: as steps, as files, upstream
    "translator": {**dict.fromkeys(_OF_STUDENTS, True), "translator": {"steps", "hand_on", "weights", "vgg"}},
    "warmup": {
        **dict.fromkeys(("translator", "self_training", "centroids", "teacher_mode"), True),
        "warmup": {"steps"},
    },
    "self_training": {
        **dict.fromkeys(("translator", "warmup", "target_bn_pass"), True),
        **{"self_training": {"steps"}, "centroids": {"passes", "recompute"}},
    },
}


class DiGA:
    """The stages of DiGA."""

    Settings = DiGASettings
    TASKS = ("segmentation",)

    @staticmethod
    def stages(config: Config) -> list[Stage]:
        """Return translator, warm-up, and the rounds of self-training.

        Raises:
            UserError: If the configuration lacks data that the setting needs, or the crop does not fit the translator.
        """
        method = config.method
        _check(config)
        uda = method.setting == "uda"
        stages = [_translator(config)] if uda and not method.translator.weights else []
        step = method.translator.hand_on
        frozen = {"translator": f"translator@{step}" if step else "translator"} if stages else {}
        stages.append(
            Stage(
                name="warmup",
                title="DiGA, generalisation" if method.setting == "dg" else "DiGA, warm-up",
                objective="diga_warmup",
                steps=method.warmup.steps or config.train.steps,
                batches=partial(warmup_batches, translated=uda),
                frozen=frozen,
                settings=_settings(method, "warmup"),
                files=method.translator.weights,
                changes=_changes(method.warmup),
            )
        )
        if method.setting == "dg":
            return stages
        for number in range(1, method.rounds + 1):
            stages += _round(config, number, stages[-1].name, frozen)
        return stages


def _check(config: Config) -> None:
    setting = config.method.setting
    needed = {"uda": ("source", "target"), "dg": ("source",), "semi": ("target", "labelled")}[setting]
    if setting == "dg" and config.method.sees_target:
        needed = ("source", "target")
    need_data(config, f"method.setting '{setting}'", *needed)
    if setting == "uda":
        _check_crop(config)


def _check_crop(config: Config) -> None:
    """Refuse a crop that the translator would give back in another size, or that is too small for its networks."""
    crop, least = config.method.crop, TRANSLATED_SIDE if config.method.translator.weights else JUDGED_SIDE
    if any(side % SIDE_STEP or side < least for side in crop):
        fits = [max(side - side % SIDE_STEP, least) for side in crop]
        need = f"the translator needs sides of at least {least} that {SIDE_STEP} divides, such as {fits}"
        raise UserError(f"{config.name}: method.crop is {list(crop)}; {need}")


def _translator(config: Config) -> Stage:
    options = config.method.translator
    optim = {
        "name": "adam", "lr": options.lr, "betas": options.betas, "weight_decay": 0.0, "head_lr_mult": 1.0,
        "schedule": "poly", "power": options.power, "horizon": None, "repeats": {}, "warmup": 0, "clip": None,
    }  # fmt: skip
    return Stage(
        name="translator",
        title="DiGA, image translator",
        objective="diga_translator",
        steps=options.steps,
        batches=translator_batches,
        settings=_settings(config.method, "translator"),
        files=(options.vgg,) if options.vgg and options.lambda_perceptual else (),
        score=False,
        changes={"optim": optim, "train": {"ema": None}},
        snapshots=(options.hand_on,) if options.hand_on else (),
    )


def _round(config: Config, number: int, before: str, frozen: dict[str, str]) -> list[Stage]:
    """Return the stages of one round; ``before`` is the training that it goes on from."""
    method, name = config.method, f"round{number}"
    labeller = f"{before}:teacher" if method.labels_by == "teacher" else before
    fresh = number == 1 or method.centroids.recompute
    own = f"{name}/centroids" if method.centroids.recompute else "centroids"
    pseudo = Stage(
        name=f"{name}/pseudo",
        title=f"offline labels, round {number}",
        frozen={"network": labeller},
        produce=write_offline_labels,
        settings={"evaluate": config.evaluate.model_dump(mode="json"), "size": method.target_full},
        score=False,
    )
    centroids = Stage(
        name=own,
        title="class centroids",
        frozen={"network": labeller},
        produce=write_first_centroids,
        settings={"passes": method.centroids.passes, "sizes": (method.target_low, method.target_full)},
        score=False,
    )
    train = Stage(
        name=f"{name}/selftrain",
        title=f"DiGA, self-training, round {number}",
        objective="diga_selftraining",
        steps=method.self_training.steps or config.train.steps,
        batches=partial(
            selftraining_batches, translated=method.setting == "uda", pseudo=pseudo.name, centroids=own
        ),
        start=before,
        frozen={**frozen, "teacher": f"{before}:teacher"},
        reads=(pseudo.name, own),
        settings=_settings(method, "self_training"),
        files=method.translator.weights,
        changes=_changes(method.self_training),
    )
    return [pseudo, *([centroids] if fresh else []), train]


def _settings(method: DiGASettings, phase: str) -> dict[str, Any]:
    """Return what a phase depends on beside its steps, its files and the stages upstream: the options that it uses."""
    found = method.model_dump(mode="json", exclude={**dict.fromkeys(("rounds", "labels_by"), True), **_UNUSED[phase]})
    if method.setting == "uda" and phase != "translator":
        found["translator"] = {"width": method.translator.width}
    return found


def _changes(phase: PhaseSettings) -> dict[str, dict[str, Any]]:
    """Return what a phase has otherwise than the run."""
    wanted = {
        "optim": {"schedule": phase.schedule, "lr": phase.lr},
        "network": {"freeze_bn_stats": phase.freeze_bn_stats},
    }
    given = {name: {key: one for key, one in some.items() if one is not None} for name, some in wanted.items()}
    return {name: some for name, some in given.items() if some}


def write_offline_labels(context: StageContext, predictor: Any) -> dict:
    """Label every unlabelled target image by the largest score of all scales, one image at a time.

    Returns:
        How many images, and the share of each class among the pixels.
    """
    size = pseudo_size(context)
    target, semi = context.data.target.resized(size), context.config.method.setting == "semi"
    places = unlabelled_positions(context, without_labelled=semi)
    names = [target.names[place] for place in places]
    check_names(names)
    pixels = np.zeros(256, np.int64)
    for place, name in zip(places, names):
        label = predictor.labels(stack_images([target.image(place)]), (size[1], size[0]))[0]
        write_pseudo_label(context.folder, name, label)
        pixels += np.bincount(label.ravel(), minlength=256)
    classes = context.data.classes.names
    return {"images": len(names), "share": {n: round(float(c / pixels.sum()), 5) for n, c in zip(classes, pixels)}}


def write_first_centroids(context: StageContext, predictor: Any) -> dict:
    """Take the classes' mean features over several passes; ``setting: semi`` looks at crops of full size as well.

    Returns:
        How many vectors each class has.
    """
    memory = stream_centroids(predictor.class_means(images) for images in _centroid_images(context))
    write_centroids(context.folder, memory)
    return {"vectors": dict(zip(context.data.classes.names, map(int, memory["counts"])))}


def _centroid_images(context: StageContext) -> Iterator[np.ndarray]:
    """Yield (1, 3, H, W) uint8 images of the target, at low resolution and in order of the list.

    ``setting: semi`` draws a crop of that size from the image at full resolution as well, and flips either at random.
    """
    method, target = context.config.method, context.data.target
    low, full = (target.resized(size) if size else target for size in (method.target_low, method.target_full))
    for turn in range(method.centroids.passes):
        for place in range(len(target)):
            image = low.image(place)
            if method.setting != "semi":
                yield stack_images([image])
                continue
            rng = generator(context.config.seed, context.stage, "crop", turn * len(target) + place)
            for one in (image, full.image(place)):
                yield stack_images(flip_and_crop([one], "crop", (image.shape[1], image.shape[0]), rng))
