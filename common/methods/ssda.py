"""Baselines of semi-supervised classification: ENT and MME (Saito et al., ICCV 2019), APE (Kim & Kim, ECCV 2020).

Each is a method (``method: {name: mme}``) and a row beside others (``baselines: [joint, ent, mme, ape]``); S+T, on
which they build, is joint training. A step has two rounds: ``torch_impl/methods/entropy.py``, ``ape.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from common.errors import UserError
from common.methods.class_samples import dropout, of_one_size, stack_equal, unlabelled_images
from common.methods.needs import need_data
from common.methods.samples import Draws
from common.methods.supervised import class_batches
from common.networks.classifier import DEEP
from common.schema import Strict
from common.stage import Batch, Stage, StageContext

if TYPE_CHECKING:
    from common.config import Config

TITLES = {"ent": "ENT", "mme": "MME", "ape": "APE"}
UNLABELLED = 2  # unlabelled images for each source image of a step


class ApeOptions(Strict):
    """Options of APE."""

    entropy_threshold: PositiveFloat | None = None  # of exploration, nats; None: 0.5 for ResNet, 0.3 for others
    lambda_attraction: NonNegativeFloat = 10.0
    sigmas: tuple[PositiveFloat, ...] = (1.0, 2.0, 5.0, 10.0)  # kernels of the attraction
    lambda_consistency: NonNegativeFloat = 10.0
    xi: PositiveFloat = 1.0  # step to where the perturbation's gradient is taken
    eps: PositiveFloat = 25.0  # length of the perturbation
    consistency: Literal["official", "logits"] = "official"  # features and latent, as released; or logits, as described
    batch_size: PositiveInt | None = None  # images of each labelled domain; None: train.batch_size
    accumulate: PositiveInt | None = None  # micro-batches a step; None: train.accumulate
    evaluate_every: PositiveInt | None = None  # steps; None: train.evaluate_every
    patience: NonNegativeInt | None = None  # as train.patience; the released code of APE stops no stage early

    def threshold(self, network: str) -> float:
        """Return the entropy below which an image is explored, for a family of networks."""
        return self.entropy_threshold or (0.5 if network == "resnet" else 0.3)


class SsdaSettings(Strict):
    """What all methods of this family have, so that each can show the others as rows."""

    lambda_entropy: NonNegativeFloat = 0.1  # ENT, MME
    ape: ApeOptions = ApeOptions()
    steps: PositiveInt | None = None  # None: train.steps


class EntSettings(SsdaSettings):
    """Options of ENT as a method."""

    name: Literal["ent"] = "ent"


class MmeSettings(SsdaSettings):
    """Options of MME as a method."""

    name: Literal["mme"] = "mme"


class ApeSettings(SsdaSettings):
    """Options of APE as a method."""

    name: Literal["ape"] = "ape"


class Ent:
    """One stage: supervised rounds and entropy rounds in turn."""

    Settings = EntSettings
    TASKS = ("classification",)

    @staticmethod
    def stages(config: Config) -> list[Stage]:
        """Return the one stage of ``method: {name: ent}``."""
        return [ssda_stage(config, "ent", "ent", config.method.steps)]


class Mme:
    """One stage: supervised rounds and adversarial rounds in turn."""

    Settings = MmeSettings
    TASKS = ("classification",)

    @staticmethod
    def stages(config: Config) -> list[Stage]:
        """Return the one stage of ``method: {name: mme}``."""
        return [ssda_stage(config, "mme", "mme", config.method.steps)]


class Ape:
    """One stage: attraction and exploration, then perturbation, in turn."""

    Settings = ApeSettings
    TASKS = ("classification",)

    @staticmethod
    def stages(config: Config) -> list[Stage]:
        """Return the one stage of ``method: {name: ape}``."""
        return [ssda_stage(config, "ape", "ape", config.method.steps)]


def ssda_stage(config: Config, kind: str, name: str, steps: int | None = None) -> Stage:
    """Return one stage of ENT, MME or APE.

    Args:
        config: The configuration; its method holds the options.
        kind: ``"ent"``, ``"mme"`` or ``"ape"``.
        name: Name of the stage.
        steps: Length; None takes ``train.steps``.
    Raises:
        UserError: If the method has no such options, or data are missing.
    """
    if not isinstance(config.method, SsdaSettings):
        raise UserError(f"baselines: {kind} belongs to the methods s3d, ent, mme and ape, not to {config.method.name}")
    need_data(config, TITLES[kind], "source", "target", "labelled")
    net, ape = config.network, config.method.ape
    deep = getattr(net, "head", None) == "predictor_deep" and net.features() not in (None, DEEP)
    if kind == "ape" and ape.consistency == "official" and deep:
        given = f"features have {net.features()} numbers, the latent of predictor_deep {DEEP}"
        raise UserError(f"method.ape.consistency: official needs vectors of one length, but {given}; set it to logits")
    own = {"ape": config.method.ape.model_dump(mode="json", exclude={"accumulate"})} if kind == "ape" else {}
    changes = _ape_training(config) if kind == "ape" else {}
    return Stage(
        name=name,
        title=TITLES[kind],
        objective=kind,
        steps=steps or config.train.steps,
        batches=partial(ssda_batches, kind=kind),
        settings=own or {"lambda_entropy": config.method.lambda_entropy},
        changes=changes,
    )


def _ape_training(config: Config) -> dict[str, dict]:
    """Return what APE's stage has otherwise than the run."""
    ape = config.method.ape
    given = {key: getattr(ape, key) for key in ("batch_size", "accumulate", "evaluate_every") if getattr(ape, key)}
    return {"train": {**given, "patience": ape.patience}}


def ssda_batches(context: StageContext, kind: str) -> Callable[[int], Batch]:
    """Return the batch of a step: source and labelled target images as in S+T, and twice as many unlabelled ones.

    ``unlabelled_image`` (2N, 3, H, W) uint8; with dropout ``unlabelled_dropout`` (2N, units) uint8. APE's batches hold
    ``noise`` (3N, 3, h, w) float32 for labelled and unlabelled target images, and the dropout of its further passes.
    """
    config = context.config
    draws = Draws(config.seed, context.stage)
    labelled, images = class_batches(context, "joint"), unlabelled_images(context, draws)

    def batch(step: int) -> Batch:
        arrays = labelled(step)
        positions = context.positions(step, UNLABELLED * config.train.batch_size)
        arrays["unlabelled_image"] = stack_equal(images.image(p) for p in positions)
        of_one_size(arrays)
        passes = {"unlabelled": positions}
        if kind == "ape":
            target = [-1 - p for p in context.positions(step, config.train.batch_size)]  # beside the unlabelled ones
            both = [*target, *positions]
            frame = arrays["unlabelled_image"].shape[1:]
            arrays["noise"] = np.stack([draws.at("noise", p).standard_normal(frame, np.float32) for p in both])
            passes |= {"probe": both, "clean": both, "perturbed": both}
        kept = {name: dropout(config.network, draws, name, which) for name, which in passes.items()}
        return arrays | {f"{name}_dropout": mask for name, mask in kept.items() if mask is not None}

    return batch
