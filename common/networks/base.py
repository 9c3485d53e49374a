"""What the configuration of every network has."""

from pathlib import Path

from common.schema import Strict


class NetworkBase(Strict):
    """Where the weights of a network come from."""

    init: str = "normal001"  # each family says which schemes of ``common.initial`` it knows
    weights: Path | None = None  # initial weights; None draws them by ``init`` from the seed
    may_miss: tuple[str, ...] = ()  # prefixes of keys that ``weights`` need not hold
    may_exceed: tuple[str, ...] = ()  # prefixes of keys of ``weights`` that are dropped
