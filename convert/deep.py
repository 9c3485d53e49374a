"""``verify --deep``: loss, every gradient, three optimizer steps and every layer, each beside its float64 noise floor.

A gap is judged by ``||a - b|| <= FLOOR_FACTOR * floor + FLOOR_SLACK * ||b||``, where the floor is the largest of what
float32 costs PyTorch itself (float32 against float64) and what rounding the weights once more, in three ways, costs in
float64. A ReLU or a maximum that falls on the other side makes it large; nothing smaller could be asked of any
implementation. Every step begins with the second side's weights and moments on all sides: else the first such fall
would be all that later steps show; Adam's eps is at least 1e-4, or it would divide rounding noise by itself.

One element that falls on the other side of a kink in one side alone can still pass all floors, and BatchNorm, which
takes its statistics from the batch, carries it into every gradient. And a floor may be so large that it would hide a
fault. So gradients and steps that fail, or are allowed more than ``BLIND``, are taken once more with the same weights
in the network's smooth form (softplus, average pooling), and must hold there: what had failed to rung P2b's tolerance
of that form, what had held blindly to ``BLIND``. That form lacks the network's own activations and maxima; so the
derivative of every layer without weights is compared by itself (``kinks``), at numbers that no rounding moves past a
kink. By the chain rule nothing is left out then.

A running mean may be 0 but for rounding, as behind a shift of 0; it is measured by its channel's deviation. So is the
gradient of a bias before BatchNorm, which takes it off again; it is measured by that of the layer's weight.

A gap is excused as a kink's only where all layers, their derivatives and the losses hold, and where half of the gaps of
at least one pass, that of the gradients or a step, hold by themselves: a kink falls otherwise now and then, a fault of
the network's own form shows in every pass.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from common.backends import open_backend
from common.errors import UserError
from common.tolerances import FLOOR_FACTOR, FLOOR_SLACK, GRADIENT
from convert.images import labelled_batch
from convert.optimizer import State
from convert.probe import Arrays, Probe, disturbed, side_probe, smooth_form, torch_probe
from convert.scales import beside, deviations, silent_biases
from convert.sides import Side

STEPS = 3
ROUNDINGS = (1, 2, 3)  # seeds of the weights' further rounding
BLIND = 1e-3  # allowance beyond which a gap that holds says too little
_KINKED = ("gradients", "changes", "moments")
RATES = {"sgd": 0.1, "adam": 1e-3, "adamw": 1e-3, "ranger": 1e-3}  # changes must stand out of rounding


@dataclass(frozen=True)
class Gap:
    """One comparison; ``error`` and ``floor`` are norms relative to that of the second side.

    ``smooth`` holds error and allowance in the network's smooth form, where those decide.
    """

    what: str
    error: float
    floor: float
    allowed: float
    smooth: tuple[float, float] | None = None

    @property
    def holds(self) -> bool:
        """Whether the error is allowed, or a kink's; NaN and infinity are neither."""
        error, allowed = self.smooth or (self.error, self.allowed)
        return bool(np.isfinite(self.error) and error <= allowed)


@dataclass(frozen=True)
class Probes:
    """Both sides, and PyTorch in float64, in float32, and in float64 with weights rounded once more."""

    first: Probe
    second: Probe
    wide: Probe
    narrow: Probe
    rounded: tuple[Probe, ...]

    def each(self) -> tuple[Probe, ...]:
        """Return all, in this order."""
        return self.first, self.second, self.wide, self.narrow, *self.rounded


def deep(first: Side, second: Side) -> dict:
    """Compare two networks in depth on one drawn batch.

    Returns:
        JSON values: ``holds``, the first layer that parts (or None), and the gaps of every group.
    Raises:
        UserError: If a side is an ONNX file, which has no gradients, or PyTorch, which gives the floor, is missing.
    """
    for side in (first, second):
        if side.name == "onnx":
            raise UserError(f"--deep: {side.facts['file']} is an ONNX file, which has no gradients")
    groups = _groups(first, second)
    excusable = _excusable(groups)
    if smooth_form(second.config.network) and any(_unclear(gap, excusable) for name in _KINKED for gap in groups[name]):
        smooth = _groups(first, second, smooth=True)
        for name in _KINKED:
            pairs = zip(groups[name], smooth[name], strict=True)
            groups[name] = [_decided(gap, other) if _unclear(gap, excusable) else gap for gap, other in pairs]
    return {
        "holds": all(gap.holds for gaps in groups.values() for gap in gaps),
        "first_layer_that_parts": next((gap.what for gap in groups["layers"] if not gap.holds), None),
        "rate": RATES[second.config.optim.name],
        "steps": STEPS,
        "groups": {name: [{**asdict(gap), "holds": gap.holds} for gap in gaps] for name, gaps in groups.items()},
    }


def _excusable(groups: Mapping[str, Sequence[Gap]]) -> bool:
    """Return whether what fails in gradients and steps may be a kink's."""
    steps = [gap for name in ("changes", "moments") for gap in groups[name]]
    numbers = range(1, STEPS + 1)
    passes = [groups["gradients"], *([gap for gap in steps if gap.what.startswith(_step(one))] for one in numbers)]
    sound = all(gap.holds for name, gaps in groups.items() if name not in _KINKED for gap in gaps)
    return sound and any(2 * sum(gap.holds for gap in one) >= len(one) for one in passes)


def _unclear(gap: Gap, excusable: bool) -> bool:
    """Return whether the smooth form decides."""
    return gap.allowed > BLIND if gap.holds else excusable


def _decided(gap: Gap, smooth: Gap) -> Gap:
    """Return a gap with what its smooth form shows and must show."""
    return replace(gap, smooth=(smooth.error, max(smooth.allowed, BLIND if gap.holds else GRADIENT)))


def _step(number: int) -> str:
    return f"step {number}: "


def _groups(first: Side, second: Side, smooth: bool = False) -> dict[str, list[Gap]]:
    """Return the gaps of layers, kinks, losses, gradients, changes and moments."""
    torch = open_backend("torch", device="cpu", compile=False)
    probes = Probes(
        side_probe(first, smooth),
        side_probe(second, smooth),
        torch_probe(torch, second, smooth, wide=True),
        torch_probe(torch, second, smooth),
        tuple(torch_probe(torch, second, smooth, wide=True, rounded=way) for way in ROUNDINGS),
    )
    batch = labelled_batch(second.config)
    groups = {"layers": _gaps("layers", [probe.layers(batch["source_image"]) for probe in probes.each()])}
    bare = probes.wide.bare_layers(batch["source_image"])
    groups |= {"kinks": _gaps("kinks", [probe.derivatives(bare) for probe in probes.each()])}
    losses, gradients = zip(*(probe.gradients(batch) for probe in probes.each()))
    silent = silent_biases(gradients[2])
    groups |= {
        "losses": _gaps("losses", losses),
        "gradients": _gaps("gradients", gradients, scales=beside(silent, gradients[1])),
        "changes": [],
        "moments": [],
    }
    for number, (changes, moments) in enumerate(_steps(probes, batch, RATES[second.config.optim.name]), 1):
        scales = deviations(probes.second.state()[0]) | beside(silent, changes[1])
        groups["changes"] += _gaps("changes", changes, _step(number), scales)
        groups["moments"] += _gaps("moments", moments, _step(number), beside(silent, moments[1]))
    return groups


def _steps(probes: Probes, batch: dict, rate: float) -> Iterator[tuple[list[Arrays], list[Arrays]]]:
    """Yield the changes and the moments of all probes after each step."""
    for _ in range(STEPS):
        weights, state = probes.second.state()
        for probe in (probes.first, probes.narrow, probes.wide):
            probe.load(weights, state)
        for way, probe in zip(ROUNDINGS, probes.rounded):
            moved = {name: disturbed(name, array, way) for name, array in weights.items()}
            probe.load(moved, _disturbed(state, way))
        changes, moments = zip(*(probe.step(batch, rate) for probe in probes.each()))
        yield list(changes), list(moments)


def _disturbed(state: State, way: int) -> State:
    slots = {slot: {name: disturbed(name, a, way) for name, a in items.items()} for slot, items in state.slots.items()}
    return State(slots, state.counters)


def _gaps(group: str, results: Sequence[Arrays], prefix: str = "", scales: Mapping[str, float] = {}) -> list[Gap]:
    """Compare the first two results, with the floor from the others; errors of ``scales`` are relative to these."""
    first, second, wide, *others = results
    if group in ("layers", "kinks"):  # a twin may need one more inside, for a kernel
        second = {name: array for name, array in second.items() if name in first and name in wide}
    elif set(first) != set(second):
        raise UserError(f"--deep: the sides have other {group}: {', '.join(sorted(set(first) ^ set(second))[:8])}")
    return [
        _gap(prefix + name, first[name], want, [other[name] for other in others], wide[name], scales.get(name, 0.0))
        for name, want in second.items()
    ]


def _gap(
    what: str, got: np.ndarray, want: np.ndarray, near: Sequence[np.ndarray], wide: np.ndarray, scale: float
) -> Gap:
    if got.shape != want.shape:
        return Gap(what, float("inf"), 0.0, 0.0)
    norm = max(float(np.linalg.norm(want)), scale, 1e-30)
    floor = max(float(np.linalg.norm(one - wide)) for one in near) / norm
    return Gap(what, float(np.linalg.norm(got - want)) / norm, floor, FLOOR_FACTOR * floor + FLOOR_SLACK)
