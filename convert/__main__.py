"""``python -m convert``: checkpoints between the frameworks. Each subcommand's --help shows an example."""

import argparse
import sys
from pathlib import Path

from common.cli import run
from common.errors import UserError
from common.names import PLAIN, RENAMED
from convert import report
from convert.folder import convert_folder
from convert.inspection import inspect
from convert.layouts import LAYOUTS
from convert.reading import Reading
from convert.single import Options, convert_file
from convert.transfer import export_layout, import_layout
from convert.translation import Stated

_CONVERT = """Converts .pth, .ckpt and .safetensors into one another, or a whole run folder, bit for bit. The direction
is told by the names. Neither framework is needed, nothing in the source is executed, the source is only read."""
_CONVERT_EXAMPLES = """examples:
  python -m convert convert model.pth model.ckpt
  python -m convert convert model.ckpt model.safetensors --names mindspore
  python -m convert convert runs/ddm/torch runs/ddm/mindspore --report report.json
  python -m convert convert gan.pth generator.ckpt --section netG"""
_INSPECT = """Lists keys, shapes, dtypes, sizes and digests of a checkpoint, and says which layout it has. Safe on any
file."""
_INSPECT_EXAMPLES = """examples:
  python -m convert inspect model.ckpt
  python -m convert inspect unknown.pth --json"""

_LAYOUT_LIST = "layouts:\n" + "\n".join(f"  {name:24} {layout.title}" for name, layout in LAYOUTS.items())
_IMPORT = """Writes an official checkpoint under our names, after every key was found to fit: what is missing,
unexpected or misshapen stops with the three lists.

--input bgr-mean changes the first convolution and its norm for networks that see BGR minus mean (DDM, AdvEnt); the
weights then act as before inside the picture, a little differently at its border."""
_IMPORT_EXAMPLES = f"""{_LAYOUT_LIST}

examples:
  python -m convert import advent AdvEnt_trained.pth advent.ckpt
  python -m convert import deeplab-init DeepLab_resnet_pretrained_imagenet.pth backbone.safetensors
  python -m convert import torchvision-resnet resnet101-63fe2227.pth backbone.pth --drop-head --input bgr-mean"""
_EXPORT = "Writes one of our checkpoints under the names of official code, so that its users can load it."
_EXPORT_EXAMPLES = f"""{_LAYOUT_LIST}

examples:
  python -m convert export ddm runs/toy/torch/stages/round1/student/checkpoints/step-000300/model.pth best_model.ckpt
  python -m convert export iast model.ckpt G.pth"""


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; see ``--help``."""
    options = _parser().parse_args(arguments)
    return options.run(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m convert", description=__doc__)
    commands = parser.add_subparsers(title="subcommands", required=True, metavar="COMMAND")
    command = _command(commands, "convert", "between the formats", _CONVERT, _CONVERT_EXAMPLES, _convert)
    command.add_argument("source", type=Path, metavar="SRC", help="a checkpoint file, or a run or checkpoint folder")
    command.add_argument("target", type=Path, metavar="DST", help="a file, whose suffix names the format; a new folder")
    _shared(command)
    command.add_argument("--names", choices=["torch", "mindspore"], help="whose names a .safetensors file has or gets")
    command.add_argument("--parameters", type=Path, metavar="FILE", help="parameter names in the optimizer's order")
    command.add_argument("--betas", metavar="B1,B2", help="Adam's betas, for MindSpore's beta powers (0.9,0.999)")
    _add_import(commands)
    _add_export(commands)
    command = _command(commands, "inspect", "list what a checkpoint holds", _INSPECT, _INSPECT_EXAMPLES, _inspect)
    command.add_argument("path", type=Path, metavar="FILE", help="any file")
    command.add_argument("--section", help="look only into this section of a nested .pth, for example netG")
    command.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _add_import(commands) -> None:
    command = _command(commands, "import", "official checkpoints under our names", _IMPORT, _IMPORT_EXAMPLES, _import)
    command.add_argument("layout", choices=LAYOUTS, metavar="LAYOUT", help="a layout of the list below")
    command.add_argument("source", type=Path, metavar="SRC", help="the official file")
    command.add_argument("target", type=Path, metavar="DST", help="a file, whose suffix names the format")
    command.add_argument("--section", help="read only this section of a nested .pth, for example model_state_dict")
    command.add_argument("--drop-head", action="store_true", help="leave the classifier out (ImageNet backbones)")
    command.add_argument("--input", choices=["rgb", "bgr-mean"], default="rgb", help="the input the network shall see")
    command.add_argument("--report", type=Path, metavar="FILE", help="write what was kept, renamed, dropped (JSON)")


def _add_export(commands) -> None:
    command = _command(commands, "export", "our checkpoints for official code", _EXPORT, _EXPORT_EXAMPLES, _export)
    command.add_argument("layout", choices=LAYOUTS, metavar="LAYOUT", help="a layout of the list below")
    command.add_argument("source", type=Path, metavar="SRC", help="our checkpoint, of either framework")
    command.add_argument("target", type=Path, metavar="DST", help="a file in the official code's format")
    command.add_argument("--section", help="read only this section of a nested .pth")
    command.add_argument("--report", type=Path, metavar="FILE", help="write what was kept, renamed, dropped (JSON)")


def _command(commands, name: str, short: str, text: str, examples: str, function) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name, help=short, description=text, epilog=examples, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.set_defaults(run=function)
    return command


def _shared(command: argparse.ArgumentParser) -> None:
    """Add the options of every subcommand that writes a checkpoint."""
    kinds = ", ".join([PLAIN, *RENAMED])
    command.add_argument("--section", help="convert only this section of a nested .pth, for example netG")
    command.add_argument(
        "--layer", action="append", default=[], metavar="PATH=KIND", help=f"state the type of a layer: {kinds}"
    )
    command.add_argument("--report", type=Path, metavar="FILE", help="write what was kept, renamed, dropped (JSON)")


def _convert(options: argparse.Namespace) -> int:
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
    reading = Reading(options.section)
    bgr_mean = options.input == "bgr-mean"
    done = import_layout(LAYOUTS[options.layout], options.source, options.target, reading, options.drop_head, bgr_mean)
    _finish([done], options.report)
    return 0


def _export(options: argparse.Namespace) -> int:
    done = export_layout(LAYOUTS[options.layout], options.source, options.target, Reading(options.section))
    _finish([done], options.report)
    return 0


def _inspect(options: argparse.Namespace) -> int:
    found = inspect(options.path, options.section)
    print(found.json() if options.json else "\n".join(found.lines()))
    return 0


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


if __name__ == "__main__":
    run(main)
