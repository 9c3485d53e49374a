"""A checkpoint in the terms of the other framework, bit for bit, with a note that makes the way back exact."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from convert import codec
from convert.checkpoint import Checkpoint
from convert.names import Renaming, listed, rename
from convert.optimizer import State
from convert.optimizer import translate as translate_state
from convert.report import Report

_STEPS = ("step", "global_step", "beta1_power", "beta2_power")
_LASTING = ("kinds", "slots", "held", "absent", "counters")  # of a note: stay true when the format alone changes
Names = Mapping[str, str | None]
_COUNTER = np.zeros((), np.int64)  # BatchNorm's num_batches_tracked; unused while its momentum is a number


@dataclass(frozen=True)
class Stated:
    """What the user or the run folder states because the file does not."""

    layers: Mapping[str, str] = field(default_factory=dict)  # path of a layer -> its kind
    parameters: Names | None = None  # names of the network to which optimizer state alone belongs
    betas: Sequence[float] | None = None  # Adam's, for MindSpore's beta powers
    keep_names: bool = False  # the names are the method's own, alike in both frameworks


def translate(checkpoint: Checkpoint, framework: str, stated: Stated, report: Report) -> tuple[Checkpoint, dict]:
    """Return a checkpoint in the terms of a framework, and the note to be written beside it.

    Args:
        checkpoint: As read.
        framework: ``"torch"`` or ``"mindspore"``.
        stated: What the file alone does not tell.
        report: Gains what happened to every key.
    Raises:
        UserError: If the names do not map one to one.
    """
    known = {**checkpoint.note.get("kinds", {}), **stated.layers}
    shapes = {name: array.shape for name, array in checkpoint.weights.items()}
    renaming = rename(shapes, checkpoint.framework, checkpoint.framework if stated.keep_names else framework, known)
    note = {key: checkpoint.note[key] for key in _LASTING if key in checkpoint.note}
    result = replace(checkpoint, framework=framework, extras=dict(checkpoint.extras))
    result.weights = _weights(checkpoint, renaming, note, report)
    names = renaming.names if checkpoint.weights else stated.parameters
    if names is None:
        alone = rename(checkpoint.state.shapes(), checkpoint.framework, framework, known)
        names, renaming.noted = alone.names, renaming.noted | alone.noted
    if framework != checkpoint.framework:
        note = {} if framework == "torch" else _held(checkpoint, renaming)
        result.state = _state(checkpoint, result, names, stated.betas, note)
    if renaming.noted:
        note["kinds"] = renaming.noted
    if result.state.spelled:
        note["slots"] = result.state.spelled
    _tell(checkpoint, result, renaming, names, report)
    return result, note


def pack(result: Checkpoint, note: dict, kind: str) -> tuple[Checkpoint, dict]:
    """Move what a flat file has no place for into the note.

    Args:
        result: In the target's terms.
        note: As ``translate`` returned it.
        kind: The target's format.
    Returns:
        (what the file holds, the whole note).
    """
    if kind == "pth":
        return result, note
    note = dict(note)
    if result.skeleton is not None:
        note["skeleton"] = result.skeleton
    if result.forms:
        note["forms"] = result.forms
    extras = dict(result.extras)
    if kind == "safetensors":
        texts = {name: extras.pop(name) for name, value in result.extras.items() if isinstance(value, str)}
        note |= {"texts": texts} if texts else {}
    if extras and result.framework == "torch":
        note["extras"] = list(extras)
    packed = replace(result, extras=extras)
    if kind == "ckpt":
        empty = {name: codec.inline(array) for name, array in result.weights.items() if array.shape == (0,)}
        packed.weights = {name: array for name, array in result.weights.items() if name not in empty}
        note |= {"empty": empty} if empty else {}
    return packed, note


def _weights(checkpoint: Checkpoint, renaming: Renaming, note: Mapping, report: Report) -> dict[str, np.ndarray]:
    """Return the weights under their new names, BatchNorm's counters behind its statistics."""
    weights: dict[str, np.ndarray] = {}
    extra = {name.rpartition(".")[0]: name for name in renaming.added if name not in note.get("absent", ())}
    for old, new in renaming.names.items():
        if new is None:
            continue
        weights[new] = checkpoint.weights[old]
        path, _, leaf = new.rpartition(".")
        if leaf == "running_var" and path in extra:
            held = note.get("held", {}).get(extra[path])
            weights[extra[path]] = _COUNTER if held is None else codec.decode(held, {})
            report.added[extra[path]] = "0, MindSpore does not count" if held is None else "as noted in the file"
    return weights


def _held(checkpoint: Checkpoint, renaming: Renaming) -> dict:
    """Return the notes about BatchNorm's counters, which MindSpore does not have."""
    dropped = {name: checkpoint.weights[name] for name, new in renaming.names.items() if new is None}
    held = {
        name: codec.inline(array)
        for name, array in dropped.items()
        if array.dtype != _COUNTER.dtype or array.shape != () or array != _COUNTER
    }
    layers = [name.removesuffix("running_var") for name in renaming.names if name.rpartition(".")[2] == "running_var"]
    absent = [f"{layer}num_batches_tracked" for layer in layers if f"{layer}num_batches_tracked" not in dropped]
    return {**({"held": held} if held else {}), **({"absent": absent} if absent else {})}


def _state(
    checkpoint: Checkpoint, result: Checkpoint, names: Names, betas: Sequence[float] | None, note: dict
) -> State:
    """Return the optimizer state in the terms of ``result``, whose extras give or take counters."""
    derived = {name: value for form in checkpoint.forms.values() for name, value in form["counters"].items()}
    state = replace(checkpoint.state, counters=dict(checkpoint.state.counters))
    if result.framework == "torch":
        for name in derived:
            state.counters.pop(name, None)
    else:
        state.spelled = dict(checkpoint.note.get("slots", {}))
    moved, left = translate_state(state, names, result.framework, betas)
    step = _step(moved)
    if step is not None:  # the source's own counters: their types, and betas that the step alone does not give back
        own = {name: codec.inline(array) for name, array in state.counters.items() if name in _STEPS}
        note["counters"] = {"step": step, "own": own}
        before = checkpoint.note.get("counters", {})
        if before.get("step") == step:
            moved.counters |= {name: codec.decode(value, {}) for name, value in before["own"].items()}
    if result.framework == "torch":
        result.extras |= {name: array for name, array in left.items() if step is None or name not in _STEPS}
        return moved
    arrays = {name: value for name, value in result.extras.items() if not isinstance(value, str)}
    moved.counters |= {name: codec.decode(value, {}) for name, value in derived.items()} | left | arrays
    result.extras = {name: value for name, value in result.extras.items() if name not in arrays}
    return moved


def _step(state: State) -> int | None:
    """Return the number of steps that an optimizer has taken, where it counts them."""
    counter = state.counters.get("step", state.counters.get("global_step"))
    return None if counter is None else int(counter.reshape(-1)[0])


def _tell(checkpoint: Checkpoint, result: Checkpoint, renaming: Renaming, names: Names, report: Report) -> None:
    """Enter the weights and the optimizer's state in the report, under the names that the file had."""
    before = {new: old for old, new in checkpoint.unwrapped.items()}
    pairs = {before.get(old, old): new for old, new in renaming.names.items()}
    for slot, items in checkpoint.state.slots.items():
        old, new = checkpoint.state.spelling(slot, checkpoint.framework), result.state.spelling(slot, result.framework)
        pairs |= {f"{old}.{name}": f"{new}.{names[name]}" if slot in result.state.slots else None for name in items}
    pairs |= {name: name if name in result.state.counters else None for name in checkpoint.state.counters}
    for old, new in pairs.items():
        if new is None:
            report.dropped[old] = _reason(old)
        elif new == old:
            report.kept.append(old)
        else:
            report.renamed[old] = new
    fresh = result.state.flat(result.framework).keys() - pairs.keys() - {new for new in pairs.values() if new}
    report.added |= dict.fromkeys(sorted(fresh), "follows from the rest of the optimizer's state")
    report.remarks += checkpoint.remarks
    if renaming.open:
        layers = [f"{path or '(top)'} ({' or '.join(kinds)})" for path, kinds in renaming.open.items()]
        report.remarks.append(f"names kept, for the file does not show the layer's type: {listed(layers)}; see --layer")


def _reason(name: str) -> str:
    if name.rpartition(".")[2] == "num_batches_tracked":
        return "MindSpore has no such buffer; its value is noted in the file"
    return "the other framework has no such state; it follows from the rest or is noted in the file"


def framework_of(kind: str, names: str | None) -> str:
    """Return whose terms a target has: those of its format; for .safetensors as stated, PyTorch's by default."""
    return {"pth": "torch", "ckpt": "mindspore"}.get(kind) or names or "torch"
