"""``python -m convert``: checkpoints between the frameworks. Each subcommand's --help shows an example.

Frameworks are imported by ``onnx`` and ``verify`` alone, which build networks.
"""

import argparse
import sys
from pathlib import Path

from common.cli import run
from common.errors import UserError
from common.names import PLAIN, RENAMED
from convert import arguments, report
from convert.folder import convert_folder
from convert.formats.files import same_file
from convert.inspection import inspect
from convert.layouts import LAYOUTS
from convert.reading import Reading
from convert.single import Options, convert_file
from convert.transfer import export_layout, import_layout
from convert.translation import Stated


def main(words: list[str] | None = None) -> int:
    """Run one subcommand; see ``--help``."""
    options = arguments.parser().parse_args(words)
    return COMMANDS[options.command](options)


def _convert(options: argparse.Namespace) -> int:
    _check_report(options.report, options.source, options.target)
    stated = Stated(layers=_layers(options.layer), betas=_betas(options.betas))
    reading = Reading(options.section, _lines(options.parameters), options.names)
    settings = Options(reading, stated, options.names)
    if options.source.is_dir():
        reports = convert_folder(options.source, options.target, settings)
    else:
        reports = [convert_file(options.source, options.target, settings)]
    _finish(reports, options.report)
    return 0


def _import(options: argparse.Namespace) -> int:
    _check_report(options.report, options.source, options.target, options.beside)
    reading = Reading(options.section)
    places, changes = (options.source, options.target), (options.drop_head, options.input == "bgr-mean")
    done = import_layout(LAYOUTS[options.layout], *places, reading, *changes, options.beside)
    _finish([done], options.report)
    return 0


def _export(options: argparse.Namespace) -> int:
    _check_report(options.report, options.source, options.target, options.beside)
    places, reading = (options.source, options.target), Reading(options.section)
    done = export_layout(LAYOUTS[options.layout], *places, reading, options.beside)
    _finish([done], options.report)
    return 0


def _inspect(options: argparse.Namespace) -> int:
    found = inspect(options.path, options.section)
    print(found.json() if options.json else "\n".join(found.lines()))
    return 0


def _onnx(options: argparse.Namespace) -> int:
    from convert.mindir_export import export_mindir
    from convert.onnx_export import export_onnx
    from convert.onnx_parts import export_part, part_of
    from convert.subject import open_subject

    subject = open_subject(options.source, options.config, options.set)
    part = options.network or part_of(subject)
    if options.target.suffix == ".mindir":
        if part:
            raise UserError(f"{options.target}: MINDIR is written of a task's network only; export {part} as .onnx")
        free = export_mindir(subject, options.target, arguments.size(options.size) if options.size else None)
        print(f"{subject.path} -> {options.target}: {free}")
        return 0
    if options.target.suffix != ".onnx":
        raise UserError(f"{options.target}: the name must end in .onnx or .mindir")
    place = (options.target, options.opset)
    checked = export_part(subject, part, *place) if part else export_onnx(subject, *place)
    print(f"{subject.path} -> {options.target}: opset {options.opset}, {options.target.stat().st_size / 1e6:.1f} MB")
    for shape, gap in checked.items():
        print(f"checked with onnxruntime at {shape}: worst relative error {gap:.1e}")
    return 0


def _verify(options: argparse.Namespace) -> int:
    from convert import page
    from convert.deep import deep
    from convert.images import data_images, drawn_images, sizes
    from convert.sides import open_side
    from convert.verify import verify

    on = (options.on.split(",") if options.on else [None, None])[:2]
    if len(on) != 2 or not {*on} <= {None, "torch", "mindspore", "onnx"}:
        raise UserError(f"--on {options.on}: write two of torch, mindspore, onnx, for example torch,mindspore")
    places = (options.first, options.second)
    sides = [open_side(place, name, options.config, options.set, options.device) for place, name in zip(places, on)]
    config = sides[0].config
    stated = [arguments.size(text) for text in options.sizes.split(",")] if options.sizes else sizes(config)
    seen = data_images(config, options.images) if options.data else drawn_images(options.seed, stated)
    certificate = verify(*sides, *seen, options.data)
    if options.deep:
        certificate.deep = deep(*sides)
    print("\n".join(page.lines(certificate)))
    if options.out:
        page.write(certificate, options.out)
        print(f"written: {options.out}/certificate.html, certificate.json")
    return 0 if certificate.holds else 1


def _check_report(path: Path | None, source: Path, *targets: Path | None) -> None:
    """Refuse a report that would be written over a checkpoint, or into the source, before anything is converted."""
    if path is None:
        return
    above = (path.resolve(), *path.resolve().parents)
    taken = [place for place in (source, *targets) if place and (same_file(path, place) or place.resolve() == above[0])]
    if taken or source.resolve() in above:
        raise UserError(f"--report {path}: is {(taken or [source])[0]} or lies within it; name another file")
    if path.is_dir():
        raise UserError(f"--report {path}: is a folder; name a file")


def _finish(reports: list[report.Report], path: Path | None) -> None:
    """Print one line a file, the remarks on stderr, and write the report."""
    for one in reports:
        print(one.line())
        for remark in one.remarks:
            print(f"note: {remark}", file=sys.stderr)
    if path:
        report.save(reports, path)


def _layers(stated: list[str]) -> dict[str, str]:
    layers = {}
    for text in stated:
        path, equals, kind = text.rpartition("=")
        if not equals or kind not in (PLAIN, *RENAMED):
            raise UserError(f"--layer {text}: write PATH=KIND with a kind of {PLAIN}, {', '.join(RENAMED)}")
        layers[path] = kind
    return layers


def _betas(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        betas = tuple(float(part) for part in text.split(","))
    except ValueError:
        betas = ()
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise UserError(f"--betas {text}: write two numbers in [0, 1), for example 0.9,0.999")
    return betas


def _lines(path: Path | None) -> list[str] | None:
    if path is None:
        return None
    if not path.is_file():
        raise UserError(f"{path}: no such file; --parameters wants one name a line")
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line]


COMMANDS = {
    "convert": _convert,
    "import": _import,
    "export": _export,
    "inspect": _inspect,
    "onnx": _onnx,
    "verify": _verify,
}

if __name__ == "__main__":
    run(main)
