"""Exponential moving averages of networks (mean teachers; Tarvainen & Valpola, NeurIPS 2017)."""

import torch
from torch.nn import Module as Network


class Follower:
    """An averaged copy that follows a network."""

    def __init__(self, average: Network, network: Network, compile: bool = False, statistics: bool = True) -> None:
        """Pair both.

        Args:
            average: Changed in place; of the same architecture.
            network: The network that trains.
            compile: Whether a step is one graph; PyTorch needs none.
            statistics: Whether running statistics are averaged too; else they stay the copy's own.
        """
        self._average, self._network = average, network
        self._move = follow if statistics else follow_parameters

    def follow(self, momentum: float) -> None:
        """Move one step: ``average = momentum * average + (1 - momentum) * network``; momentum in [0, 1]."""
        self._move(self._average, self._network, momentum)


def follow(average: Network, network: Network, momentum: float) -> None:
    """Move an averaged copy one step: ``average = momentum * average + (1 - momentum) * network``.

    Parameters and running statistics are averaged alike; counters are copied.

    Args:
        average: Changed in place; of the same architecture.
        network: The network that trains.
        momentum: In [0, 1]; weight of the past.
    """
    with torch.no_grad():
        for old, new in zip(average.state_dict().values(), network.state_dict().values()):
            if old.is_floating_point():
                old.mul_(momentum).add_(new, alpha=1.0 - momentum)
            else:
                old.copy_(new)


def follow_parameters(average: Network, network: Network, momentum: float) -> None:
    """Move the parameters alone of an averaged copy one step; running statistics stay its own (DiGA, CVPR 2023).

    Args:
        average: Changed in place; of the same architecture.
        network: The network that trains.
        momentum: In [0, 1]; weight of the past. 0 copies.
    """
    with torch.no_grad():
        for old, new in zip(average.parameters(), network.parameters()):
            old.copy_(momentum * old + (1.0 - momentum) * new)
