"""``torch.optim.Optimizer.state_dict``: state by index and parameter groups, to moments by name and back.

The indices follow the order in which the groups list the parameters. It is known when the groups carry
``param_names``, or when one group holds exactly the parameters of the network beside it, in their order.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from convert import codec
from convert.optimizer import SLOTS, powers

Shapes = Mapping[str, tuple[int, ...]]
Slots = dict[str, dict[str, np.ndarray]]
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


class Unnamed(ValueError):
    """The order of the parameters is not known; the message says why."""


def flatten(
    optimizer: Mapping, sections: Mapping[str, Shapes], order: Sequence[str] | None = None
) -> tuple[Slots, dict]:
    """Name the moments of an optimizer.

    Args:
        optimizer: What ``state_dict()`` returned: ``state`` by index and ``param_groups``.
        sections: Prefix of each network of the file -> name -> shape of its tensors in their order; the network with
            the prefix "" comes first where several fit. None: the names alone are known, by ``order``.
        order: Full names in the order of the indices, where the user states them.
    Returns:
        (slot -> full name -> array, the rest as JSON values: names by index, groups, everything that is no moment).
    Raises:
        Unnamed: If the order is not known or a moment has another shape than its parameter.
    """
    if not sections and order is None:
        raise Unnamed("there is no network beside it; state the names of its parameters with --parameters FILE")
    found, reasons = {}, {}
    for prefix, shapes in (sections or {"": {}}).items():
        try:
            found[prefix] = _flatten(optimizer, prefix, shapes, order)
        except Unnamed as reason:
            reasons[prefix] = reason
    if len(found) > 1 and "" not in found:
        raise Unnamed(f"it fits {len(found)} networks of the file; choose one with --section")
    if not found:
        raise reasons.get("") or next(iter(reasons.values()))
    return found.get("") or next(iter(found.values()))


def _flatten(optimizer: Mapping, prefix: str, parameters: Shapes, order: Sequence[str] | None) -> tuple[Slots, dict]:
    indices = [index for group in optimizer["param_groups"] for index in group.get("params", [])]
    names = _names(optimizer["param_groups"], prefix, parameters, order, len(indices))
    by_index = dict(zip(indices, names))
    slots: Slots = {}
    form = {"names": names, "groups": _encode(list(optimizer["param_groups"])), "state": []}
    for index, items in optimizer["state"].items():
        name = by_index.get(index)
        if name is None or not isinstance(items, Mapping):
            raise Unnamed(f"the state of parameter {index} belongs to no group")
        kept = {}
        for slot, value in items.items():
            if slot not in SLOTS or not isinstance(value, np.ndarray):
                kept[str(slot)] = _encode(value)
            elif parameters and value.shape != tuple(parameters[name]):
                raise Unnamed(f"{slot} {index} has the shape {value.shape}, {name} {tuple(parameters[name])}")
            else:
                slots.setdefault(slot, {})[name] = value
                kept[slot] = {"$slot": name}
        form["state"].append([index, kept])
    beside = {key: _encode(value) for key, value in optimizer.items() if key not in ("state", "param_groups")}
    return slots, {**form, "beside": beside}


def unflatten(form: Mapping, slots: Mapping[str, Mapping[str, np.ndarray]]) -> dict:
    """Build the ``state_dict`` again; a moment that is gone is left out."""
    state = {}
    for index, kept in form["state"]:
        items = {}
        for slot, value in kept.items():
            if not (isinstance(value, dict) and "$slot" in value):
                items[slot] = codec.decode(value, {})
            elif value["$slot"] in slots.get(slot, {}):
                items[slot] = slots[slot][value["$slot"]]
        state[index] = items
    groups = codec.decode(form["groups"], {})
    return {"state": state, "param_groups": groups, **codec.decode(form["beside"], {})}


def counters(optimizer: Mapping) -> dict[str, np.ndarray]:
    """Return MindSpore's counters for an optimizer whose parameters have all taken equally many steps; else {}."""
    steps = {float(np.asarray(items["step"])) for items in optimizer["state"].values() if "step" in items}
    betas = {tuple(group["betas"]) for group in optimizer["param_groups"] if "betas" in group}
    if len(steps) != 1:
        return {}
    step = int(steps.pop())
    return powers(step, betas.pop()) if len(betas) == 1 else {"global_step": np.array([step], np.int32)}


def _names(
    groups: Sequence[Mapping], prefix: str, parameters: Shapes, order: Sequence[str] | None, count: int
) -> list[str]:
    """Return the full name of every index."""
    if order is None and all("param_names" in group for group in groups):
        order = [prefix + _bare(name) for group in groups for name in group["param_names"]]
    if order is None and len(groups) > 1:
        raise Unnamed(f"it has {len(groups)} groups without param_names; state the order with --parameters FILE")
    if order is None:
        order = [name for name in parameters if name.rpartition(".")[2] not in _BUFFERS]
    unknown = [name for name in order if parameters and name not in parameters]
    if len(order) != count or len(set(order)) != count or unknown:
        what = f"{unknown[0]} is no parameter" if unknown else f"{count} parameters, the network has {len(order)}"
        raise Unnamed(f"its order does not fit the network ({what}); state it with --parameters FILE")
    return list(order)


def _bare(name: str) -> str:
    name = name.replace("_orig_mod.", "")
    return name.removeprefix("module.")


def _encode(value):
    """Return a value as JSON; arrays go inside, for here they are counters of a few bytes."""
    if isinstance(value, np.ndarray) and value.nbytes > 4096:
        raise Unnamed(f"it holds a tensor of shape {value.shape} that is no moment known here")
    if isinstance(value, Mapping):
        pairs = [[codec.encode(key, {}), _encode(item)] for key, item in value.items()]
        return {"$dict": pairs}
    if isinstance(value, list):
        return [_encode(item) for item in value]
    if isinstance(value, tuple):
        return {"$tuple": [_encode(item) for item in value]}
    return codec.inline(value) if isinstance(value, np.ndarray) else codec.encode(value, {})
