"""Dropout from given draws: a step's random numbers come with its batch, never from the framework."""

from mindspore import Tensor


def channel_dropout(x: Tensor, noise: Tensor | None, rate: float) -> Tensor:
    """Drop whole channels and scale the others up (Dropout2d; Tompson et al., CVPR 2015).

    Args:
        x: (N, C, H, W).
        noise: (N, C) float32 in [0, 1); a channel is dropped where it is below ``rate``. None drops none.
        rate: Probability in [0, 1) of being dropped.
    """
    if noise is None or not rate:
        return x
    return x * ((noise >= rate).astype(x.dtype) / (1.0 - rate)).expand_dims(2).expand_dims(3)


def dropped_path(noise: Tensor | None, number: int, rate: float) -> tuple[Tensor | None, Tensor | None]:
    """Return the factors (N, 1, 1) of the two branches of a block (stochastic depth; Huang et al., ECCV 2016).

    Args:
        noise: (N, at least 2 * (number + 1)) float32 in [0, 1). None: no branch is dropped.
        number: Place of the block in the whole network.
        rate: Probability in [0, 1) of being dropped.
    """
    if noise is None or not rate:
        return None, None
    keep = (noise[:, 2 * number : 2 * number + 2] >= rate).astype(noise.dtype) / (1.0 - rate)
    keep = keep.expand_dims(2)
    return keep[:, 0:1], keep[:, 1:2]
