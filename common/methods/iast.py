"""IAST: instance adaptive self-training for unsupervised domain adaptation (Mei et al., ECCV 2020, arXiv 2008.12197).

    source           cross entropy on source images
    warmup           output-space adversarial training against a discriminator
    roundN/pseudo    labels of the target by the generator G, with thresholds that follow the stream of images
    roundN/train     cross entropy on those labels, and a regulariser for either region

G is held fixed while M trains on its labels. Where the paper and the authors' code differ the code counts, as a rule
of this page: what is an option has the recommended form as its default, ``_official.yaml`` the code's own.
What the authors' later HIAST adds (Zhu et al., TPAMI 2025) is off by default: ``self_training.copy_paste`` lays copies
of hard classes over the images, ``self_training.lambda_consistency`` has an averaged network teach where there is no
label, and label for the next round; ``gta5_to_cityscapes_hiast.yaml`` switches both on. Which classes are hard is told
by the confidence of the pseudo-labels: a round holds it fixed, where the authors let it follow the training.
Not built: BasePredictor behind DeepLabV2, which no file of theirs asks for. It doubles the size of the logits and fills
the rest of the image with zeros, so it is a tested block (``nets/blocks.py``) and no choice of a configuration.

What a stage computes: ``torch_impl/methods/iast.py``, ``ms_impl/methods/iast.py``.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from common.data.copy_paste import CopyPasteConfig
from common.data.sized_crop import SizedCropConfig
from common.errors import UserError
from common.methods.iast_batches import self_training_batches, source_batches, warmup_batches
from common.methods.needs import need_data
from common.networks.output_discriminator import OutputDiscriminatorConfig
from common.pseudo.instance import InstanceSettings, instance_labels
from common.schema import Fraction, OptimConfig, Size, Strict
from common.stage import Stage

if TYPE_CHECKING:
    from common.config import Config


class TrainingSettings(Strict):
    """What the stages of training may have otherwise than the sections ``optim``, ``train`` and ``evaluate``."""

    steps: PositiveInt | None = None
    batch_size: PositiveInt | None = None  # images of each domain, a rank
    accumulate: PositiveInt | None = None  # micro-batches a step, see train.accumulate
    lr: PositiveFloat | None = None  # of the head; the schedule's floor moves with it
    horizon: PositiveInt | None = None  # steps of the schedule's first wave (T_MAX); None: the stage's steps
    evaluate_every: PositiveInt | None = None
    scales: tuple[PositiveFloat | Size, ...] | None = None  # of the score, see evaluate.scales
    bn: Literal["affine", "frozen", "trained"] | None = None  # instead of method.bn


class WarmUpSettings(TrainingSettings):
    """The adversarial warm-up (section 4.4 of the paper)."""

    lambda_source: NonNegativeFloat = 1.0
    lambda_adversarial: NonNegativeFloat = 0.05  # GTA5; SYNTHIA 0.001
    discriminator_lr: PositiveFloat = 2e-5
    discriminator_eps: PositiveFloat = 1e-8  # of its Adam
    loss: Literal["mse", "bce"] = "mse"
    update_every: PositiveInt = 1  # steps between two updates of the discriminator
    discriminator: OutputDiscriminatorConfig = OutputDiscriminatorConfig()

    def discriminator_optim(self, optim: OptimConfig) -> OptimConfig:
        """Return Adam without weight decay at the discriminator's own rate, under the run's schedule."""
        own = {"name": "adam", "lr": self.discriminator_lr, "weight_decay": 0.0, "backbone_lr_mult": 1.0}
        own |= {"betas": (0.9, 0.999), "eps": self.discriminator_eps}
        return OptimConfig.model_validate({**optim.model_dump(), **own})


class SelfTrainingSettings(TrainingSettings):
    """The training of a round (section 4.2 of the paper)."""

    lambda_pseudo: NonNegativeFloat = 1.0
    lambda_confident: NonNegativeFloat = 0.1  # R_c: KL to uniform where there is a pseudo-label
    lambda_ignored: NonNegativeFloat = 3.0  # R_i: entropy where there is none
    lambda_source: NonNegativeFloat = 0.0  # 0: source images are not even read
    empty_region: Literal["zero", "nan"] = "zero"  # a loss over no pixel; nan as in the official code

    copy_paste: CopyPasteConfig | None = None  # HIAST: copies of hard classes; needs pseudo.bank
    lambda_consistency: NonNegativeFloat = 0.0  # HIAST, 0.5 there: the averaged network teaches where there is no label
    teacher_momentum: Fraction = 0.999  # of the averaged network, when it teaches
    strong_operations: Annotated[int, Field(ge=0, le=8)] = 3  # of eight, half happen: the strong view


class RoundSettings(TrainingSettings):
    """What one round has otherwise than ``self_training``, ``pseudo`` and ``generator_step``."""

    alpha: NonNegativeFloat | None = None
    size: Size | None = None  # of the images that G labels
    generator_step: PositiveInt | None = None


class IASTSettings(Strict):
    """Options of IAST; the defaults are the authors' configuration files but for what their comments say."""

    FITS_LABELS: ClassVar[bool] = True  # a label of another size than its image is resized: some of GTA5's are

    name: Literal["iast"] = "iast"
    begin: Literal["source", "warmup", "self_training"] = "source"  # later ones start from network.weights
    generator_weights: Path | None = None  # self_training: G of the first round; None: network.weights too
    lambda_main: NonNegativeFloat = 1.0  # cross entropy of true labels: weight of the last stage's head ...
    lambda_aux: NonNegativeFloat = 0.1  # ... and of the auxiliary head, where the network has one
    fixed_order: bool = False  # every epoch in the order of PyTorch's seed 0, the last incomplete batch never seen
    crop_source: SizedCropConfig | None = SizedCropConfig(heights=(341, 950))  # None: images as they are
    crop_target: SizedCropConfig | None = SizedCropConfig(heights=(341, 1000))

    source: TrainingSettings = TrainingSettings()
    warmup: WarmUpSettings = WarmUpSettings()
    pseudo: InstanceSettings = InstanceSettings()
    self_training: SelfTrainingSettings = SelfTrainingSettings()
    rounds: tuple[RoundSettings, ...] = (RoundSettings(), RoundSettings(alpha=0.25), RoundSettings(alpha=0.3))

    selection: Literal["last", "best"] = "last"  # source's weights, and G after the warm-up; best looks at val labels
    generator: Literal["earlier", "last"] = "earlier"  # G from round 2 on: a snapshot of the round before, or its end
    generator_step: PositiveInt | None = None  # earlier: after so many steps; None: half of them
    bn: Literal["affine", "frozen", "trained"] = "affine"  # behind source: scales held, statistics too, nothing


class IAST:
    """Warm-up and rounds of IAST as a list of stages."""

    Settings = IASTSettings
    TASKS = ("segmentation",)

    @staticmethod
    def stages(config: Config) -> list[Stage]:
        """Return source, warmup, and pseudo and train of every round.

        Raises:
            UserError: If the configuration has no source or no target, or what an option needs is missing.
        """
        iast = config.method
        without = iast.begin == "self_training" and not iast.self_training.lambda_source
        need_data(config, "method iast", *(() if without else ("source",)), "target")
        if iast.begin != "source" and config.network.weights is None:
            raise UserError(f"{config.name}: method.begin: {iast.begin} starts from network.weights; name the file")
        if iast.self_training.copy_paste and not (iast.pseudo.bank or iast.pseudo.folder):
            wanted = "the images that are remembered of each class, such as 500"
            raise UserError(f"{config.name}: method.self_training.copy_paste needs method.pseudo.bank, {wanted}")
        if iast.begin == "self_training":
            return [*imported(config), *rounds(config, "model", "generator")]
        before = [] if iast.begin == "warmup" else [source_stage(config)]
        start = f"source@{iast.selection}" if before else None
        return [*before, warmup_stage(config, start), *rounds(config, "warmup@last", f"warmup@{iast.selection}")]


def source_stage(config: Config) -> Stage:
    """Return the training on source images alone."""
    return Stage(
        name="source",
        title="source only, as IAST trains it",
        objective="supervised",
        steps=config.method.source.steps or config.train.steps,
        batches=source_batches,
        settings=_options(config, {"lambda_main", "lambda_aux", "fixed_order", "crop_source"}),
        changes=_changes(config, config.method.source, "trained"),
    )


def warmup_stage(config: Config, start: str | None) -> Stage:
    """Return the adversarial warm-up, which starts from the weights that ``start`` refers to."""
    options = {"lambda_main", "lambda_aux", "fixed_order", "crop_source", "crop_target", "warmup"}
    return Stage(
        name="warmup",
        title="adversarial warm-up",
        objective="iast_warmup",
        steps=config.method.warmup.steps or config.train.steps,
        batches=warmup_batches,
        start=start,
        settings=_options(config, options),
        changes=_changes(config, config.method.warmup, config.method.bn),
    )


def imported(config: Config) -> list[Stage]:
    """Return two stages without a step, which hold M and G of the first round as files gave them."""
    files = {"model": config.network.weights, "generator": config.method.generator_weights or config.network.weights}
    return [
        Stage(
            name=name,
            title=f"{name} of the first round, imported",
            objective="supervised",
            changes={"network": {"weights": path}},
        )
        for name, path in files.items()
    ]


def rounds(config: Config, model: str, generator: str) -> list[Stage]:
    """Return the stages of all rounds; the first has M and G from the weights that are referred to."""
    iast, stages = config.method, []
    for number, own in enumerate(iast.rounds, 1):
        training = _merged(iast.self_training, own)
        steps = training.steps or config.train.steps
        snapshot = min(own.generator_step or iast.generator_step or (steps + 1) // 2, steps)
        earlier = iast.generator == "earlier" and number < len(iast.rounds)
        labels = pseudo_stage(config, number, own, generator)
        options = {"lambda_main", "lambda_aux", "fixed_order", "crop_target"}
        options |= {"crop_source"} if iast.self_training.lambda_source else set()
        train = Stage(
            name=f"round{number}/train",
            title=f"{_called(training)}, round {number}",
            objective="iast_self_training",
            steps=steps,
            batches=partial(self_training_batches, labels=labels.name, size=own.size or iast.pseudo.size),
            start=model,
            reads=(labels.name,),
            settings={
                **_options(config, options),
                "self_training": training.model_dump(mode="json", exclude={"accumulate"}),
            },
            changes=_taught(_changes(config, training, iast.bn), training),
            snapshots=(snapshot,) if earlier else (),
        )
        stages += [labels, train]
        # The weights that a stage hands on are the averaged ones where there are any: G's. M goes on as it was.
        part = ":model" if training.lambda_consistency else ""
        model, generator = f"{train.name}@last{part}", f"{train.name}@{snapshot if earlier else 'last'}"
    return stages


def pseudo_stage(config: Config, number: int, own: RoundSettings, generator: str) -> Stage:
    """Return the pass that labels the target with G."""
    settings = _merged(config.method.pseudo, own)
    return Stage(
        name=f"round{number}/pseudo",
        title=f"pseudo-labels, round {number}",
        frozen={"generator": generator},
        produce=partial(instance_labels, settings=settings),
        settings={"pseudo": settings.model_dump(mode="json")},
        score=False,
        changes={"evaluate": {"scales": settings.scales, "flip": settings.flip, "window": None}},
    )


def _options(config: Config, names: set[str]) -> dict[str, Any]:
    """Return options that a stage depends on; ``accumulate`` counts with the images of a step."""
    return config.method.model_dump(mode="json", include=names, exclude={"warmup": {"accumulate"}})


def _merged(base: Strict, own: RoundSettings) -> Any:
    """Return a section with what a round has otherwise."""
    known = type(base).model_fields
    given = {name: value for name, value in own.model_dump(exclude_none=True).items() if name in known}
    return base.model_copy(update=given)


def _changes(config: Config, training: TrainingSettings, bn: str) -> dict[str, dict[str, Any]]:
    """Return what a stage has otherwise than the run."""
    lr, optim = training.lr or config.optim.lr, config.optim
    changes: dict[str, dict[str, Any]] = {
        "optim": {"lr": lr, "floor": optim.floor * lr / optim.lr, "horizon": training.horizon or optim.horizon},
        "train": {
            "batch_size": training.batch_size or config.train.batch_size,
            "accumulate": training.accumulate or config.train.accumulate,
            "evaluate_every": training.evaluate_every or config.train.evaluate_every,
        },
        "network": _held(config, training.bn or bn),
    }
    evaluate = {"scales": training.scales, "flip": False, "output": "input_logits"}  # while training: of one pass
    return changes | ({"evaluate": evaluate} if training.scales else {})


def _called(training: SelfTrainingSettings) -> str:
    """Return what a round's training is called."""
    return "HIAST" if training.copy_paste and training.lambda_consistency else "self-training"


def _taught(changes: dict[str, dict[str, Any]], training: SelfTrainingSettings) -> dict[str, dict[str, Any]]:
    """Return the changes of a stage with an averaged network, where one teaches."""
    if training.lambda_consistency:
        changes["train"]["ema"] = training.teacher_momentum
    return changes


def _held(config: Config, bn: str) -> dict[str, bool]:
    """Return what of BatchNorm does not train, in the terms of the networks that have it."""
    held = {"freeze_bn_affine": bn != "trained", "freeze_bn_stats": bn == "frozen"}
    return {name: value for name, value in held.items() if name in type(config.network).model_fields}
