"""Learning rates as pure functions of the step: nothing to save, nothing to resume."""

import math

from common.schema import OptimConfig


def poly(step: int, horizon: int, power: float = 0.9) -> float:
    """Return ``(1 - step / horizon) ** power`` (AdvEnt's ``lr_poly``); 0 from ``horizon`` on."""
    return max(1.0 - float(step) / horizon, 0.0) ** power


def cosine(step: int, horizon: int) -> float:
    """Return half a cosine wave from 1 at step 0 to 0 at ``horizon`` (SGDR without restarts); 0 after it."""
    return 0.5 * (1.0 + math.cos(math.pi * min(step / horizon, 1.0)))


def cosine_wave(step: int, horizon: int) -> float:
    """Return a cosine wave from 1 at step 0 to 0 at ``horizon``, which rises again (PyTorch's CosineAnnealingLR)."""
    return 0.5 * (1.0 + math.cos(math.pi * step / horizon))


def constant_after_third(step: int) -> float:
    """Return 1/3 for the first five steps, then 1 (PyTorch's ConstantLR as AuG-KD uses it)."""
    return 1.0 / 3.0 if step < 5 else 1.0


def inverse(step: int, gamma: float = 1e-4, power: float = 0.75) -> float:
    """Return ``(1 + gamma * step) ** -power`` (Ganin & Lempitsky, ICML 2015; MME, APE and S3D)."""
    return (1.0 + gamma * step) ** -power


def cosine_restarts(step: int, horizon: int, mult: float = 1.0) -> float:
    """Return half cosine waves from 1 to 0, each ``mult`` times as long as the one before (IAST's own schedule).

    Unlike SGDR, the step behind a restart stands at the second place of its wave: 1 comes but once, at step 0.

    Args:
        step: From 0.
        horizon: Length of the first wave, steps.
        mult: Factor of the lengths, which are cut to whole numbers.
    Raises:
        ValueError: If waves would become shorter than a step.
    """
    place, length = step, horizon
    while place > length:
        place, length = place - length, int(length * mult)
        if length < 1:
            raise ValueError(f"a horizon of {horizon} and a factor of {mult} leave waves shorter than a step")
    return (1.0 + math.cos(math.pi * place / length)) / 2


def group_rate(optim: OptimConfig, lr: float, factor: float, base: float | None = None) -> float:
    """Return the rate of a group of parameters when the base rate stands at ``lr``.

    Without a floor that is ``lr * factor``. With one, all groups sink to the same floor.

    Args:
        optim: The section ``optim``.
        lr: What ``learning_rate`` returned.
        factor: Of the group's own base rate.
        base: Base rate of an optimizer beside, such as a discriminator's; None: ``optim.lr``.
    """
    own = optim.lr if base is None else base
    if not optim.floor:
        return lr * factor if base is None else lr * (own * factor / optim.lr)
    return optim.floor + (own * factor - optim.floor) * ((lr - optim.floor) / (optim.lr - optim.floor))


def ramp(step: int, horizon: int) -> float:
    """Return ``step / horizon``: a line from 0 at step 0 to 1 (DiGA's released warm-up on SYNTHIA, CVPR 2023)."""
    return min(step / horizon, 1.0)


def teacher_momentum(step: int, cap: float = 0.999) -> float:
    """Return ``min(1 - 1 / (step + 1), cap)``: a teacher that begins as a copy (Tarvainen & Valpola, NeurIPS 2017)."""
    return min(1.0 - 1.0 / (step + 1), cap)


def warm_up(step: int, steps: int) -> float:
    """Return a linear ramp: ``(step + 1) / steps``, 1 from step ``steps - 1`` on; 1 when ``steps`` is 0."""
    return min((step + 1) / steps, 1.0) if steps else 1.0


def learning_rate(optim: OptimConfig, step: int, steps: int) -> float:
    """Return the base learning rate of a step; heads multiply it by ``optim.head_lr_mult``.

    Args:
        optim: The section ``optim`` of the configuration.
        step: Number of optimizer steps done in this stage, from 0.
        steps: Length of the stage; the horizon unless ``optim.horizon`` says otherwise.
    """
    horizon = optim.horizon or steps
    if optim.schedule == "poly":
        factor = poly(step, horizon, optim.power)
    elif optim.schedule == "cosine":
        factor = cosine(step, horizon)
    elif optim.schedule == "cosine_wave":
        factor = cosine_wave(step // optim.epoch, horizon)
    elif optim.schedule == "constant_after_third":
        factor = constant_after_third(step)
    elif optim.schedule == "inverse":
        factor = inverse(step, optim.gamma, optim.power)
    elif optim.schedule == "cosine_restarts":
        factor = cosine_restarts(step, horizon, optim.restart_mult)
    elif optim.schedule == "ramp":
        factor = ramp(step, horizon)
    else:
        factor = 1.0
    return (optim.floor + (optim.lr - optim.floor) * factor) * warm_up(step, optim.warmup)
