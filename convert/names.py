"""Names of one file in the spelling of the other framework, by the rules of ``common/names.py``.

A file alone does not always show the type of a layer. What stays open is kept as it is and reported; what
the new names alone would not give back is noted beside the tensors, so that the way back is exact.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from common.errors import UserError
from common.names import PLAIN, RENAMED, added, join, split, survey_kinds, to_canonical, to_mindspore, translate
from convert.formats.pickle_machine import printable

SHOWN = 8
_STATISTICS = {"torch": ("running_mean", "running_var"), "mindspore": ("moving_mean", "moving_variance")}
_SCALES = {"torch": ("weight", "bias"), "mindspore": ("gamma", "beta")}

Shapes = Mapping[str, tuple[int, ...]]


@dataclass
class Renaming:
    """How the names of a file change.

    ``names`` maps every old name to the new one, None for what the target does not store; ``added`` are names that the
    target wants besides (BatchNorm's counters); ``open`` are the layers whose type the file does not show; ``noted``
    are kinds (path -> row of the table) that the new names alone would not give back.
    """

    names: dict[str, str | None]
    added: list[str] = field(default_factory=list)
    kinds: dict[str, str] = field(default_factory=dict)
    open: dict[str, tuple[str, ...]] = field(default_factory=dict)
    noted: dict[str, str] = field(default_factory=dict)


def rename(shapes: Shapes, source: str, target: str, known: Mapping[str, str] | None = None) -> Renaming:
    """Return the names in the spelling of ``target``.

    Args:
        shapes: Name -> shape, in the spelling of ``source``.
        source, target: ``"torch"`` or ``"mindspore"``.
        known: Path of a layer -> its kind, where the user or a note states it.
    Raises:
        UserError: If a BatchNorm is incomplete or two names become one.
    """
    if source == target:
        return Renaming({name: name for name in shapes})
    known = dict(known or {})
    for path, kind in known.items():
        if kind != PLAIN and kind not in RENAMED:
            raise UserError(f"layer {printable(path)}: no kind {printable(kind)!r}; try {PLAIN}, {', '.join(RENAMED)}")
    _check_norms(shapes, source, known)
    kinds, unclear = survey_kinds(shapes, source, known)
    names = translate(shapes, kinds, target)
    _check_unique(names)
    extra = added(kinds, [name for name in names.values() if name]) if target == "torch" else []
    noted = _not_inferred(shapes, names, kinds, target)
    return Renaming(names, [name for name in extra if name not in names.values()], kinds, unclear, noted)


def check_name(name: object) -> str:
    """Return a tensor's name if every format can hold it and it is no path in disguise.

    Raises:
        UserError: Otherwise.
    """
    if not isinstance(name, str):
        raise UserError(f"the tensor name {printable(repr(name))} is no text")
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or parts[0] == "~" or (len(parts) > 1 and (not parts[0] or parts[0].endswith(":"))):
        raise UserError(f"the tensor name {printable(name)!r} is a path that leads out of the file")
    if any(ord(letter) < 32 or 0x7F <= ord(letter) < 0xA0 or 0xD800 <= ord(letter) < 0xE000 for letter in name):
        raise UserError(f"the tensor name {printable(name)!r} holds control characters")
    return name


def listed(names: Iterable[str]) -> str:
    """Return the first names for a message, with their number."""
    names = list(names)
    return ", ".join(map(printable, names[:SHOWN])) + (f", ... ({len(names)} in all)" if len(names) > SHOWN else "")


def _check_norms(shapes: Shapes, framework: str, known: Mapping[str, str]) -> None:
    """Refuse a BatchNorm that lacks a member, has one too many, or members of different sizes."""
    missing, unexpected, misshapen = [], [], []
    layers: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        path, leaf = split(name)
        layers.setdefault(path, {})[leaf] = shape
    statistics, scales = _STATISTICS[framework], _SCALES[framework]
    for path, leaves in layers.items():
        if known.get(path) == PLAIN or not any(leaf in leaves for leaf in statistics):
            continue
        members = statistics + (scales if any(leaf in leaves for leaf in scales) else ())
        missing += [join(path, leaf) for leaf in members if leaf not in leaves]
        unexpected += [join(path, leaf) for leaf in leaves if leaf not in (*members, "num_batches_tracked")]
        sizes = {leaves[leaf] for leaf in members if leaf in leaves}
        misshapen += [path] if len(sizes) > 1 else []
    lists = {"missing": missing, "unexpected": unexpected, "of unequal shapes": misshapen}
    parts = [f"{title}: {listed(names)}" for title, names in lists.items() if names]
    if parts:
        raise UserError(f"BatchNorm layers are not whole: {'; '.join(parts)}")


def _check_unique(names: Mapping[str, str | None]) -> None:
    taken: dict[str, str] = {}
    for old, new in names.items():
        if new is not None and new in taken:
            both = f"{printable(taken[new])} and {printable(old)}"
            raise UserError(f"ambiguous: {both} would both become {printable(new)}")
        if new is not None:
            taken[new] = old


def _not_inferred(
    shapes: Shapes, names: Mapping[str, str | None], kinds: Mapping[str, str], target: str
) -> dict[str, str]:
    """Return the layers that ``survey_kinds`` would name differently on the way back."""
    moved = {new: shapes[old] for old, new in names.items() if new is not None}
    back_kinds, _ = survey_kinds(moved, target)
    back = to_canonical if target == "mindspore" else to_mindspore
    noted = {}
    for old, new in names.items():
        path, leaf = split(new or "")
        foreign = leaf in _STATISTICS[target] and path not in kinds  # would read as part of a BatchNorm
        if new is not None and (foreign or back(new, back_kinds) != old):
            noted[path] = kinds.get(path, PLAIN)
    return noted
