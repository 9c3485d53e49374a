"""Configuration files as trees of plain values: found, read, extended, overridden; with the place of every key."""

import difflib
from pathlib import Path
from typing import Any

import yaml

from common.errors import UserError

CONFIGS = Path(__file__).parent / "configs"
YAML_TYPES = {"map", "seq", "str", "int", "float", "bool", "null"}
LARGEST_FILE = 1 << 20  # bytes; a configuration is a page, not a book


def find_config(path: Path) -> Path:
    """Return the file that ``path`` means: as given, or below ``common/configs``, with or without ``.yaml``.

    Raises:
        UserError: If there is none; names the nearest one.
    """
    tried = [base / name for base in (Path(), CONFIGS) for name in (path, path.with_name(path.name + ".yaml"))]
    for file in tried:
        if file.is_file():
            return file
    known = sorted(str(p.relative_to(CONFIGS).with_suffix("")) for p in CONFIGS.rglob("[!_]*.yaml"))
    near = difflib.get_close_matches(str(path.with_suffix("")), known, 1, 0.5)
    raise UserError(f"{path}: no such configuration." + (f" Did you mean '{near[0]}'?" if near else ""))


def read_tree(file: Path, seen: tuple[Path, ...] = ()) -> tuple[dict, dict]:
    """Return the merged tree of a file and what it extends, and the place ("file:line") of every key.

    Sections merge key by key over those of the files named by ``extends``, the later of them over the earlier. A list
    replaces the inherited one, an empty section ``{}`` empties the inherited one, and so does a section of another
    form: another ``name`` or ``layout``.

    Args:
        file: YAML.
        seen: Files that led here by ``extends``.
    Returns:
        Plain nested values; path of a key, as a tuple -> its place.
    Raises:
        UserError: If the file is no YAML of plain values, too large, repeats a key or extends itself.
    """
    if file.resolve() in seen:
        raise UserError(f"{file}: extends itself through {seen[-1].name}")
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise UserError(f"{file}: larger than {LARGEST_FILE} bytes, not a configuration")
        node = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        places: dict[tuple, str] = {}
        tree = _plain(node, (), file, places) if node is not None else {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file}:{mark.line + 1}" if mark else str(file)
        raise UserError(f"{where}: not valid YAML: {getattr(error, 'problem', None) or error}") from None
    except UnicodeDecodeError:
        raise UserError(f"{file}: not a text file in UTF-8") from None
    except RecursionError:
        raise UserError(f"{file}: nested too deeply to be a configuration") from None
    if not isinstance(tree, dict):
        raise UserError(f"{file}:1: a configuration is a mapping of keys, not {type(tree).__name__}")
    return _extend(tree, places, file, seen)


def _extend(tree: dict, places: dict, file: Path, seen: tuple[Path, ...]) -> tuple[dict, dict]:
    parents = tree.pop("extends", [])
    merged: dict = {}
    merged_places: dict = {}
    for parent in [parents] if isinstance(parents, str) else parents:
        beside = file.parent / str(parent)
        found = beside if beside.is_file() else find_config(Path(str(parent)))
        base, base_places = read_tree(found, (*seen, file.resolve()))
        _merge(merged, base)
        merged_places |= base_places
    _merge(merged, tree)
    return merged, merged_places | places


def _plain(node: yaml.Node, path: tuple, file: Path, places: dict) -> Any:
    """Turn a YAML node into plain values and note where each key stands; refuses repeated keys."""
    places.setdefault(path, f"{file}:{node.start_mark.line + 1}")
    if node.tag.rpartition(":")[2] not in YAML_TYPES:
        raise UserError(f"{file}:{node.start_mark.line + 1}: not valid YAML here: tag {node.tag}; plain values only")
    if isinstance(node, yaml.MappingNode):
        result: dict = {}
        for key_node, value_node in _pairs(node, file):
            key = yaml.SafeLoader("").construct_object(key_node)
            places[(*path, key)] = f"{file}:{key_node.start_mark.line + 1}"
            result[key] = _plain(value_node, (*path, key), file, places)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*path, index), file, places) for index, item in enumerate(node.value)]
    return yaml.SafeLoader("").construct_object(node)


def _pairs(node: yaml.MappingNode, file: Path) -> list[tuple[yaml.Node, yaml.Node]]:
    """Return keys and values of a mapping, those of ``<<: *anchor`` first; a key that is written twice is refused."""
    written = [key_node.value for key_node, _ in node.value]
    for number, (key_node, _) in enumerate(node.value):
        if key_node.value in written[:number]:
            raise UserError(f"{file}:{key_node.start_mark.line + 1}: key {key_node.value!r} appears twice")
    yaml.SafeLoader("").flatten_mapping(node)
    return node.value


def _merge(base: dict, over: dict) -> None:
    """Lay ``over`` upon ``base`` in place. A section of another form, or an empty one, replaces the old one whole."""
    for key, value in over.items():
        old = base.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        if both and value and not _another_form(old, value):
            _merge(old, value)
        else:
            base[key] = dict(value) if isinstance(value, dict) else value


def _another_form(old: dict, new: dict) -> bool:
    """Whether a section has another ``name`` or ``layout``, or is a split where a dataset was."""
    renamed = any(kind in new and new[kind] != old.get(kind) for kind in ("name", "layout"))
    return renamed or ("layout" in old and not {"count", "shots"}.isdisjoint(new))


def override(tree: dict, places: dict, text: str) -> None:
    """Apply one ``a.b=value`` to what ``read_tree`` returned.

    Raises:
        UserError: If the text is not of this form.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip("."):
        raise UserError(f"--set {text}: not of the form key.subkey=value")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        raise UserError(f"--set {text}: the value is not valid YAML") from None
    *sections, last = name.split(".")
    for section in sections:
        child = tree.setdefault(section, {})
        if not isinstance(child, dict):
            child = tree[section] = {}
        tree = child
    tree[last] = parsed
    places[tuple(name.split("."))] = f"--set {name}"
