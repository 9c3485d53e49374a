"""Supervised training on labelled images: source only, target only, or both together.

A method of its own (``method: {name: supervised, domains: joint}``), and the rows that every other method is
compared with (``baselines: [source_only, target_only, joint]``). Training on both is, for segmentation, DDM's eq. 3:
one forward pass a domain, source first, and the sum of the losses; for classification it is S+T of MME and S3D: one
pass over the images of both domains, and the mean of their losses.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import NonNegativeFloat, PositiveInt

from common.methods.class_samples import dropout, labelled_images, of_one_size, source_images
from common.methods.class_samples import stack as stack_classes
from common.methods.samples import Draws, SourceSamples, TargetSamples, stack
from common.schema import Strict
from common.stage import Batch, Stage, StageContext

if TYPE_CHECKING:
    from common.config import Config

Domains = Literal["source_only", "target_only", "joint"]
TITLES: dict[Domains, str] = {"source_only": "source only", "target_only": "target only", "joint": "joint training"}
JOINT_CLASSES = "S+T"  # what joint training is called in classification
OBJECTIVES = {"segmentation": "supervised", "classification": "supervised_classes"}  # of each task, for any method


class SupervisedSettings(Strict):
    """Options of supervised training."""

    name: Literal["supervised"] = "supervised"
    domains: Domains = "source_only"  # which labelled images are seen
    lambda_main: NonNegativeFloat = 1.0  # weight of the last stage's head
    lambda_aux: NonNegativeFloat = 0.1  # weight of the auxiliary head
    steps: PositiveInt | None = None  # None: train.steps


class Supervised:
    """One stage: cross entropy on labelled images."""

    Settings = SupervisedSettings
    TASKS = ("segmentation", "classification")

    @staticmethod
    def stages(config: Config) -> list[Stage]:
        """Return the one stage of ``method: {name: supervised}``."""
        method = config.method
        return [supervised_stage(config, method.domains, "supervised", method.steps)]


def supervised_stage(
    config: Config, domains: Domains, name: str, steps: int | None = None, colour: bool = True
) -> Stage:
    """Return one supervised stage.

    Args:
        config: The configuration; loss weights are those of its method, so that a comparison differs in data only.
        domains: Which labelled images are seen.
        name: Name of the stage.
        steps: Length; None takes ``train.steps``.
        colour: Whether joint training translates source images as ``data.colour`` says.
    """
    if config.task == "classification":
        title = JOINT_CLASSES if domains == "joint" else TITLES[domains]
        batches, settings = partial(class_batches, domains=domains), {"domains": domains}
    else:
        title, batches = TITLES[domains], partial(supervised_batches, domains=domains, colour=colour)
        weights = {"lambda_main": config.method.lambda_main, "lambda_aux": config.method.lambda_aux}
        settings = {"domains": domains, "colour": colour, **weights}
    return Stage(
        name=name,
        title=title,
        objective=OBJECTIVES[config.task],
        steps=steps or config.train.steps,
        batches=batches,
        settings=settings,
    )


def supervised_batches(context: StageContext, domains: Domains, colour: bool = True) -> Callable[[int], Batch]:
    """Return the batch of a step: the keys of the domains it holds tell the objective what to train on.

    Source-only training keeps the source's colours, for it must not have seen the target. Alone, the labelled
    target images come in shuffled epochs; beside the source, uniformly with replacement.
    """
    config = context.config
    draws = Draws(config.seed, context.stage)
    source = SourceSamples(context, draws, colour=colour and domains == "joint") if domains != "target_only" else None
    target = TargetSamples(context, draws) if domains != "source_only" else None

    def batch(step: int) -> Batch:
        positions = context.positions(step, config.train.batch_size)
        arrays: Batch = {}
        if source:
            arrays |= stack([source.pair(p) for p in positions], "source")
        if target:
            pair = target.random_pair if source else target.epoch_pair
            arrays |= stack([pair(p) for p in positions], "target")
        return arrays

    return batch


def class_batches(context: StageContext, domains: Domains) -> Callable[[int], Batch]:
    """Return the batch of a step of classification: as many images of each domain, in shuffled epochs of their own."""
    config = context.config
    draws = Draws(config.seed, context.stage)
    images = {
        **({"source": source_images(context, draws)} if domains != "target_only" else {}),
        **({"target": labelled_images(context, draws)} if domains != "source_only" else {}),
    }

    def batch(step: int) -> Batch:
        positions = context.positions(step, config.train.batch_size)
        arrays: Batch = {}
        for domain, one in images.items():
            arrays |= stack_classes((one.pair(p) for p in positions), domain)
        of_one_size(arrays)
        kept = [dropout(config.network, draws, domain, positions) for domain in images]
        return arrays if kept[0] is None else arrays | {"dropout": np.concatenate(kept)}

    return batch
