"""Options of DiGA (Shen et al., CVPR 2023, arXiv 2304.02222). Defaults are the released GTA5 scripts'."""

from pathlib import Path
from typing import Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from common.data.crops import Crop
from common.data.strong_colour import StrongConfig
from common.schema import Fraction, Size, Strict

Pair = tuple[NonNegativeInt, NonNegativeInt]  # images of low and of full resolution, a rank, a step


class TranslatorSettings(Strict):
    """The image translator of ``setting: uda``."""

    steps: PositiveInt = 50_000
    batch_size: Pair = (1, 1)
    width: PositiveInt = 64  # channels at full size
    hand_on: PositiveInt | None = None  # step whose weights the method uses; None: the last
    weights: tuple[Path, ...] = ()  # files with enc_s.* and dec_s2t.*, instead of the stage that trains them
    vgg: Path | None = None  # VGG-19 of the perceptual loss; None draws its weights from the seed
    lr: PositiveFloat = 1e-4
    betas: tuple[Fraction, Fraction] = (0.5, 0.999)
    power: PositiveFloat = 0.9
    lambda_adversarial: NonNegativeFloat = 0.5
    lambda_cycle: NonNegativeFloat = 10.0
    lambda_edge: NonNegativeFloat = 20.0
    lambda_perceptual: NonNegativeFloat = 0.1
    lambda_self: NonNegativeFloat = 0.001  # 0.025 for SYNTHIA
    crop: Crop = "crop"


class PhaseSettings(Strict):
    """Warm-up, and what self-training has as well."""

    steps: PositiveInt | None = 80_000  # None: train.steps
    batch_size: Pair = (1, 2)
    lambda_distil: NonNegativeFloat = 0.5
    strong: StrongConfig = StrongConfig()
    source_crop: Crop = "resized"
    target_crop: Crop = "crop"
    schedule: Literal["poly", "constant", "cosine", "ramp"] | None = None  # None: optim.schedule
    lr: PositiveFloat | None = None  # None: optim.lr
    freeze_bn_stats: bool | None = None  # whether BatchNorm keeps its running statistics; None: network.freeze_bn_stats


class SelfTrainingStrong(StrongConfig):
    """Strong views in self-training: less of the augmented image."""

    beta: Fraction = 0.3


class SelfTrainingSettings(PhaseSettings):
    """Self-training: options of the warm-up with defaults of its own."""

    batch_size: Pair = (2, 1)
    lambda_distil: NonNegativeFloat = 0.25
    strong: SelfTrainingStrong = SelfTrainingStrong()
    target_crop: Crop = "resized"
    # un-augmented target images move the student's BatchNorm, as in warm-up; in the code only mixed ones do
    target_bn_pass: bool = False


class CentroidSettings(Strict):
    """The memory of the classes' features."""

    passes: PositiveInt = 5  # over the images, for the first centroids
    momentum: Fraction | None = 1e-4  # of the updates in self-training; None: a running mean
    mean_below: NonNegativeInt = 0  # a class with fewer updates takes the mean; the code knows 100, switched off
    recompute: bool = False  # anew before every round, instead of once


class DiGASettings(Strict):
    """Every deviation of the released code from its paper, and every defect that changes numbers, is an option."""

    name: Literal["diga"] = "diga"
    setting: Literal["uda", "dg", "semi"] = "uda"  # adaptation; generalisation (warm-up alone); some target labels
    rounds: NonNegativeInt = 2  # of self-training; 0: warm-up alone
    source_low: Size | None = None  # (width, height) of the two resolutions; None: the dataset's own
    source_full: Size | None = None
    target_low: Size | None = None
    target_full: Size | None = None
    crop: Size = (896, 512)  # (width, height)
    translator: TranslatorSettings = TranslatorSettings()
    warmup: PhaseSettings = PhaseSettings()
    self_training: SelfTrainingSettings = SelfTrainingSettings()
    centroids: CentroidSettings = CentroidSettings()
    lambda_main: NonNegativeFloat = 1.0  # weight of the cross entropy
    lambda_aux: NonNegativeFloat = 0.1  # weight of an auxiliary classifier's terms, where the network has one
    lambda_reverse: NonNegativeFloat = 0.5  # of the distillation from the mixed view to the original; 0.25 for SYNTHIA
    seg_loss: Literal["ce", "ohem"] = "ce"  # ohem for SYNTHIA
    ce_normalise: Literal["all", "valid"] = "all"  # all: ignored pixels count in the mean, so few labels weigh little
    ohem_threshold: Fraction = 0.7
    ohem_min_kept: PositiveInt = 100_000  # pixels of a rank's micro-batch, which is the whole batch of one device
    distil_mask: bool = False  # leave ignored pixels out of the distillation
    ema_cap: Fraction = 0.999
    # of the teacher in self-training (the warm-up knows train alone): eval drops nothing, and BatchNorm uses running
    # statistics, which then follow the student's as the parameters do
    teacher_mode: Literal["train", "eval"] = "train"
    labels_by: Literal["student", "teacher"] = "student"  # who makes pseudo-labels and first centroids
    dropout: bool = True  # dropout and stochastic depth of networks that have them
    # epochs: every image once, then all anew; long: the list as often as the stage needs it, shuffled as one
    order: Literal["epochs", "long"] = "epochs"
    class_rule: bool = True  # source crops must show enough classes
    target_bn_pass: bool | None = None  # target images move BatchNorm in warm-up; None: not for ``dg``, which is honest

    @model_validator(mode="after")
    def _some_images_and_steps(self) -> "DiGASettings":
        for name in ("translator", "warmup", "self_training"):
            if not sum(getattr(self, name).batch_size):
                raise ValueError(f"{name}.batch_size: at least one image of either resolution is needed")
        if (self.translator.hand_on or 0) > self.translator.steps:
            raise ValueError("translator.hand_on: no such step; the translator has fewer (translator.steps)")
        if self.setting != "uda" and self.translator.weights:
            raise ValueError(f"translator.weights: setting '{self.setting}' has no translator; only 'uda' has")
        return self

    @property
    def sees_target(self) -> bool:
        """Whether warm-up passes target images through the student."""
        return self.setting != "dg" if self.target_bn_pass is None else self.target_bn_pass
