"""Exponential moving averages of networks (mean teachers; Tarvainen & Valpola, NeurIPS 2017)."""

from mindspore import ops
from mindspore.nn import Cell as Network

_STATISTICS = ("moving_mean", "moving_variance")


def follow(average: Network, network: Network, momentum: float) -> None:
    """Move an averaged copy one step: ``average = momentum * average + (1 - momentum) * network``.

    Parameters and running statistics are averaged alike; counters are copied.

    Args:
        average: Changed in place; of the same architecture.
        network: The network that trains.
        momentum: In [0, 1]; weight of the past.
    """
    for old, new in zip(average.get_parameters(), network.get_parameters()):
        ops.assign(old, old * momentum + new * (1.0 - momentum))


def follow_parameters(average: Network, network: Network, momentum: float) -> None:
    """Move the parameters alone of an averaged copy one step; running statistics stay its own (DiGA, CVPR 2023).

    Args:
        average: Changed in place; of the same architecture.
        network: The network that trains.
        momentum: In [0, 1]; weight of the past. 0 copies.
    """
    for old, new in zip(average.get_parameters(), network.get_parameters()):
        if not old.name.endswith(_STATISTICS):
            ops.assign(old, old * momentum + new * (1.0 - momentum))
