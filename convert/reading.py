"""Any checkpoint file -> ``Checkpoint``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import UserError
from convert import codec, formats, torch_optimizer
from convert.checkpoint import EXTRAS, Checkpoint
from convert.formats.note import obeyed
from convert.names import check_name
from convert.optimizer import split
from convert.tree import section_prefixes, take_apart

_UNFOLDED = 16  # all tensors together may take this many times the size of the file


@dataclass(frozen=True)
class Reading:
    """How to read a file, where the file itself does not tell."""

    section: str | None = None  # one of several sections
    parameters: Sequence[str] | None = None  # names in the order of the optimizer's indices
    names: str | None = None  # "torch" or "mindspore": whose names a .safetensors file has
    state_only: bool = False  # the file is an optimizer's part of a checkpoint folder
    any_name: bool = False  # the file's name need not fit its content


def read(path: str | Path, how: Reading | None = None) -> Checkpoint:
    """Read any checkpoint file.

    Raises:
        UserError: If it cannot be read, or its tensors together unfold to many times its size.
    """
    how = how or Reading()
    loaded = formats.load(path, how.any_name)
    try:
        with obeyed(loaded.source, loaded.note):
            result = _from_tree(loaded, how) if loaded.format == "pth" else _from_flat(loaded, how)
    except UserError as error:
        raise UserError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error
    result.note, result.source = loaded.note, loaded.source
    tensors = (*result.weights.values(), *result.state.flat("torch").values(), *result.loose.values())
    total = sum(array.nbytes for array in tensors)
    if total > _UNFOLDED * loaded.source.size + 2**26:
        raise loaded.source.refuse(f"its tensors would unfold to {total / 1e9:.1f} GB")
    return result


def _from_tree(loaded: formats.Loaded, how: Reading) -> Checkpoint:
    content, extras = loaded.content, {}
    if loaded.note.get("extras") and isinstance(content, dict):
        extras = content.pop(EXTRAS, {})
    parts = take_apart(content, how.section)
    weights, state = split(parts.tensors, "torch", how.state_only)
    result = Checkpoint("torch", weights, state, parts.loose, extras, parts.skeleton, unwrapped=parts.unwrapped)
    for path, tensors in parts.states.items():
        _take_state(result, path, tensors)
    for path, optimizer in parts.optimizers.items():
        _take_optimizer(result, path, optimizer, how)
    return result


def _take_state(result: Checkpoint, path: str, tensors: dict[str, np.ndarray]) -> None:
    """Take a flat optimizer section; a second one is kept as it is."""
    if not result.state:
        result.state = split(tensors, "torch", only=True)[1]
        return
    result.remarks.append(f"{path}: kept as it is, not translated: there is optimizer state elsewhere")
    result.skeleton = _replaced(result.skeleton, {"$state": path}, codec.encode(tensors, result.loose, path))


def _take_optimizer(result: Checkpoint, path: str, optimizer: Mapping, how: Reading) -> None:
    """Name the moments of a nested optimizer, or keep it as it is and say why."""
    prefixes = section_prefixes(result.skeleton)
    sections = {prefix: _shapes(result.weights, prefix, prefixes) for prefix in sorted(prefixes)}
    try:
        slots, form = torch_optimizer.flatten(optimizer, sections, how.parameters)
        if any(name in result.state.slots.get(slot, {}) for slot, names in slots.items() for name in names):
            raise torch_optimizer.Unnamed("its parameters have the state of another optimizer already")
    except torch_optimizer.Unnamed as reason:
        result.remarks.append(f"{path or 'the optimizer'}: kept as it is, not translated: {reason}")
        kept = codec.encode(optimizer, result.loose, path)
        result.skeleton = _replaced(result.skeleton, {"$optimizer": path}, kept)
        return
    derived = torch_optimizer.counters(optimizer) if slots else {}  # MindSpore's counters tell nothing without moments
    form["counters"] = {name: codec.inline(array) for name, array in derived.items()}
    for slot, items in slots.items():
        result.state.slots.setdefault(slot, {}).update(items)
    result.forms[path] = form


def _shapes(weights: Mapping[str, np.ndarray], prefix: str, prefixes: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the section with a prefix, by full name."""
    others = tuple(other for other in prefixes if other and other != prefix)
    own = (name for name in weights if name.startswith(prefix) and (prefix or not name.startswith(others)))
    return {name: weights[name].shape for name in own}


def _from_flat(loaded: formats.Loaded, how: Reading) -> Checkpoint:
    note = loaded.note
    framework = "mindspore" if loaded.format == "ckpt" else how.names or _spelling(loaded)
    tensors = {check_name(name): value for name, value in loaded.content.items() if not isinstance(value, str)}
    texts = {check_name(name): value for name, value in loaded.content.items() if isinstance(value, str)}
    loose = {path: tensors.pop(path) for path in codec.paths(note.get("skeleton")) if path in tensors}
    tensors |= {name: codec.decode(value, {}) for name, value in note.get("empty", {}).items()}
    extras = {name: tensors.pop(name) for name in note.get("extras", ()) if name in tensors} | note.get("texts", {})
    weights, state = split(tensors, framework, how.state_only)
    return Checkpoint(framework, weights, state, loose, texts | extras, note.get("skeleton"), note.get("forms", {}))


def _spelling(loaded: formats.Loaded) -> str:
    """Return whose names a safetensors file has: as its metadata or the members of its norms say."""
    told = {"pt": "torch", "ms": "mindspore"}.get(loaded.metadata.get("format", ""))
    leaves = {name.rpartition(".")[2] for name in loaded.content}
    return told or ("mindspore" if leaves & {"moving_mean", "moving_variance", "gamma"} else "torch")


def _replaced(skeleton, old, new):
    """Return a skeleton in which the value ``old`` is ``new``."""
    if skeleton == old:
        return new
    if isinstance(skeleton, list):
        return [_replaced(item, old, new) for item in skeleton]
    if isinstance(skeleton, dict):
        return {key: _replaced(item, old, new) for key, item in skeleton.items()}
    return skeleton
