"""Rectified Adam's step sizes (Liu et al., ICLR 2020, algorithm 2), as numbers of the step alone."""

import math


def rectified(step: int, betas: tuple[float, float], threshold: float) -> tuple[float, bool]:
    """Return the factor of the learning rate at a step, and whether the second moment divides the update.

    Args:
        step: From 1.
        betas: Decay of the first and the second moment.
        threshold: Length of the approximated average above which its variance counts as tractable.
    """
    beta1, beta2 = betas
    power = beta2**step
    longest = 2.0 / (1.0 - beta2) - 1.0
    length = longest - 2.0 * step * power / (1.0 - power)
    if length <= threshold:
        return 1.0 / (1.0 - beta1**step), False
    ratio = (length - 4) / (longest - 4) * (length - 2) / length * longest / (longest - 2)
    return math.sqrt((1.0 - power) * ratio) / (1.0 - beta1**step), True
