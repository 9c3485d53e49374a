"""What the configuration of every network has."""

from pathlib import Path
from typing import ClassVar

from common.schema import Strict, Task


class NetworkBase(Strict):
    """Where the weights of a network come from.

    Attributes:
        TASK: What networks of the family are for.
    """

    TASK: ClassVar[Task] = "segmentation"

    init: str = "normal001"  # each family says which schemes of ``common.initial`` it knows
    weights: Path | None = None  # initial weights; None draws them by ``init`` from the seed
    may_miss: tuple[str, ...] = ()  # prefixes of keys that ``weights`` need not hold
    may_exceed: tuple[str, ...] = ()  # prefixes of keys of ``weights`` that are dropped

    def any_size(self) -> bool:
        """Return whether images of any size will do; else the network is made for one."""
        return True

    @property
    def draws(self) -> int:
        """Random numbers that one image takes in training, for dropout and stochastic depth; none for most."""
        return 0
