"""Options and layout of Mix Transformers (Xie et al., NeurIPS 2021, arXiv 2105.15203) with a decoder head."""

from typing import Literal

from pydantic import PositiveInt

from common.networks.base import NetworkBase
from common.schema import Fraction

HEADS = (1, 2, 5, 8)  # attention heads of the stages; channels are the same multiples of the width
RATIOS = (8, 4, 2, 1)  # reduction of keys and values in either axis
DEPTHS = {
    "b0": (2, 2, 2, 2),
    "b1": (2, 2, 2, 2),
    "b2": (3, 4, 6, 3),
    "b3": (3, 4, 18, 3),
    "b4": (3, 8, 27, 3),
    "b5": (3, 6, 40, 3),
}
_DECODER = {"segformer": 768, "daformer": 256}


class MitConfig(NetworkBase):
    """A Mix Transformer with SegFormer's or DAFormer's decoder head."""

    name: Literal["mit"] = "mit"
    variant: Literal["b0", "b1", "b2", "b3", "b4", "b5"] = "b5"
    head: Literal["segformer", "daformer"] = "daformer"
    width: PositiveInt | None = None  # channels of the first stage; None: 32 for B0, else 64
    depths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] | None = None  # blocks; None: the variant's
    head_channels: PositiveInt | None = None  # None: 768 for segformer, 256 for daformer
    drop_path: Fraction = 0.1  # probability at the last block; grows linearly from 0 at the first
    dropout: Fraction = 0.1  # of the fused feature's channels
    init: Literal["transformer", "normal001", "kaiming"] = "transformer"
    activation: Literal["relu", "softplus"] = "relu"  # of the head; softplus: smooth form for gradient tests
    freeze_bn_affine: bool = False  # the head has the only BatchNorms
    freeze_bn_stats: bool = False

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the four stages."""
        width = self.width or (32 if self.variant == "b0" else 64)
        return tuple(width * heads for heads in HEADS)

    @property
    def stage_depths(self) -> tuple[int, ...]:
        """Blocks of the four stages."""
        return self.depths or DEPTHS[self.variant]

    @property
    def decoder_channels(self) -> int:
        """Channels of the decoder's fused feature."""
        return self.head_channels or _DECODER[self.head]

    @property
    def path_draws(self) -> int:
        """Numbers that stochastic depth takes for one image: one a branch of a block."""
        return 2 * sum(self.stage_depths)

    @property
    def draws(self) -> int:
        """Random numbers that one image takes in training: stochastic depth first, then the dropout of channels."""
        return self.path_draws + self.decoder_channels


def stage_blocks(depths: tuple[int, ...], drop_path: float) -> tuple[tuple[tuple[int, float], ...], ...]:
    """Return for every stage the (number, probability of being dropped) of its blocks.

    Args:
        depths: Blocks of the stages.
        drop_path: Probability of the last block; it grows linearly from 0 at the first.
    """
    last, places, number = max(sum(depths) - 1, 1), [], 0
    for depth in depths:
        places.append(tuple((number + i, drop_path * (number + i) / last) for i in range(depth)))
        number += depth
    return tuple(places)
