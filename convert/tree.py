"""Between the nested content of a .pth file and flat tensors: wrappers, sections, prefixes, what stands beside them.

Research code saves ``{"state_dict": ..., "optimizer": ..., "epoch": 3, "args": Namespace(...)}`` in any spelling.
``take_apart`` finds the sections that are state dicts, flattens them under one set of names, and leaves a
skeleton from which ``put_together`` builds the same nesting again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from common.errors import UserError
from convert import codec
from convert.formats.pickle_machine import printable
from convert.formats.sizes import MAX_TENSORS
from convert.names import check_name, listed
from convert.optimizer import is_state

MAIN = ("state_dict", "model_state_dict", "model", "model_state", "net", "network", "weights", "params", "state")
WRAPPERS = ("module.", "_orig_mod.")  # DataParallel and DistributedDataParallel, torch.compile
_DEPTH = 3  # wrappers within wrappers


@dataclass
class Parts:
    """A checkpoint taken apart.

    ``tensors`` holds the weights by name: those of the main section plainly, those of others under ``section.``;
    ``optimizers`` the optimizer states as PyTorch nests them, by their path; ``states`` flat ones (``slot.parameter``);
    ``loose`` the tensors that stand elsewhere, by their path; ``skeleton`` everything else as JSON values;
    ``unwrapped`` old -> new names where a prefix was taken off.
    """

    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    optimizers: dict[str, dict] = field(default_factory=dict)
    states: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    loose: dict[str, np.ndarray] = field(default_factory=dict)
    skeleton: object = None
    unwrapped: dict[str, str] = field(default_factory=dict)


def take_apart(content, section: str | None = None) -> Parts:
    """Find the sections of a .pth file's content.

    Args:
        content: What the file holds.
        section: Only this section (path with ``/``), where the file holds several networks.
    Returns:
        The parts; nothing of the file is lost between them.
    Raises:
        UserError: If the content is no dict, holds no tensors, lacks ``section``, or two tensors get one name.
    """
    if section is not None:
        content = _descend(content, section)
    if not isinstance(content, Mapping):
        raise UserError(f"holds a {type(content).__name__}, not a dict of tensors; save a state_dict()")
    parts = Parts()
    sections = _sections(content, "", 0)
    parts.states = {path: sections.pop(path) for path in list(sections) if path and is_state(sections[path], "torch")}
    if not sections and parts.states:
        raise UserError(f"holds optimizer state only, under {listed(parts.states)}; name it with --section")
    if not sections and not _holds_optimizer(content):
        raise UserError("holds no tensors under names")
    main = _main(list(sections))
    for path, tensors in sections.items():
        prefix = "" if path == main else path.replace("/", ".") + "."
        names = _unwrap(list(tensors))
        for old, new in names.items():
            full = check_name(prefix + new)
            if full in parts.tensors:
                raise UserError(f"ambiguous: two tensors would be called {printable(full)}")
            parts.tensors[full] = tensors[old]
            if full != prefix + old:
                parts.unwrapped[prefix + old] = full
    if len(parts.tensors) > MAX_TENSORS:
        raise UserError(f"holds more than {MAX_TENSORS} tensors")
    prefixes = tuple(path.replace("/", ".") + "." for path in sections if path != main)
    clash = [name for name in sections.get(main, {}) if name.startswith(prefixes)] if main is not None else []
    if clash:
        raise UserError(f"ambiguous: {listed(clash)} could stand in another section; choose one with --section")
    parts.skeleton = _skeleton(content, "", sections, main, parts)
    return parts


def put_together(parts: Parts):
    """Build the nested content again from parts whose tensors have their new names."""
    return _built(parts.skeleton, parts)


def is_optimizer(value) -> bool:
    """Return whether a value is what ``torch.optim.Optimizer.state_dict`` returns."""
    return isinstance(value, Mapping) and isinstance(value.get("state"), Mapping) and "param_groups" in value


def _holds_optimizer(content: Mapping) -> bool:
    """Return whether a file without a network holds an optimizer that has taken steps."""
    return any(is_optimizer(value) and value["state"] for value in (content, *content.values()))


def section_prefixes(skeleton) -> list[str]:
    """Return the prefixes of all sections of a skeleton."""
    if isinstance(skeleton, list):
        return [prefix for item in skeleton for prefix in section_prefixes(item)]
    if not isinstance(skeleton, dict):
        return []
    own = [skeleton["$weights"]] if "$weights" in skeleton else []
    return own + [prefix for item in skeleton.values() for prefix in section_prefixes(item)]


def _descend(content, section: str):
    for key in section.split("/"):
        if not isinstance(content, Mapping) or key not in content:
            keys = [str(key) for key in content] if isinstance(content, Mapping) else []
            raise UserError(f"has no section {printable(section)!r}; there are {listed(keys) or 'none'}")
        content = content[key]
    return content


def _sections(content: Mapping, path: str, depth: int) -> dict[str, dict[str, np.ndarray]]:
    """Return path -> tensors of every state dict within, down to the first level that has tensors by name."""
    own = {key: value for key, value in content.items() if isinstance(value, np.ndarray) and isinstance(key, str)}
    found: dict[str, dict[str, np.ndarray]] = {}
    for key, value in content.items():
        if isinstance(value, Mapping) and isinstance(key, str) and not is_optimizer(value) and depth < _DEPTH:
            found |= _sections(value, f"{path}/{key}" if path else key, depth + 1)
    wrapped = any(key.rpartition("/")[2] in MAIN for key in found)
    if own and not (depth == 0 and wrapped):  # tensors beside a wrapped state dict are the method's, not the network's
        found = {path: own} | {key: value for key, value in found.items() if depth == 0}
    return found


def _main(paths: list[str]) -> str | None:
    """Return the section whose names stay as they are: the top, the only one, or the one with a usual name."""
    if "" in paths or len(paths) == 1:
        return "" if "" in paths else paths[0]
    usual = [path for path in paths if path.rpartition("/")[2] in MAIN]
    return usual[0] if len(usual) == 1 else None


def _unwrap(names: list[str]) -> dict[str, str]:
    """Take off the prefixes of wrappers that all names of a section share, and torch.compile's inner ones."""
    result = {name: name for name in names}
    while True:
        prefix = next((w for w in WRAPPERS if result and all(new.startswith(w) for new in result.values())), None)
        if prefix is None:
            inner = {old: [part for part in new.split(".") if part != "_orig_mod"] for old, new in result.items()}
            return {old: ".".join(parts) for old, parts in inner.items()}
        result = {old: new.removeprefix(prefix) for old, new in result.items()}


def _skeleton(value, path: str, sections: Mapping[str, dict], main: str | None, parts: Parts):
    """Return ``value`` as JSON values with the tensors replaced by where they went."""
    if is_optimizer(value):
        parts.optimizers[path] = value
        return {"$optimizer": path}
    if path in parts.states:
        return {"$state": path}
    if isinstance(value, list):
        return [_skeleton(item, f"{path}/{index}", sections, main, parts) for index, item in enumerate(value)]
    if not isinstance(value, Mapping):
        return codec.encode(value, parts.loose, path)
    rest = {key: item for key, item in value.items() if not (path in sections and key in sections[path])}
    inner = {
        key: _skeleton(item, f"{path}/{key}" if path else str(key), sections, main, parts) for key, item in rest.items()
    }
    if not all(isinstance(key, str) and not key.startswith("$") for key in inner):
        inner = {"$dict": [[codec.encode(key, {}), item] for key, item in inner.items()]}
    if path not in sections:
        return inner
    return {"$weights": "" if path == main else path.replace("/", ".") + ".", **({"$beside": inner} if inner else {})}


def _built(skeleton, parts: Parts):
    if isinstance(skeleton, list):
        return [_built(item, parts) for item in skeleton]
    if not isinstance(skeleton, dict):
        return skeleton
    if "$optimizer" in skeleton:
        return parts.optimizers.get(skeleton["$optimizer"], {})
    if "$state" in skeleton:
        return parts.states.get(skeleton["$state"], {})
    if "$weights" in skeleton:
        prefix = skeleton["$weights"]
        others = tuple(p for p in section_prefixes(parts.skeleton) if p and p != prefix)
        own = [name for name in parts.tensors if name.startswith(prefix) and (prefix or not name.startswith(others))]
        beside = _built(skeleton.get("$beside", {}), parts)
        return {**{name.removeprefix(prefix): parts.tensors[name] for name in own}, **beside}
    if len(skeleton) == 1 and next(iter(skeleton)).startswith("$"):
        if "$dict" in skeleton:
            return {codec.decode(k, {}): _built(item, parts) for k, item in skeleton["$dict"]}
        if "$tuple" in skeleton:
            return tuple(_built(item, parts) for item in skeleton["$tuple"])
        return codec.decode(skeleton, parts.loose)
    return {key: _built(item, parts) for key, item in skeleton.items()}
