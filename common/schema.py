"""The typed, closed schema of a configuration file: one class a section, one comment a field.

Every section refuses unknown keys. The section ``method`` is defined beside each method
(``common/methods/NAME.py``), the section ``network`` beside each family of networks (``common/networks/NAME.py``);
``common/config.py`` puts the whole together and reads YAML.
"""

import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Size = tuple[PositiveInt, PositiveInt]  # (width, height), pixels
Triple = tuple[float, float, float]  # one number a channel
Task = Literal["segmentation", "classification"]


class Strict(BaseModel):
    """Base of every section: unknown keys are errors, values cannot change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DatasetConfig(Strict):
    """One dataset in one role. Sizes are (width, height); paths are relative to the working directory."""

    layout: Literal["gta5", "synthia", "cityscapes", "bdd", "mapillary", "folders"]
    root: Path
    split: str | None = None  # cityscapes: train, val, test
    size: Size | None = None  # images are resized to it (Pillow bicubic); None keeps the file's size
    label_size: Size | None = None  # labels are resized to it (nearest); None means ``size``
    list: Path | None = None  # text file, one "image [label]" a line, relative to root; None scans the folders
    images: str | None = None  # folders: image folder below root
    labels: str | None = None  # folders: label folder below root; None means no labels
    image_suffix: str | None = None  # folders: end of an image's name, replaced by label_suffix to find its label
    label_suffix: str | None = None
    label_ids: Literal["ids", "train_ids", "palette"] = "ids"  # what label files hold
    class_map: dict[int, int] | None = None  # raw id -> train id, instead of the layout's own; others are ignored
    palette: dict[str, int] | None = None  # "r,g,b" -> train id, for colour labels
    ignore: tuple[int, ...] = ()  # raw ids that may occur and mean "ignored"
    strict_ids: bool = True  # an id that neither class_map nor ignore knows is an error; False ignores it
    every: PositiveInt = 1  # keep every n-th image of the list, beginning with ``offset``
    offset: NonNegativeInt = 0
    invert_every: bool = False  # keep all but every n-th
    left_out: Path | None = None  # text file of numbers and ranges (8166-9514): those images take no part
    cache: Path | None = None  # folder written by ``prepare_data.py cache``; read instead of the full-size files


class ClassificationDatasetConfig(Strict):
    """One dataset for classification in one role. Sizes are (width, height); paths as in ``DatasetConfig``."""

    layout: Literal["image_list", "class_folders"]
    root: Path
    list: Path | None = None  # image_list: text file, one "image label" a line; both paths are relative to root
    domains: tuple[str, ...] = ()  # class_folders: folders below root, read one after another; () is root itself
    size: Size | None = None  # images are resized to exactly it; None keeps the file's size
    resize: Literal["nearest", "bilinear", "bicubic"] = "bicubic"  # filter; Pillow < 7, and so most papers: nearest
    crop: Size | None = None  # the middle of the resized image; training crops at random: data.augment.crop
    strict: bool = True  # a folder that is none of classes.names is an error; False leaves it out
    ratios: str | None = None  # "8:1:1": every domain is split at random, and only ``part`` of it is read
    part: NonNegativeInt = 0
    split_seed: int = 1234
    every: PositiveInt = 1  # keep every n-th image, beginning with ``offset``
    offset: NonNegativeInt = 0
    invert_every: bool = False  # keep all but every n-th


AnyDataset = Annotated[DatasetConfig | ClassificationDatasetConfig, Field(discriminator="layout")]


class SplitConfig(Strict):
    """Which images of the target training set carry labels."""

    count: PositiveInt | None = None  # drawn by random.Random(seed).sample over the sorted list
    shots: PositiveInt | None = None  # classification: so many of each class, drawn alike; instead of count
    seed: int = 1234
    list: Path | None = None  # the user's own split: one image name a line; instead of count
    every: PositiveInt = 1  # keep every n-th name of the list


class ColourConfig(Strict):
    """LAB colour transfer from target to source images (DDM, its preprocessing)."""

    mode: Literal["off", "online", "cached", "resized"] = "off"  # resized: statistics after resizing, faster
    cache: Path | None = None  # cached: folder of translated images

    @field_validator("mode", mode="before")
    @classmethod
    def _off(cls, mode: object) -> object:
        return "off" if mode is False else mode  # YAML reads a bare off as false


class AugmentConfig(Strict):
    """Optional augmentation of training pairs; everything off by default.

    The stages of IAST and DiGA augment as their own sections say; of their runs only the baselines read this one.
    """

    flip: Fraction = 0.0  # probability of a horizontal flip
    scale: tuple[PositiveFloat, PositiveFloat] | None = None  # uniform range of a random scale
    pad: NonNegativeInt = 0  # black pixels added on every side before cropping; the flip then comes last
    crop: Size | None = None  # random crop (width, height), padded with ignored pixels when too small
    jitter: NonNegativeFloat = 0.0  # strength of brightness, contrast and saturation jitter


def _kind_of_labelled(value: object) -> str:
    """Tell the forms of ``data.labelled`` apart: "all", a dataset of its own, or a split of the target."""
    if value is None or value == "all":
        return "word"
    layout = value.get("layout") if isinstance(value, dict) else getattr(value, "layout", None)
    return "dataset" if layout else "split"


Labelled = Annotated[
    Annotated[Literal["all"] | None, Tag("word")]
    | Annotated[ClassificationDatasetConfig, Tag("dataset")]
    | Annotated[SplitConfig, Tag("split")],
    Discriminator(_kind_of_labelled),
]


class DataConfig(Strict):
    """The datasets by their role. ``source`` is labelled; ``target`` is the adaptation domain's training set."""

    source: AnyDataset | None = None
    source_val: AnyDataset | None = None  # labelled source images to score a network of the source domain on
    target: AnyDataset | None = None
    val: AnyDataset
    test: AnyDataset | None = None  # scored at the end of a stage; then ``val`` serves to choose weights
    labelled: Labelled = None  # labelled part of ``target``; None: the target has no labels
    colour: ColourConfig = ColourConfig()
    augment: AugmentConfig = AugmentConfig()
    workers: NonNegativeInt = 4  # loader processes a rank; 0 loads in the training process
    prefetch: PositiveInt = 4  # batches a worker keeps ready


class ClassesConfig(Strict):
    """The classes of the task."""

    set: Literal["cityscapes19", "cityscapes16", "custom"] = "cityscapes19"
    names: tuple[str, ...] | None = None  # custom: names in train id order
    colours: tuple[tuple[int, int, int], ...] | None = None  # custom: RGB of each class
    left_out: tuple[str, ...] = ()  # classes that do not count in the score
    absent: Literal["skip", "zero"] = "skip"  # a class in no label or prediction: not in means, or 0 (IAST's code)


class InputConfig(Strict):
    """What the network sees: ``(image * scale, reordered to order, minus mean) / std``, on the device."""

    order: Literal["rgb", "bgr"] = "bgr"
    scale: PositiveFloat = 1.0
    mean: Triple = (104.00698793, 116.66876762, 122.67891434)  # in the units after scale, in ``order``
    std: Triple = (1.0, 1.0, 1.0)


class OptimConfig(Strict):
    """Optimizer and schedule: ``lr_i = lr * (1 - i / horizon) ** power``, ``head_lr_mult`` times that for heads."""

    name: Literal["sgd", "adam", "adamw", "ranger"] = "sgd"
    lr: PositiveFloat = 2.5e-4  # backbone
    head_lr_mult: PositiveFloat = 10.0
    backbone_lr_mult: PositiveFloat = 1.0  # 3 imitates AdvEnt's repeated parameters
    momentum: Fraction = 0.9
    nesterov: bool = False
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    eps: PositiveFloat = 1e-8
    weight_decay: NonNegativeFloat = 5e-4
    # ramp: lr * i / horizon; cosine_wave and constant_after_third: PyTorch's CosineAnnealingLR and ConstantLR
    schedule: Literal[
        *("poly", "constant", "constant_after_third", "cosine", "cosine_wave", "cosine_restarts", "inverse", "ramp")
    ] = "poly"
    power: PositiveFloat = 0.9  # of poly; inverse: (1 + gamma * step) ** -power, 0.75 in the papers that use it
    gamma: PositiveFloat = 1e-4
    epoch: PositiveInt = 1  # cosine_wave: steps between two moves of the rate; the horizon counts moves then
    horizon: PositiveInt | None = None  # steps at which the schedule reaches zero; None: the stage's steps
    restart_mult: PositiveFloat = 1.0  # cosine_restarts: each wave is so many times as long as the one before
    floor: NonNegativeFloat = 0.0  # rate at which the schedule of every group ends, whatever its factor
    warmup: NonNegativeInt = 0  # linear warm-up steps
    lookahead_steps: PositiveInt = 6  # ranger: steps between two moves of the slow weights
    lookahead_alpha: Fraction = 0.5  # ranger: how far they move
    ranger_threshold: PositiveFloat = 5.0  # ranger: length of the average above which the second moment divides
    clip: PositiveFloat | None = None  # largest global gradient norm
    repeats: dict[str, PositiveInt] = {}  # sgd: pattern of parameter names -> updates a step

    @model_validator(mode="after")
    def _sgd_alone_repeats(self) -> "OptimConfig":
        if self.repeats and self.name != "sgd":
            raise ValueError("repeats: only sgd can update a parameter more than once a step")
        return self

    @field_validator("floor")
    @classmethod
    def _below_the_rate(cls, floor: float, info: ValidationInfo) -> float:
        if floor >= info.data.get("lr", math.inf):
            raise ValueError(f"must be below optim.lr ({info.data['lr']})")
        return floor


class TrainConfig(Strict):
    """How stages run."""

    steps: PositiveInt = 120_000  # steps of a stage unless the method says otherwise
    batch_size: PositiveInt = 1  # images of each domain, a rank, a step; with accumulate: a micro-batch
    accumulate: PositiveInt = 1  # micro-batches, whose mean gradient makes one update; BatchNorm and OHEM see one
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    ema: Fraction | None = None  # momentum of an averaged copy of the weights; None keeps none
    sync_bn: bool = False  # BatchNorm statistics over all ranks, where the device can
    recompute: bool = False  # recompute activations in the backward pass to save memory
    log_every: PositiveInt = 20
    checkpoint_every: PositiveInt = 2_000
    keep: PositiveInt = 2  # newest checkpoints kept in a running stage
    evaluate_every: PositiveInt | None = None  # steps; None evaluates only at the end of a stage
    evaluate_offset: NonNegativeInt = 0  # evaluations are so many steps later; 1 as in code that counts from step 0
    patience: NonNegativeInt | None = None  # evaluations in a row below the best that are borne; one more ends a stage
    hand_on: Literal["last", "best"] = "last"  # which weights a stage hands on; best is chosen on target labels


class EvaluateConfig(Strict):
    """How predictions are made for a score."""

    scales: tuple[PositiveFloat | Size, ...] = (1.0,)  # factors of the image's size, or sizes (width, height)
    flip: bool = False
    output: Literal["logits", "input_logits", "probabilities"] = "logits"  # what is averaged over scales and flips
    fuse: Literal["mean", "max"] = "mean"  # what becomes of the scores of several scales and mirror images
    window: Size | None = None  # sliding window (width, height); None takes the whole image
    stride: Size | None = None
    batch_size: PositiveInt = 1
    # all: every image, in the middle; ssda: as MME's and S3D's code draws them while it trains, common/drawn_scores.py
    protocol: Literal["all", "ssda"] = "all"
