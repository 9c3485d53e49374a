"""Converts a whole run folder, or one checkpoint folder: every part, the states beside them, digests and markers.

What a finished stage was made from is recorded as digests of the weights upstream; these change with the
format, so the records are rewritten and the other framework finds every finished stage unchanged.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import getitem
from pathlib import Path

import yaml

from common import checkpoint, keeper
from common.backends import SUFFIXES
from common.errors import UserError
from common.run_folder import StageFolder, digest_of
from convert.formats import format_of
from convert.formats.files import sync_folder
from convert.report import Report
from convert.single import Options, convert_file

_LEFT_BEHIND = (".lock",)
_KEPT_PARTS = ("memory", "scaler")  # thresholds, prototypes, loss scale: not named after layers, alike in both
_WEIGHTS = ("weights", "vgg")  # keys of a configuration that name files of weights, one or several
_STATES = "optimizer"  # beginning of the names of the parts that hold optimizer state


def convert_folder(source: Path, target: Path, options: Options | None = None) -> list[Report]:
    """Convert every checkpoint below ``source``; everything else is copied. The target appears in one rename.

    Args:
        source: A run folder, a stage's folder or one checkpoint.
        target: A folder that does not exist yet.
        options: As for a single file.
    Returns:
        One report for each converted file.
    Raises:
        UserError: If the target exists or lies within the source, a checkpoint is damaged, or there is none.
    """
    options = options or Options()
    _check_places(source, target)
    folders = [path for path in _walk(source) if (path / checkpoint.MANIFEST).exists() and _parts(path)]
    if not folders:
        raise UserError(f"{source}: holds no checkpoint folder (model.pth or model.ckpt beside {checkpoint.MANIFEST})")
    frameworks = {_framework(path) for path in folders}
    if len(frameworks) != 1:
        raise UserError(f"{source}: holds checkpoints of both frameworks; convert them one by one")
    to = "mindspore" if frameworks == {"torch"} else "torch"
    stated = options.stated if options.stated.betas else replace(options.stated, betas=_betas(source))
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        reports = []
        for path in folders:
            checkpoint.verify(path)
            place = part / path.relative_to(source)
            reports += _convert_checkpoint(path, place, to, replace(options, stated=stated))
        _copy_rest(source, part, folders)
        initial, digests = _convert_initial(source, part, target, to, options)
        reports += initial
        _rewrite_records(part, digests)
        os.replace(part, target)
        sync_folder(target.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    for report in reports:
        report.target = report.target.replace(str(part), str(target), 1)
    return reports


def _check_places(source: Path, target: Path) -> None:
    if target.exists():
        raise UserError(f"{target}: exists already; name a new folder")
    if not target.parent.is_dir():
        raise UserError(f"{target}: the folder {target.parent} does not exist")
    if source.resolve() in (target.resolve(), *target.resolve().parents):
        raise UserError(f"{target}: lies within {source}; name a folder outside of it")


def _walk(folder: Path) -> Iterator[Path]:
    """Yield a folder and all below it, hidden ones left out.

    Raises:
        UserError: At a link, which could lead anywhere.
    """
    yield folder
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            raise UserError(f"{path}: is a link; a run folder holds none. Replace it by what it points to")
        if path.is_dir() and not path.name.startswith("."):
            yield from _walk(path)


def _parts(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES.values() and path.is_file())


def _framework(folder: Path) -> str:
    found = {format_of(path) for path in _parts(folder)}
    if len(found) != 1:
        raise UserError(f"{folder}: holds parts of both frameworks")
    return "torch" if found == {"pth"} else "mindspore"


def _config(folder: Path) -> dict:
    """Return the nearest resolved configuration at or above a folder; empty when there is none."""
    for place in (folder, *folder.resolve().parents[:6]):
        if (place / "config.yaml").is_file():
            try:
                config = yaml.safe_load((place / "config.yaml").read_text(encoding="utf-8"))
            except (yaml.YAMLError, UnicodeDecodeError) as error:
                raise UserError(f"{place / 'config.yaml'}: damaged ({str(error).splitlines()[0]})") from error
            return config if isinstance(config, dict) else {}
    return {}


def _initial(config: object, at: tuple = (), named: bool = False) -> Iterator[tuple[tuple, Path]]:
    """Yield place, keys and numbers in lists, and file of all initial weights that a configuration names."""
    if isinstance(config, str) and named:
        yield at, Path(config)
    entries = config.items() if isinstance(config, dict) else enumerate(config) if isinstance(config, list) else ()
    for key, value in entries:
        holds = named if isinstance(config, list) else key in _WEIGHTS or str(key).endswith("_weights")
        yield from _initial(value, (*at, key), holds)


def _dotted(keys: tuple, between: str = ".") -> str:
    return between.join(map(str, keys))


def _betas(folder: Path) -> Sequence[float] | None:
    """Return Adam's betas of the run, or None."""
    betas = (_config(folder).get("optim") or {}).get("betas")
    return [float(beta) for beta in betas] if isinstance(betas, list) else None


def _convert_checkpoint(folder: Path, place: Path, to: str, options: Options) -> list[Report]:
    """Publish one checkpoint folder in the other framework's terms; the weights come first, for they name the rest."""
    reports: list[Report] = []

    def fill(fresh: Path) -> None:
        names: dict[str, dict[str, str | None]] = {}  # of the networks, by part
        for path in sorted(_parts(folder), key=lambda path: path.stem.startswith(_STATES)):
            state = path.stem.startswith(_STATES)
            own = {name: new for part in names.values() for name, new in part.items()}
            own |= names.get(path.stem.removeprefix(_STATES).removeprefix("_") or "model", {})
            stated = replace(options.stated, keep_names=path.stem in _KEPT_PARTS, parameters=own if state else None)
            reading = replace(options.reading, state_only=state)
            target = fresh / f"{path.stem}{SUFFIXES[to]}"
            reports.append(convert_file(path, target, replace(options, reading=reading, stated=stated)))
            names[path.stem] = reports[-1].names()
        for path in folder.iterdir():
            if path.is_file() and path.suffix not in SUFFIXES.values() and path.name != checkpoint.MANIFEST:
                _copy(path, fresh / path.name)
        if (fresh / checkpoint.STATE).exists():
            state = checkpoint.read_json(fresh / checkpoint.STATE)
            told = {"backend": to, "converted_from": state.get("backend")} if "backend" in state else {}
            (fresh / checkpoint.STATE).write_text(json.dumps({**state, **told}, indent=1))

    place.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.publish(place, fill)
    for report in reports:
        report.target = str(place / Path(report.target).name)
    return reports


def _convert_initial(source: Path, part: Path, target: Path, to: str, options: Options) -> tuple[list[Report], dict]:
    """Convert the run's initial weights too and name them in its configuration; without them no stage can begin.

    Returns:
        (a report a file, digest and path of each old file -> those of the new one; stages record either).
    """
    path, config = part / "config.yaml", _config(source)
    named = [(keys, file) for keys, file in _initial(config) if file.suffix not in (SUFFIXES[to], ".safetensors")]
    if not named or not path.is_file():
        return [], {}
    places: dict[Path, Path] = {}
    reports, digests = [], {}
    for keys, file in named:
        if not file.is_file():
            raise UserError(f"{source / 'config.yaml'}: {_dotted(keys)}: {file}: no such file; convert from its place")
        if file not in places:
            taken = any(place.stem == file.stem for place in places.values())
            places[file] = part / "weights" / f"{_dotted(keys, '-') if taken else file.stem}{SUFFIXES[to]}"
            places[file].parent.mkdir(exist_ok=True)
            reports.append(convert_file(file, places[file], options))
            digests[checkpoint.sha256(file)] = checkpoint.sha256(places[file])
        section = reduce(getitem, keys[:-1], config)
        section[keys[-1]] = digests[str(file)] = str(target / "weights" / places[file].name)
    checkpoint.write_text(path, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    return reports, digests


def _copy_rest(source: Path, part: Path, converted: list[Path]) -> None:
    """Copy all other files; the initial weights of an earlier conversion are converted again instead."""
    initial = {file.resolve() for _, file in _initial(_config(source))}
    for folder in _walk(source):
        if folder in converted:
            continue
        place = part / folder.relative_to(source)
        place.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if path.is_file() and path.name not in _LEFT_BEHIND and path.resolve() not in initial:
                _copy(path, place / path.name)


def _copy(path: Path, place: Path) -> None:
    if path.suffix in SUFFIXES.values():
        raise UserError(f"{path}: stands in no checkpoint folder; convert it by itself and move it away from the run")
    with path.open("rb") as source, place.open("xb") as target:
        shutil.copyfileobj(source, target, 2**20)
        target.flush()
        os.fsync(target.fileno())


def _rewrite_records(part: Path, digests: dict[str, str]) -> None:
    """Replace the digests of weights in what the stages recorded by those of the converted weights."""
    stages = [path.parent for path in part.rglob("done.json")]
    for stage in stages:
        before = checkpoint.read_json(stage / "done.json").get("outputs", {})
        made = keeper.weights_made(StageFolder(stage)) if before.keys() & {"last", "best"} else {}
        digests |= {before[which]: made[which] for which in ("last", "best") if which in before}
        digests |= {old: made["snapshots"][step] for step, old in before.get("snapshots", {}).items()}
    for path in [*part.rglob("done.json"), *part.rglob("inputs.json")]:
        record = _replaced(checkpoint.read_json(path), digests)
        if path.name == "done.json" and "inputs" in record:
            record["digest"] = digest_of(record["inputs"])
        path.write_text(json.dumps(record, indent=1))


def _replaced(value, digests: Mapping[str, str]):
    if isinstance(value, dict):
        return {key: _replaced(item, digests) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, digests) for item in value]
    return digests.get(value, value) if isinstance(value, str) else value
