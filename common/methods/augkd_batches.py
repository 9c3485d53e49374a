"""What AuG-KD's stages see at each step, and by what their best weights are chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from common.data.labels import class_set
from common.evaluate import read_ahead
from common.methods.augkd_networks import networks
from common.methods.augkd_rules import mixup_ratio
from common.methods.class_samples import dropout, labelled_images, stack
from common.methods.samples import Draws
from common.pictures import grid
from common.stage import Batch, StageContext

_SHOWN, _COLUMNS = 48, 8  # pictures of a sheet, in a row
_CELL, _MOST_MASKED = 4, 3.0  # pixels of a number of a mask, which is below 1 / 3
_RATIOS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the strips that show a mixture


def datafree_batches(context: StageContext) -> Callable[[int], Batch]:
    """Return the batch of an iteration without data.

    ``latent`` (1 + inner, N, L) and ``noise`` (inner, N, L) float32, standard normal; ``dropout`` (1 + inner, N,
    units) uint8 where the student has dropout.
    """
    config, datafree = context.config, context.config.method.datafree
    draws, size, passes = Draws(config.seed, context.stage), config.train.batch_size, datafree.inner + 1

    def batch(step: int) -> Batch:
        arrays = {
            "latent": _normal(context, draws.at("latent", step), (passes,), size),
            "noise": _normal(context, draws.at("noise", step), (datafree.inner,), size),
        }
        positions = context.positions(step, size)
        kept = [dropout(config.network, draws, f"pass {number}", positions) for number in range(passes)]
        return arrays if kept[0] is None else arrays | {"dropout": np.stack(kept)}

    return batch


def anchor_batches(context: StageContext) -> Callable[[int], Batch]:
    """Return the batch of a step of the anchor network: ``image``, ``label`` and the encoder's ``noise`` (N, L)."""
    draws = Draws(context.config.seed, context.stage)
    images = labelled_images(context, draws)
    size = _batch_size(context, len(images.dataset))

    def batch(step: int) -> Batch:
        arrays = stack((images.pair(p) for p in context.positions(step, size)), "target")
        noise = _normal(context, draws.at("noise", step), (), size)
        return {"image": arrays["target_image"], "label": arrays["target_label"], "noise": noise}

    return batch


def mixup_batches(context: StageContext, steps: int, mixing: bool) -> Callable[[int], Batch]:
    """Return the batch of a step of the student: as for the anchor network, with the ratio () and dropout (2 N, units).

    Args:
        context: The stage's data and configuration.
        steps: Length of the stage, over which the ratio moves in ``mixup.epochs`` epochs.
        mixing: False holds the ratio at 0.
    """
    config, mixup = context.config, context.config.method.mixup
    plain, draws = anchor_batches(context), Draws(config.seed, context.stage)

    def batch(step: int) -> Batch:
        arrays = plain(step)
        if not mixup.encoder_noise:
            arrays["noise"] = np.zeros_like(arrays["noise"])
        epoch = min(step * mixup.epochs // steps, mixup.epochs - 1)
        ratio = mixup_ratio(mixup.course, epoch, mixup.epochs, mixup.a, mixup.b) if mixing else 0.0
        arrays["ratio"] = np.array(ratio, np.float32)
        positions = context.positions(step, len(arrays["label"]))
        for key, purpose in (("dropout", "student"), ("target_dropout", "target")):
            halves = [dropout(config.network, draws, f"{purpose} {half}", positions) for half in ("real", "mixed")]
            if halves[0] is not None and (key == "dropout" or mixup.target == "student"):
                arrays[key] = np.concatenate(halves)
        return arrays

    return batch


def student_batches(context: StageContext) -> Callable[[int], Batch]:
    """Return the batch of a step on real images alone: ``target_image``, ``target_label``, ``dropout``."""
    draws = Draws(context.config.seed, context.stage)
    images = labelled_images(context, draws)
    size = _batch_size(context, len(images.dataset))

    def batch(step: int) -> Batch:
        positions = context.positions(step, size)
        arrays = stack((images.pair(p) for p in positions), "target")
        kept = dropout(context.config.network, draws, "student", positions)
        return arrays if kept is None else arrays | {"dropout": kept}

    return batch


def judge_datafree(context: StageContext, objective: Any) -> dict[str, float]:
    """Return the losses of generator and encoder on latent vectors that are the same at every judgement."""
    datafree, draws = context.config.method.datafree, Draws(context.config.seed, context.stage)
    shape = (datafree.judge_batches, context.config.train.batch_size, context.config.method.latent_size)
    latent, noise = (draws.at(f"judge {name}", 0).standard_normal(shape, np.float32) for name in ("latent", "noise"))
    losses = objective.judge(latent, noise)
    return {"judged generator": losses[0], "judged encoder": losses[1]}


def judge_anchor(context: StageContext, objective: Any) -> dict[str, float]:
    """Return the anchor loss over the validation images, a sum, and its mean an image."""
    dataset, size = context.data.val, context.config.evaluate.batch_size
    draws, total = Draws(context.config.seed, context.stage), 0.0
    for first in range(0, len(dataset), size):
        chosen = range(first, min(first + size, len(dataset)))
        arrays = stack(read_ahead(lambda i: (dataset.image(i), dataset.label(i)), chosen), "val")
        noise = draws.at("judge noise", first).standard_normal((len(arrays["val_label"]), _latent(context)), np.float32)
        noise = noise if context.config.method.mixup.encoder_noise else np.zeros_like(noise)
        total += objective.judge(arrays["val_image"], arrays["val_label"], noise)[0]
    return {"judged anchors": total, "an image": total / len(dataset)}


def picture_datafree(context: StageContext, objective: Any) -> np.ndarray:
    """Return a sheet (H, W, 3) uint8 of what the generator makes of the same latent vectors at every judgement."""
    draws = Draws(context.config.seed, context.stage)
    latent = draws.at("picture", 0).standard_normal((_SHOWN, _latent(context)), np.float32)
    return grid(objective.pictures(latent).transpose(0, 2, 3, 1), _COLUMNS)


def picture_anchor(context: StageContext, objective: Any) -> np.ndarray:
    """Return a heat-map (H, W, 3) uint8 of the masks: a row a class, a column a number of the latent vector.

    Black is what an anchor keeps of a latent vector; the brighter, the more of it is replaced, white at a third.
    """
    masks = objective.masks(len(class_set(context.config.classes)))
    heat = np.rint(np.clip(masks * _MOST_MASKED, 0.0, 1.0) * 255.0).astype(np.uint8)
    return np.repeat(heat.repeat(_CELL, 0).repeat(_CELL, 1)[..., None], 3, 2)


def picture_mixup(context: StageContext, objective: Any) -> np.ndarray:
    """Return a sheet (H, W, 3) uint8: a row for each of a few images, from its anchor's image to itself."""
    dataset, draws = context.data.val, Draws(context.config.seed, context.stage)
    chosen = np.linspace(0, len(dataset) - 1, min(8, len(dataset))).astype(int)
    arrays = stack(((dataset.image(i), dataset.label(i)) for i in chosen), "val")
    noise = draws.at("picture", 0).standard_normal((len(chosen), _latent(context)), np.float32)
    columns = [objective.pictures(arrays["val_image"], arrays["val_label"], noise, ratio) for ratio in _RATIOS]
    rows = np.stack(columns, 1)  # (images, ratios, 3, H, W)
    return grid(rows.reshape(-1, *rows.shape[2:]).transpose(0, 2, 3, 1), len(_RATIOS))


def _latent(context: StageContext) -> int:
    return networks(context.config)["encoder"].latent


def _batch_size(context: StageContext, images: int) -> int:
    """Return the images a rank sees in a step: ``train.batch_size``, but no image twice where there are too few."""
    return min(context.config.train.batch_size, max(2, images // context.world))


def _normal(context: StageContext, rng: np.random.Generator, outer: tuple[int, ...], size: int) -> np.ndarray:
    """Return this rank's part of standard normal numbers that all ranks draw together, (*outer, size, L) float32."""
    shape = (*outer, context.world * size, _latent(context))
    mine = slice(context.rank * size, (context.rank + 1) * size)
    return np.ascontiguousarray(rng.standard_normal(shape, np.float32)[..., mine, :])
