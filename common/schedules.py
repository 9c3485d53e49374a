"""Learning rates as pure functions of the step: nothing to save, nothing to resume."""

import math

from common.schema import OptimConfig


def poly(step: int, horizon: int, power: float = 0.9) -> float:
    """Return ``(1 - step / horizon) ** power`` (AdvEnt's ``lr_poly``); 0 from ``horizon`` on."""
    return max(1.0 - float(step) / horizon, 0.0) ** power


def cosine(step: int, horizon: int) -> float:
    """Return half a cosine wave from 1 at step 0 to 0 at ``horizon`` (SGDR without restarts); 0 after it."""
    return 0.5 * (1.0 + math.cos(math.pi * min(step / horizon, 1.0)))


def inverse(step: int, gamma: float = 1e-4, power: float = 0.75) -> float:
    """Return ``(1 + gamma * step) ** -power`` (Ganin & Lempitsky, ICML 2015; MME, APE and S3D)."""
    return (1.0 + gamma * step) ** -power


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
    elif optim.schedule == "inverse":
        factor = inverse(step, optim.gamma, optim.power)
    else:
        factor = 1.0
    return optim.lr * factor * warm_up(step, optim.warmup)
