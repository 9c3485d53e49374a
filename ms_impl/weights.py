"""Weights of a network as NumPy arrays under the framework's own names."""

from collections.abc import Mapping, Sequence

import numpy as np
from mindspore import Tensor, ops
from mindspore.nn import Cell as Network

from common.initial import initial_weights
from common.keys import check_keys
from common.names import kind_of, to_canonical, to_mindspore


def layer_kinds(network: Network) -> dict[str, str]:
    """Return path -> kind of every layer, as ``common.names`` calls them."""
    return {path: kind_of(type(layer)) for path, layer in network.cells_and_names()}


def get_weights(network: Network) -> dict[str, np.ndarray]:
    """Return copies of all parameters and buffers, in the network's order."""
    return {name: value.asnumpy().copy() for name, value in network.parameters_and_names()}


def set_weights(
    network: Network,
    weights: Mapping[str, np.ndarray],
    place: str = "weights",
    may_miss: Sequence[str] = (),
    may_exceed: Sequence[str] = (),
) -> None:
    """Copy arrays into a network, after all names and shapes have been found to fit.

    Args:
        network: Changed in place; keeps its own value where a name may be missing.
        weights: Own names -> arrays, cast to the parameters' types.
        place: Where the weights come from, for the message.
        may_miss: Beginnings of names that need not be there.
        may_exceed: Beginnings of names that are ignored when the network lacks them.
    Raises:
        UserError: With the missing, unexpected and misshapen names; nothing is changed then.
    """
    own = dict(network.parameters_and_names())
    shapes = {name: tuple(np.shape(value)) for name, value in weights.items()}
    check_keys({name: tuple(value.shape) for name, value in own.items()}, shapes, place, may_miss, may_exceed)
    for name in own.keys() & weights.keys():
        # set_data would give the parameter new memory, while a compiled graph goes on writing to the old
        ops.assign(own[name], Tensor(np.array(weights[name]), own[name].dtype))


def initialise(network: Network, seed: int, scheme: str) -> None:
    """Fill a network with the initial weights of ``common.initial``; both twins then hold the same numbers."""
    kinds = layer_kinds(network)
    shapes = {to_canonical(name, kinds): tuple(value.shape) for name, value in network.parameters_and_names()}
    drawn = initial_weights(seed, shapes, scheme, network.HEADS)
    set_weights(network, {to_mindspore(name, kinds): value for name, value in drawn.items()}, "initial weights")
