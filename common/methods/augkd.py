"""AuG-KD: anchor-based mixup generation for out-of-domain distillation (Tang et al., ICLR 2024, arXiv 2403.07030).

A big teacher knows a domain whose data is gone; a small student must work on another, of which few labels are there.

    teacher    cross entropy on the teacher's domain, ``data.source``; or none, of a file (``teacher.steps: 0``)
    datafree   generator, encoder and student learn from the teacher alone (module 1)
    anchor     the anchor network moves latent vectors of the student's domain to where the teacher is sure (module 2)
    mixup      the student learns from ``data.labelled`` and its mixtures with the images of anchors (module 3)

What a stage computes: ``torch_impl/methods/augkd.py`` and ``augkd_datafree.py``, and their twins in ``ms_impl``.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

from common.errors import UserError
from common.methods.augkd_batches import (
    anchor_batches,
    datafree_batches,
    judge_anchor,
    judge_datafree,
    mixup_batches,
    picture_anchor,
    picture_datafree,
    picture_mixup,
    student_batches,
)
from common.methods.augkd_settings import AugKDSettings, DataFreeSettings, Row, TeacherSettings
from common.methods.supervised import class_batches
from common.schema import ClassificationDatasetConfig
from common.stage import Stage

if TYPE_CHECKING:
    from common.config import Config

TITLES: dict[Row, str] = {
    "no_kd": "labelled images only",
    "raw_kd": "distillation, no anchors",
    "finetune": "module 1, then labelled images",
    "kd": "module 1, then distillation",
    "no_anchor": "AuG-KD without anchors",
    "no_mixup": "AuG-KD without mixing",
}
_GENERATOR, _ENCODER = "datafree@best:generator", "datafree@best:encoder"


class AugKD:
    """The modules of AuG-KD as a list of stages, and the rows to compare with."""

    Settings, TASKS = AugKDSettings, ("classification",)

    @staticmethod
    def stages(config: Config) -> list[Stage]:
        """Return teacher, datafree and anchor, the students to compare with (``method.rows``, ``search``), then mixup.

        The last stage is what a method is judged by.

        Raises:
            UserError: If the configuration lacks the labelled images of the student's domain, or a teacher's source.
        """
        if config.data.labelled is None:
            raise UserError(f"{config.name}: method augkd needs data.labelled: the student's labelled images, or 'all'")
        teacher = config.method.teacher
        if teacher.steps == 0 and teacher.network.weights is None:
            raise UserError(f"{config.name}: method.teacher.steps is 0; set method.teacher.network.weights to its file")
        if teacher.steps != 0 and config.data.source is None:
            missing = "data.source to train the teacher on, or method.teacher.steps: 0 and a teacher's file"
            raise UserError(f"{config.name}: method augkd needs {missing}")
        _check_sizes(config)
        modules = [teacher_stage(config), datafree_stage(config), anchor_stage(config)]
        rows = [row_stage(config, row) for row in config.method.rows]
        return [*modules, *rows, *search_stages(config), mixup_stage(config, "mixup", "AuG-KD")]


def teacher_stage(config: Config) -> Stage:
    """Return the training of the teacher on its own domain."""
    teacher = config.method.teacher
    steps = config.train.steps if teacher.steps is None else teacher.steps
    decay = 0.0 if teacher.ignore_weight_decay else teacher.weight_decay
    return Stage(
        name="teacher",
        title="teacher, on its own domain",
        objective="supervised_classes",
        steps=steps,
        batches=partial(class_batches, domains="source_only"),
        settings={"domains": "source_only"},
        changes={
            "network": teacher.network,
            "optim": _adam(config, lr=teacher.lr, weight_decay=decay),
            "train": _train(config, steps, config.method.mixup.epochs, teacher),
        },
        scored_on="source_val" if config.data.source_val else "val",
    )


def datafree_stage(config: Config) -> Stage:
    """Return the stage that learns without data (module 1); its best weights are those of the best generator."""
    datafree = config.method.datafree
    steps = datafree.epochs * datafree.iterations
    rate = {"lr": datafree.lr or config.optim.lr, "weight_decay": config.optim.weight_decay}
    cosine = {"schedule": "cosine_wave", "horizon": datafree.epochs, "epoch": datafree.iterations}
    return Stage(
        name="datafree",
        title="student of the generator",
        objective="augkd_datafree",
        steps=steps,
        batches=datafree_batches,
        frozen=_teacher(config),
        settings=_settings(config, "datafree"),
        changes={
            "optim": _adam(config, **rate, **cosine),
            "train": _train(config, steps, datafree.epochs, datafree),
        },
        judge=judge_datafree,
        picture=picture_datafree,
        scored_on="test" if datafree.scored_on == "test" and config.data.test else "val",
    )


def anchor_stage(config: Config) -> Stage:
    """Return the stage that trains the anchor network (module 2)."""
    anchor = config.method.anchor
    steps = anchor.steps or config.train.steps
    unit = 1 if anchor.sched_unit == "iteration" else max(1, steps // anchor.epochs)
    cosine = {"schedule": "cosine_wave", "horizon": anchor.epochs, "epoch": unit}
    return Stage(
        name="anchor",
        title="anchor network",
        objective="augkd_anchor",
        steps=steps,
        batches=anchor_batches,
        frozen={**_teacher(config), "generator": _GENERATOR, "encoder": _ENCODER},
        settings=_settings(config, "anchor"),
        score=False,
        changes={
            "optim": _adam(config, lr=anchor.lr, weight_decay=0.0, **cosine),
            "train": _train(config, steps, anchor.epochs, None),
        },
        judge=judge_anchor,
        picture=picture_anchor,
    )


def mixup_stage(config: Config, name: str, title: str, anchors: bool = True, mixing: bool = True) -> Stage:
    """Return the stage that trains the student on mixtures (module 3).

    Args:
        config: The configuration.
        name: Of the stage.
        title: What a reader sees.
        anchors: False leaves latent vectors where they are (ablation "w/o Anchor").
        mixing: False holds the ratio at 0, so that only the anchors' images stand beside the real ones.
    """
    steps = config.method.mixup.steps or config.train.steps
    held = {"generator": _GENERATOR, "encoder": _ENCODER, **({"anchor": "anchor@best"} if anchors else {})}
    return _student(
        config,
        name,
        title,
        objective="augkd_mixup",
        batches=partial(mixup_batches, steps=steps, mixing=mixing),
        start="datafree@best",
        frozen={**_teacher(config), **held},
        settings={**_settings(config, "mixup", "distill"), "mixing": mixing},
        picture=picture_mixup,
    )


def search_stages(config: Config) -> list[Stage]:
    """Return a student for every pair of ``method.search``, which the validation images alone score.

    The official search scores on the test images.
    """
    augkd, found = config.method, []
    for a, b in product(augkd.search.a, augkd.search.b):
        mixup = augkd.mixup.model_copy(update={"a": a, "b": b})
        point = config.model_copy(update={"method": augkd.model_copy(update={"mixup": mixup})})
        stage = mixup_stage(point, f"search/a{a:g}-b{b:g}", f"AuG-KD, a {a:g}, b {b:g} (on val)")
        found.append(replace(stage, tested=False, changes={**stage.changes, "method": point.method}))
    return found


def row_stage(config: Config, row: Row) -> Stage:
    """Return the stage of a row to compare with (the paper's baselines and ablations)."""
    name, title = f"rows/{row}", TITLES[row]
    if row in ("no_anchor", "no_mixup"):
        return mixup_stage(config, name, title, anchors=row != "no_anchor", mixing=row != "no_mixup")
    start = "datafree@best" if row in ("finetune", "kd") and not config.method.finetune_weights else None
    distilled = row in ("raw_kd", "kd")
    stage = {
        "objective": "augkd_distilled" if distilled else "supervised_classes",
        "batches": student_batches,
        "start": start,
        "frozen": _teacher(config) if distilled else {},
        "settings": _settings(config, "distill") if distilled else {},
    }
    if row in ("finetune", "kd") and config.method.finetune_weights:
        given = config.network.model_copy(update={"weights": config.method.finetune_weights})
        stage["changes"] = {"network": given}
    return _student(config, name, title, **stage)


def _student(config: Config, name: str, title: str, changes: dict[str, Any] | None = None, **stage: Any) -> Stage:
    """Return a stage that trains the student on its labelled images, as all rows do: the same steps and scores."""
    mixup = config.method.mixup
    steps = mixup.steps or config.train.steps
    optim = _adam(config, lr=config.optim.lr, weight_decay=config.optim.weight_decay)
    changed = {"optim": optim, "train": _train(config, steps, mixup.epochs, None), **(changes or {})}
    return Stage(name=name, title=title, steps=steps, changes=changed, **stage)


def _teacher(config: Config) -> dict[str, str]:
    """Return the role of the teacher: its best weights if its own domain has images to choose by, else the last."""
    return {"teacher": "teacher@best" if config.data.source_val else "teacher@last"}


def _check_sizes(config: Config) -> None:
    """Raise a UserError unless all images have the size that generator and encoder are made for."""
    side = config.method.image_size
    for role in ("labelled", "target", "val", "test", "source"):
        section = getattr(config.data, role)
        if isinstance(section, ClassificationDatasetConfig) and (section.crop or section.size) != (side, side):
            wanted = f"[{side}, {side}], as method.image_size says"
            raise UserError(f"{config.name}: data.{role} needs size, or crop, {wanted}")


def _adam(config: Config, **options: Any) -> dict[str, Any]:
    """Return the section ``optim`` of a stage: Adam, and PyTorch's ConstantLR unless ``options`` say otherwise."""
    whole = {"name": "adam", "head_lr_mult": 1.0, "schedule": "constant_after_third", **options}
    return whole if config.optim.name == "adam" else {**whole, "name": config.optim.name}


def _train(config: Config, steps: int, epochs: int, own: TeacherSettings | DataFreeSettings | None) -> dict[str, Any]:
    """Return the section ``train`` of a stage that is scored at the end of each of so many epochs."""
    every = config.train.evaluate_every or max(1, steps // epochs)
    given = own.model_dump(include={"batch_size", "accumulate"}, exclude_none=True) if own else {}
    return {"evaluate_every": every, **given}


def _settings(config: Config, *sections: str) -> dict[str, Any]:
    """Return what a stage depends on: its sections of the method, the sizes, and the teacher."""
    augkd = config.method
    included, counted = {*sections, "latent_size", "latent_width", "image_size"}, {"datafree": {"accumulate"}}
    chosen = augkd.model_dump(mode="json", include=included, exclude=counted)  # that counts as images_a_step
    return {**chosen, "teacher": augkd.teacher.network.model_dump(mode="json", exclude={"weights"})}  # by their digest
