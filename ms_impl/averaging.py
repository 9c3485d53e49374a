"""Exponential moving averages of networks (mean teachers; Tarvainen & Valpola, NeurIPS 2017)."""

from collections.abc import Callable, Sequence

import mindspore
from mindspore import Parameter, ParameterTuple, Tensor, ops
from mindspore.nn import Cell as Network

from ms_impl.compiled import Compiled

_STATISTICS = ("moving_mean", "moving_variance")


class Follower:
    """An averaged copy that follows a network, compiled where compiling is on.

    Op by op, sixty small tensors cost the CPU a third of a second a step, a hundred times what the sums take.
    """

    def __init__(self, average: Network, network: Network, compile: bool = False, statistics: bool = True) -> None:
        """Pair the tensors of both.

        Args:
            average: Changed in place; of the same architecture.
            network: The network that trains.
            compile: Whether a step is one graph.
            statistics: Whether running statistics are averaged too; else they stay the copy's own.
        """
        pairs = zip(average.get_parameters(), network.get_parameters())
        pairs = [(old, new) for old, new in pairs if statistics or not old.name.endswith(_STATISTICS)]
        self._move = Compiled(_step(*zip(*pairs), compile), compile)

    def follow(self, momentum: float) -> None:
        """Move one step: ``average = momentum * average + (1 - momentum) * network``; momentum in [0, 1]."""
        self._move(Tensor(momentum, mindspore.float32), Tensor(1.0 - momentum, mindspore.float32))


def follow(average: Network, network: Network, momentum: float) -> None:
    """Move an averaged copy one step: ``average = momentum * average + (1 - momentum) * network``.

    Parameters and running statistics are averaged alike; counters are copied.

    Args:
        average: Changed in place; of the same architecture.
        network: The network that trains.
        momentum: In [0, 1]; weight of the past.
    """
    Follower(average, network).follow(momentum)


def follow_parameters(average: Network, network: Network, momentum: float) -> None:
    """Move the parameters alone of an averaged copy one step; running statistics stay its own (DiGA, CVPR 2023).

    Args:
        average: Changed in place; of the same architecture.
        network: The network that trains.
        momentum: In [0, 1]; weight of the past. 0 copies.
    """
    Follower(average, network, statistics=False).follow(momentum)


def _step(average: Sequence[Parameter], network: Sequence[Parameter], compile: bool) -> Callable[..., Tensor]:
    """Return the function that moves all averages, given the weights of the past and of the new, () float32.

    A graph would unroll a loop into calls within calls: 300 tensors took 32 s to compile, as a map 5 s, and MindSpore
    refuses more than 1000, which HRNet has. Op by op a map costs 20 ms a tensor.
    """
    olds, news = ParameterTuple(average), ParameterTuple(network)
    move, over = ops.MultitypeFuncGraph("move"), ops.HyperMap()

    @move.register("Tensor", "Tensor", "Tensor", "Tensor")
    def one(past: Tensor, share: Tensor, old: Parameter, new: Parameter) -> Tensor:
        return ops.assign(old, old * past + new * share)

    def graph(past: Tensor, share: Tensor) -> Tensor:
        over(ops.partial(move, past, share), olds, news)
        return past

    def loop(past: Tensor, share: Tensor) -> Tensor:
        for old, new in zip(olds, news):
            one(past, share, old, new)
        return past

    return graph if compile else loop
