"""Options of AuG-KD. The released code differs from the paper in places; each such quirk is an option of its own."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from common.methods.augkd_rules import Course
from common.networks import NetworkConfig
from common.networks.resnet import ResNetConfig
from common.schema import Fraction, Strict

Row = Literal["no_kd", "raw_kd", "finetune", "kd", "no_anchor", "no_mixup"]


class TeacherSettings(Strict):
    """The teacher, and how it is trained on ``data.source``."""

    network: NetworkConfig = ResNetConfig(depth=34)
    steps: NonNegativeInt | None = None  # None: train.steps; 0: network.weights is a trained teacher
    batch_size: PositiveInt | None = None  # None: train.batch_size
    accumulate: PositiveInt | None = None  # micro-batches a step; None: train.accumulate
    lr: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 0.0
    ignore_weight_decay: bool = False  # official: its command line takes a weight decay and does not use it


class DataFreeSettings(Strict):
    """Module 1: generator, encoder and student learn without data."""

    epochs: PositiveInt = 200  # of the cosine schedule of generator and student, and between two judgements
    iterations: PositiveInt = 200  # an epoch; each is one step of the generator ...
    inner: PositiveInt = 5  # ... and so many of student and encoder
    batch_size: PositiveInt | None = None  # None: train.batch_size
    accumulate: PositiveInt | None = None  # micro-batches a step; None: train.accumulate
    lr: PositiveFloat | None = None  # the student's; None: optim.lr
    generator_lr: NonNegativeFloat = 1e-3
    encoder_lr: PositiveFloat = 1e-4  # constant
    judge_batches: PositiveInt = 10  # the best weights are chosen by the generator's loss on so many
    scored_on: Literal["val", "test"] = "val"  # official: test; the student's accuracy decides between equal losses


class AnchorSettings(Strict):
    """Module 2: the anchor network."""

    steps: PositiveInt | None = None  # None: train.steps
    epochs: PositiveInt = 200  # half a period of the cosine schedule, in the unit below
    lr: PositiveFloat = 1e-3
    sched_unit: Literal["epoch", "iteration"] = "epoch"  # official: the schedule moves every iteration, and rises again
    invariant: Fraction = 0.25  # share of a latent vector that an anchor should keep
    uncertainty: Literal["energy", "max_softmax"] = "energy"
    temperature: PositiveFloat = 1.0  # of the energy
    mask_budget: Literal["batch", "sample"] = "batch"  # sample: each image's mask has a budget of its own
    val_normalize_encoder_input: bool = False  # official: while it is judged, the encoder sees normalised images


class MixupSettings(Strict):
    """Module 3: mixtures of real images with those of their anchors."""

    steps: PositiveInt | None = None  # None: train.steps
    epochs: PositiveInt = 200  # in which the ratio moves, and between two scores
    course: Course = "linear"
    a: PositiveFloat = 0.6  # share of the stage after which only real images are left
    b: Fraction = 0.2  # share of the real image at the beginning
    target: Literal["teacher", "student"] = "teacher"  # official: the student is its own target
    normalize_real: bool = True  # official: real images enter the student as they are, in [0, 1]
    encoder_noise: bool = True  # False: the encoder's mean, here and where anchors are judged


class SearchSettings(Strict):
    """Students for every pair of a and b, scored on the validation images; nothing unless both are given."""

    a: tuple[PositiveFloat, ...] = ()  # for example [0.2, 0.4, 0.6, 0.8, 1.0]
    b: tuple[Fraction, ...] = ()  # for example [0, 0.2, 0.4, 0.6, 0.8]


class DistillSettings(Strict):
    """The loss of the last stage and of plain distillation."""

    weight: Fraction = 0.5  # u: of the cross entropy; 1 - u is that of the divergence
    temperature: PositiveFloat = 10.0


QUIRKS: dict[str, dict[str, Any]] = {  # what ``compat: official`` sets where the configuration is silent
    "teacher": {"ignore_weight_decay": True},
    "datafree": {"scored_on": "test"},
    "anchor": {"sched_unit": "iteration", "val_normalize_encoder_input": True},
    "mixup": {"target": "student", "normalize_real": False},
}


class AugKDSettings(Strict):
    """Options of AuG-KD; the defaults are those of the released recipe for Office-31, read as the paper means it."""

    name: Literal["augkd"] = "augkd"
    compat: Literal["paper", "official"] = "paper"
    latent_size: PositiveInt = 100
    latent_width: PositiveInt = 64  # channels of generator and encoder beside the image
    image_size: PositiveInt = Field(32, multiple_of=4)  # height and width of the images, real and generated
    teacher: TeacherSettings = TeacherSettings()
    datafree: DataFreeSettings = DataFreeSettings()
    anchor: AnchorSettings = AnchorSettings()
    mixup: MixupSettings = MixupSettings()
    distill: DistillSettings = DistillSettings()
    search: SearchSettings = SearchSettings()
    rows: tuple[Row, ...] = ()  # further students for comparison: baselines and ablations
    finetune_weights: Path | None = None  # student of rows finetune and kd, made elsewhere; None: that of module 1

    @model_validator(mode="before")
    @classmethod
    def _official(cls, tree: Any) -> Any:
        """Fill in the quirks of the released code; what the configuration says itself stays."""
        if not isinstance(tree, dict) or tree.get("compat") != "official":
            return tree
        sections = {name: tree.get(name) or {} for name in QUIRKS}
        filled = {name: {**QUIRKS[name], **one} for name, one in sections.items() if isinstance(one, dict)}
        return {**tree, **filled}
