"""Optimizer state in both frameworks' terms: moments by parameter, step counters, beta powers.

    PyTorch                       MindSpore
    momentum_buffer.PARAMETER     accum.PARAMETER (nn.SGD; moments. in nn.Momentum) and stat.PARAMETER = 0
    exp_avg.PARAMETER             moment1.PARAMETER (adam_m. in nn.AdamWeightDecay)
    exp_avg_sq.PARAMETER          moment2.PARAMETER (adam_v.)
    max_exp_avg_sq.PARAMETER      vhat.PARAMETER
    slow_buffer.PARAMETER         slow_buffer.PARAMETER (Ranger's slow weights)
    step                          global_step, beta1_power, beta2_power = beta ** step

``stat`` is 1 before nn.SGD's first step, when it takes the gradient as the buffer; left at 1 beside a moved buffer
it would drop that buffer. PyTorch's zero buffer does the same as a fresh one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from common.errors import UserError
from convert.formats.pickle_machine import printable

SLOTS = {
    "momentum_buffer": "accum",
    "exp_avg": "moment1",
    "exp_avg_sq": "moment2",
    "max_exp_avg_sq": "vhat",
    "slow_buffer": "slow_buffer",
}
FRESH = "stat"
BETAS = (0.9, 0.999)  # PyTorch's and MindSpore's default
_ALIASES = {"moments": "momentum_buffer", "adam_m": "exp_avg", "adam_v": "exp_avg_sq"}
_CANONICAL = {
    "torch": {slot: slot for slot in SLOTS},
    "mindspore": {ours: slot for slot, ours in SLOTS.items()} | _ALIASES | {FRESH: FRESH},
}
COUNTERS = {
    "torch": ("step",),
    "mindspore": ("global_step", "beta1_power", "beta2_power", "learning_rate", "momentum", "epoch_num", "step_num"),
}


@dataclass
class State:
    """An optimizer's state: ``slots`` by canonical slot and parameter, ``counters`` by name.

    ``spelled`` keeps MindSpore's own name of a slot where it is not the usual one (canonical -> own).
    """

    slots: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    counters: dict[str, np.ndarray] = field(default_factory=dict)
    spelled: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.slots or self.counters)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every parameter that has state."""
        return {name: array.shape for slot in self.slots.values() for name, array in slot.items()}

    def flat(self, framework: str) -> dict[str, np.ndarray]:
        """Return the state as ``slot.parameter`` and counters, slots in the framework's spelling."""
        named = {}
        for slot, items in self.slots.items():
            own = self.spelling(slot, framework)
            named |= {f"{own}.{name}": array for name, array in items.items()}
        return named | self.counters

    def spelling(self, slot: str, framework: str) -> str:
        """Return a framework's name of a slot."""
        return slot if framework == "torch" else {**SLOTS, **self.spelled}.get(slot, slot)


def split(tensors: Mapping[str, np.ndarray], framework: str, only: bool = False) -> tuple[dict[str, np.ndarray], State]:
    """Tell an optimizer's state from the weights that it stands beside.

    ``accum.conv.weight`` is state when ``conv.weight`` is there too, with the same shape, or when the file holds
    nothing but state; otherwise it is a weight of a layer called ``accum``.

    Args:
        tensors: All tensors of a file or section.
        framework: Whose spelling they have.
        only: The file is known to hold nothing but state.
    Returns:
        (the weights, the state).
    """
    slots = _CANONICAL[framework]
    parted = {name: name.partition(".") for name in tensors}
    claims = {name: (slots[head], rest) for name, (head, _, rest) in parted.items() if head in slots and rest}
    counters = {name for name in COUNTERS[framework] if name in tensors and tensors[name].size == 1}
    if not only and any(name not in claims and name not in counters for name in tensors):
        weights = {name: array.shape for name, array in tensors.items() if name not in claims}
        claims = {name: claim for name, claim in claims.items() if weights.get(claim[1]) == tensors[name].shape}
    if not claims and not only:
        counters = set()
    state = State(counters={name: tensors[name] for name in tensors if name in counters})
    for name, (slot, parameter) in claims.items():
        if parameter in state.slots.setdefault(slot, {}):
            raise UserError(f"ambiguous: two tensors hold the {slot} of {printable(parameter)}")
        state.slots[slot][parameter] = tensors[name]
        if framework == "mindspore" and parted[name][0] in _ALIASES:
            state.spelled[slot] = parted[name][0]
    return {name: a for name, a in tensors.items() if name not in claims and name not in counters}, state


def is_state(tensors: Mapping[str, np.ndarray], framework: str) -> bool:
    """Return whether a set of tensors holds moments and counters and nothing else."""
    weights, state = split(tensors, framework)
    return bool(state.slots) and not weights


def translate(
    state: State, names: Mapping[str, str | None], target: str, betas: Sequence[float] | None = None
) -> tuple[State, dict[str, np.ndarray]]:
    """Return the state in the other framework's terms.

    Args:
        state: In the terms of the other framework.
        names: Parameter -> its name in ``target``.
        target: ``"torch"`` or ``"mindspore"``.
        betas: Adam's, for MindSpore's beta powers; ``BETAS`` by default.
    Returns:
        (the state, the counters that ``target`` has no place for).
    Raises:
        UserError: If a parameter has no name there, or a ``stat`` is neither 0 nor 1.
    """
    lost = sorted({name for slot in state.slots.values() for name in slot if not names.get(name)})
    if lost:
        raise UserError(f"optimizer state of parameters that are not there: {', '.join(map(printable, lost[:8]))}")
    slots = {
        slot: {str(names[name]): array for name, array in items.items()}
        for slot, items in state.slots.items()
        if slot != FRESH
    }
    result = State(slots, spelled=dict(state.spelled))
    if target == "torch":
        for name, array in state.slots.get(FRESH, {}).items():
            if _is_fresh(name, array) and names[name] in slots.get("momentum_buffer", {}):
                slots["momentum_buffer"][str(names[name])] = np.zeros_like(array)
    elif "momentum_buffer" in slots and "momentum_buffer" not in state.spelled:
        slots[FRESH] = {name: np.broadcast_to(a.dtype.type(0), a.shape) for name, a in slots["momentum_buffer"].items()}
    counters = dict(state.counters)
    if target == "torch" and "global_step" in counters:
        result.counters["step"] = np.array(int(counters.pop("global_step").reshape(-1)[0]), np.int64)
    elif target == "mindspore" and "step" in counters:
        adam = "exp_avg" in slots
        result.counters |= powers(int(counters.pop("step").reshape(-1)[0]), (betas or BETAS) if adam else ())
    return result, counters


def powers(step: int, betas: Sequence[float]) -> dict[str, np.ndarray]:
    """Return MindSpore's ``global_step`` and beta powers after ``step`` steps of Adam.

    Returns:
        int32 (1,) and a float32 scalar for each beta: beta ** step.
    """
    return {
        "global_step": np.array([step], np.int32),
        **{f"beta{number}_power": np.array(float(beta) ** step, np.float32) for number, beta in enumerate(betas, 1)},
    }


def _is_fresh(name: str, stat: np.ndarray) -> bool:
    """Return whether nn.SGD has not used the momentum of a parameter yet."""
    values = np.unique(stat)
    if values.size > 1 or not np.isin(values, (0, 1)).all():
        raise UserError(f"stat.{printable(name)}: every element must be 0 (momentum in use) or every one 1 (fresh)")
    return bool(values.size) and bool(values[0] == 1)
