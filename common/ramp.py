"""The weight of S3D's distillation over time: a ramp that begins where the first stage's accuracy says."""

import math

LENGTH = 50_000  # steps until the weight is 1, whatever the length of the stage
_NEVER_RAMPS = 100_000  # start of the ramp when the weight is 1 throughout
_PER_ACCURACY = 1.5


def ramp(x: float, sharpness: float) -> float:
    """Return ``2 / (1 + exp(-sharpness x)) - 1`` below 1, and 1 from there on; 0 at 0."""
    return 1.0 if x >= 1.0 else 2.0 / (1.0 + math.exp(-sharpness * x)) - 1.0


def ramp_start(accuracy: float, sharpness: float) -> int:
    """Return the place on the ramp, in steps, at which the weight is about 1.5 times an accuracy.

    Args:
        accuracy: Of the network that a stage begins with, in percent.
        sharpness: Of the ramp, larger than 0.
    """
    weight = _PER_ACCURACY * accuracy / 100.0
    if weight >= 1.0:
        return _NEVER_RAMPS
    return int(-(LENGTH / sharpness) * math.log(2.0 / (1.0 + weight) - 1.0))


def distillation_weight(start: int, step: int, sharpness: float) -> float:
    """Return the weight of a step, counted from the beginning of the stage; ``start`` as from ``ramp_start``."""
    return ramp((start + step) / LENGTH, sharpness)
