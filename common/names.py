"""Parameter names of the two frameworks: one table by layer type, read in both directions.

The PyTorch spelling is canonical. A layer is known either from a network (``kind_of`` each layer's class) or, for
a file alone, from the keys and shapes that stand beside each other (``infer_kinds``). Nothing is matched by
suffix or likeness: what the rules do not decide is an error.
"""

from collections.abc import Iterable, Mapping
from itertools import chain

from common.errors import UserError

# canonical -> MindSpore, in PyTorch's order; None has no MindSpore partner (dropped, written as 0 on the way back)
_AFFINE = {"weight": "gamma", "bias": "beta"}
_BATCH_NORM = {**_AFFINE, "running_mean": "moving_mean", "running_var": "moving_variance", "num_batches_tracked": None}
RENAMED: dict[str, dict[str, str | None]] = {
    "BatchNorm1d": _BATCH_NORM,
    "BatchNorm2d": _BATCH_NORM,
    "BatchNorm3d": _BATCH_NORM,
    "SyncBatchNorm": _BATCH_NORM,
    "LayerNorm": _AFFINE,
    "GroupNorm": _AFFINE,
    "InstanceNorm2d": _AFFINE,
    "PReLU": {"weight": "w"},  # the name inside a network; a bare nn.PReLU calls it "a"
    "Embedding": {"weight": "embedding_table"},
}
PLAIN = "Plain"  # every other layer: names are equal in both frameworks
# MindSpore lists a BatchNorm's statistics before its scales
_MINDSPORE_ORDER = ("moving_mean", "moving_variance", "gamma", "beta", "weight", "bias")


def kind_of(layer: type) -> str:
    """Return the row of ``RENAMED`` that a layer's class, or the nearest of its bases, stands for; else ``PLAIN``."""
    return next((base.__name__ for base in layer.__mro__ if base.__name__ in RENAMED), PLAIN)


def split(name: str) -> tuple[str, str]:
    """Return (path of the layer, name within it); the path is empty for a parameter of the network itself."""
    path, _, leaf = name.rpartition(".")
    return path, leaf


def to_mindspore(name: str, kinds: Mapping[str, str]) -> str | None:
    """Return the MindSpore spelling of a canonical name, or None when MindSpore has no such parameter.

    Args:
        name: Full canonical name, for example ``layer1.0.bn1.weight``.
        kinds: Path of a layer -> its kind; a path that is missing is ``PLAIN``.
    Raises:
        UserError: If the layer's kind has no parameter of that name.
    """
    return _rename(name, kinds.get(split(name)[0], PLAIN), RENAMED)


def to_canonical(name: str, kinds: Mapping[str, str]) -> str:
    """Return the canonical spelling of a MindSpore name; arguments and errors as ``to_mindspore``."""
    return _rename(name, kinds.get(split(name)[0], PLAIN), _BACK)


def translate(names: Iterable[str], kinds: Mapping[str, str], target: str) -> dict[str, str | None]:
    """Map every name to its spelling in the target framework, in that framework's own order.

    Layers keep the order of their first parameter; within a layer the order is that of the target framework.

    Args:
        names: Names in the other framework's spelling; all names of one layer stand together in the result.
        kinds: Path of a layer -> its kind.
        target: ``"torch"`` or ``"mindspore"``.
    Returns:
        Given name -> new name; None for what the target does not have.
    Raises:
        UserError: If a name does not belong to its layer's kind.
    """
    rename = {"torch": to_canonical, "mindspore": to_mindspore}[target]
    order = _PYTORCH_ORDER if target == "torch" else _MINDSPORE_ORDER
    layers: dict[str, list[tuple[str, str | None]]] = {}
    for name in names:
        layers.setdefault(split(name)[0], []).append((name, rename(name, kinds)))
    for path, pairs in layers.items():
        if kinds.get(path, PLAIN) != PLAIN:
            pairs.sort(key=lambda pair: _rank(pair[1], order))
    return dict(chain.from_iterable(layers.values()))


def added(kinds: Mapping[str, str], canonical: Iterable[str]) -> list[str]:
    """Return the canonical names that MindSpore never stores but PyTorch expects: int64 scalars of value 0.

    Args:
        kinds: Path of a layer -> its kind.
        canonical: Canonical names at hand; only layers whose running statistics are among them count.
    """
    paths = [split(name)[0] for name in canonical if split(name)[1] == "running_mean"]
    dropped = {kind: [leaf for leaf, new in row.items() if new is None] for kind, row in RENAMED.items()}
    return [join(path, leaf) for path in paths for leaf in dropped.get(kinds.get(path, PLAIN), [])]


def infer_kinds(
    shapes: Mapping[str, tuple[int, ...]], framework: str, known: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Infer the kind of every layer of a file as ``survey_kinds`` does, and refuse what remains ambiguous.

    Args:
        shapes: Full name -> shape.
        framework: Whose spelling the names have: ``"torch"`` or ``"mindspore"``.
        known: Path -> kind (``PLAIN`` included) for layers that cannot be inferred; wins over inference.
    Returns:
        Path -> kind for every layer whose names differ between the frameworks; the others are left out.
    Raises:
        UserError: Naming every layer that is ambiguous and what its kind may be.
    """
    kinds, unclear = survey_kinds(shapes, framework, known)
    if unclear:
        layers = [
            f"{path or '(top)'} with {', '.join(split(name)[1] for name in shapes if split(name)[0] == path)} "
            f"may be {' or '.join(choice)}"
            for path, choice in list(unclear.items())[:8]
        ]
        raise UserError(f"the kind of {len(unclear)} layers is ambiguous: {'; '.join(layers)}. State it for each")
    return kinds


def survey_kinds(
    shapes: Mapping[str, tuple[int, ...]], framework: str, known: Mapping[str, str] | None = None
) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Infer the kind of every layer of a file from the keys, and their shapes, that share a path.

    BatchNorm shows by its running statistics, other norms by a scale and a shift of one axis, MindSpore's PReLU and
    Embedding by their own names. A matrix without bias in PyTorch's spelling may be a linear layer or an embedding,
    a lone vector a PReLU or a norm without shift, and a key that has another meaning in the other framework would
    not come back: such layers must be in ``known``.

    Args:
        shapes, framework, known: As for ``infer_kinds``.
    Returns:
        (path -> kind for every layer whose names differ between the frameworks, path -> possible kinds for every
        layer that stays ambiguous).
    """
    known, infer = known or {}, {"torch": _infer_torch, "mindspore": _infer_mindspore}[framework]
    layers: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        path, leaf = split(name)
        layers.setdefault(path, {})[leaf] = tuple(shape)
    kinds: dict[str, str] = {}
    unclear: dict[str, tuple[str, ...]] = {}
    for path, leaves in layers.items():
        kind = known[path] if path in known else infer(leaves)
        if isinstance(kind, tuple):
            unclear[path] = kind
        elif kind != PLAIN:
            kinds[path] = kind
    return kinds, unclear


def _infer_torch(leaves: Mapping[str, tuple[int, ...]]) -> str | tuple[str, ...]:
    """Return a layer's kind, or the kinds between which its canonical keys do not decide."""
    names = set(leaves)
    if {"running_mean", "running_var"} <= names <= set(_BATCH_NORM):
        return "BatchNorm2d"
    if names & {"running_mean", "running_var", "num_batches_tracked"}:
        return ("BatchNorm2d", PLAIN)
    if names & (_MINDSPORE_ONLY - {"w"}) or _is_vector(leaves, "w"):
        return (PLAIN, "a layer in MindSpore's spelling")
    if "weight" not in names or len(leaves["weight"]) > 2 or (len(leaves["weight"]) == 2 and "bias" in names):
        return PLAIN
    if len(leaves["weight"]) == 2:
        return (PLAIN, "Embedding")
    if names == {"weight", "bias"} and len(leaves["weight"]) == 1 and leaves["weight"] == leaves["bias"]:
        return "LayerNorm"
    return "PReLU" if leaves == {"weight": (1,)} else ("PReLU", "LayerNorm", PLAIN)


def _infer_mindspore(leaves: Mapping[str, tuple[int, ...]]) -> str | tuple[str, ...]:
    """Return a layer's kind, or the kinds between which its MindSpore keys do not decide."""
    names = set(leaves)
    if {"moving_mean", "moving_variance"} <= names <= set(_MINDSPORE_ORDER[:4]):
        return "BatchNorm2d"
    if {"gamma", "beta"} == names:
        return "LayerNorm"
    if names == {"embedding_table"}:
        return "Embedding"
    if names == {"w"} and _is_vector(leaves, "w"):
        return "PReLU"
    unclear = names & (_MINDSPORE_ONLY - {"w"}) or names & {"running_mean", "running_var", "num_batches_tracked"}
    if unclear or _is_vector(leaves, "w") or len(leaves.get("weight", (0, 0))) < 2:
        return (PLAIN, "BatchNorm2d", "LayerNorm", "PReLU")
    return PLAIN


def _is_vector(leaves: Mapping[str, tuple[int, ...]], leaf: str) -> bool:
    return len(leaves.get(leaf, ())) == 1


def _rename(name: str, kind: str, table: Mapping[str, Mapping[str, str | None]]) -> str | None:
    path, leaf = split(name)
    if kind == PLAIN:
        return name
    row = table[kind]
    if leaf not in row:
        raise UserError(f"{name}: a {kind} has no parameter {leaf!r}, only {', '.join(row)}")
    new = row[leaf]
    return None if new is None else join(path, new)


def _rank(name: str | None, order: tuple[str, ...]) -> int:
    leaf = split(name)[1] if name else ""
    return order.index(leaf) if leaf in order else len(order)


def join(path: str, leaf: str) -> str:
    """Return the name that ``split`` takes apart."""
    return f"{path}.{leaf}" if path else leaf


_BACK = {kind: {new: old for old, new in row.items() if new is not None} for kind, row in RENAMED.items()}
_PYTORCH_ORDER = tuple(_BATCH_NORM)
_MINDSPORE_ONLY = {"moving_mean", "moving_variance", "gamma", "beta", "embedding_table", "w"}
