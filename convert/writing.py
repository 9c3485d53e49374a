"""``Checkpoint`` -> a file in the format of its name."""

from pathlib import Path

import numpy as np

from common.errors import UserError
from convert import formats, torch_optimizer
from convert.checkpoint import EXTRAS, Checkpoint
from convert.formats import ckpt, pth_writer
from convert.names import check_name
from convert.tree import Parts, put_together


def write(path: str | Path, checkpoint: Checkpoint, note: dict) -> None:
    """Write a checkpoint; the file appears whole or not at all.

    Args:
        path: Target; its suffix names the format.
        checkpoint: With names in the spelling that the file shall have.
        note: What the format has no place for.
    Raises:
        UserError: If the format cannot hold a value, or two entries would have one name.
    """
    used = checkpoint.source.release if checkpoint.source else lambda count: None
    kind = formats.format_of(path)
    if kind == "pth":
        formats.save(path, _tree(checkpoint), {**note, **({"extras": True} if checkpoint.extras else {})}, used=used)
        return
    header = {"format": "ms" if checkpoint.framework == "mindspore" else "pt"}
    formats.save(path, _entries(checkpoint, texts=kind == "ckpt"), note, header, used)


def holds(kind: str, array: np.ndarray) -> bool:
    """Return whether a format can hold an array as it is."""
    return {"pth": pth_writer.holds, "ckpt": ckpt.holds}.get(kind, lambda _: True)(array)


def _tree(checkpoint: Checkpoint):
    """Return the nested content of a .pth file."""
    forms, skeleton = checkpoint.forms, checkpoint.skeleton
    flat = _unformed(checkpoint)
    if skeleton is None and checkpoint.weights and (flat or checkpoint.extras):
        skeleton = {"state_dict": {"$weights": ""}, **({"optimizer": {"$state": "optimizer"}} if flat else {})}
    states = _marks(skeleton, "$state")
    tree = put_together(
        Parts(
            checkpoint.weights if states else {**checkpoint.weights, **flat},
            {path: torch_optimizer.unflatten(form, checkpoint.state.slots) for path, form in forms.items()},
            {states[0]: flat} if states else {},
            checkpoint.loose,
            {"$weights": ""} if skeleton is None else skeleton,
        )
    )
    return {**tree, EXTRAS: checkpoint.extras} if checkpoint.extras else tree


def _unformed(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """Return the optimizer state that belongs to no nested optimizer, as ``slot.parameter``."""
    formed = {
        f"{slot}.{value['$slot']}"
        for form in checkpoint.forms.values()
        for _, kept in form["state"]
        for slot, value in kept.items()
        if isinstance(value, dict) and "$slot" in value
    }
    return {name: array for name, array in checkpoint.state.flat("torch").items() if name not in formed}


def _entries(checkpoint: Checkpoint, texts: bool) -> dict[str, np.ndarray | str]:
    """Return the entries of a flat file; no two may have one name."""
    extras = {name: value for name, value in checkpoint.extras.items() if texts or not isinstance(value, str)}
    entries: dict[str, np.ndarray | str] = {}
    for group in (checkpoint.weights, checkpoint.state.flat(checkpoint.framework), extras, checkpoint.loose):
        for name, value in group.items():
            if check_name(name) in entries:
                raise UserError(f"ambiguous: two entries would be called {name}")
            entries[name] = value
    return entries


def _marks(skeleton, mark: str) -> list[str]:
    """Return the contents of all marks of one kind in a skeleton."""
    if isinstance(skeleton, list):
        return [found for item in skeleton for found in _marks(item, mark)]
    if not isinstance(skeleton, dict):
        return []
    own = [skeleton[mark]] if mark in skeleton else []
    return own + [found for item in skeleton.values() for found in _marks(item, mark)]
