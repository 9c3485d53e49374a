"""The command line of ``python -m convert``: subcommands, their options, and an example of each."""

import argparse
from pathlib import Path

from common.errors import UserError
from common.names import PLAIN, RENAMED
from convert.layouts import LAYOUTS
from convert.parts import OWNERS

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
  python -m convert import torchvision-resnet resnet101-63fe2227.pth backbone.pth --drop-head --input bgr-mean
  python -m convert import ssda G_iter_model.pth.tar model.pth --beside F1_iter_model.pth.tar"""
_EXPORT = "Writes one of our checkpoints under the names of official code, so that its users can load it."
_EXPORT_EXAMPLES = f"""{_LAYOUT_LIST}

examples:
  python -m convert export ddm runs/toy/torch/stages/round1/student/checkpoints/step-000300/model.pth best_model.ckpt
  python -m convert export iast model.ckpt G.pth"""
_ONNX = """Exports the network that a checkpoint of either framework fills: images (N, 3, H, W) float32, normalised, to
raw logits of the evaluated head. N is free, so are H and W unless the network is made for one size. The file carries
classes, mean, std, channel order and the whole configuration. onnxruntime checks it in three shapes first.

The networks beside a task's own (AuG-KD's generator, encoder, anchor; IAST's discriminator; DiGA's translator, critics
and VGG-19) are told by the file's name and stage in a run folder, else by --network; inputs and outputs are named.

OUT.mindir: MindSpore's format, of a task's network. Batch and size are free where MindSpore 2.10 can: it fixes the size
where a layer pads by an amount that follows from it, and the batch too where it pools with ceil_mode (DeepLab); then
--size says for which images."""
_ONNX_EXAMPLES = """examples:
  python -m convert onnx runs/ddm/toy/torch network.onnx
  python -m convert onnx student.ckpt student.onnx --config ddm/gta5_to_cityscapes_100
  python -m convert onnx generator.ckpt generator.onnx --config augkd/digits --network generator
  python -m convert onnx student.ckpt student.mindir --config ddm/gta5_to_cityscapes_100 --size 1024x512"""
_VERIFY = """The parity certificate: the same images through both, worst and median relative error of the logits, share
of pixels with equal argmax, versions, devices, digests. Exit status 1 outside the tolerance.

--deep also compares loss, every gradient and three optimizer steps, each beside its float64 noise floor, and names the
first layer that parts."""
_VERIFY_EXAMPLES = """examples:
  python -m convert verify runs/ddm/toy/torch runs/ddm/toy/mindspore --out certificate
  python -m convert verify model.pth model.pth --on torch,mindspore --config ddm/toy --deep
  python -m convert verify model.ckpt model.onnx --config ddm/toy --data"""


def parser() -> argparse.ArgumentParser:
    """Return the parser; the subcommand's name is left in ``command``."""
    result = argparse.ArgumentParser(
        prog="python -m convert",
        description="Checkpoints between the frameworks, official checkpoints, ONNX and the parity certificate.",
        epilog="python -m convert COMMAND --help shows examples.",
    )
    commands = result.add_subparsers(title="subcommands", required=True, metavar="COMMAND", dest="command")
    _add_convert(commands)
    _add_import(commands)
    _add_export(commands)
    _add_inspect(commands)
    _add_onnx(commands)
    _add_verify(commands)
    return result


def size(text: str) -> tuple[int, int]:
    """Return (width, height) of a text such as ``1024x512``.

    Raises:
        UserError: If it is none.
    """
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise UserError(f"size {text!r}: write WIDTHxHEIGHT, for example 1024x512")
    return int(width), int(height)


def _add_convert(commands) -> None:
    command = _command(commands, "convert", "between the formats", _CONVERT, _CONVERT_EXAMPLES)
    command.add_argument("source", type=Path, metavar="SRC", help="a checkpoint file, or a run or checkpoint folder")
    command.add_argument("target", type=Path, metavar="DST", help="a file, whose suffix names the format; a new folder")
    kinds = ", ".join([PLAIN, *RENAMED])
    command.add_argument("--section", help="convert only this section of a nested .pth, for example netG")
    command.add_argument(
        "--layer", action="append", default=[], metavar="PATH=KIND", help=f"state the type of a layer: {kinds}"
    )
    command.add_argument("--names", choices=["torch", "mindspore"], help="whose names a .safetensors file has or gets")
    command.add_argument("--parameters", type=Path, metavar="FILE", help="parameter names in the optimizer's order")
    command.add_argument("--betas", metavar="B1,B2", help="Adam's betas, for MindSpore's beta powers (0.9,0.999)")
    _report(command)


def _add_inspect(commands) -> None:
    command = _command(commands, "inspect", "list what a checkpoint holds", _INSPECT, _INSPECT_EXAMPLES)
    command.add_argument("path", type=Path, metavar="FILE", help="any file")
    command.add_argument("--section", help="look only into this section of a nested .pth, for example netG")
    command.add_argument("--json", action="store_true", help="print JSON")


def _add_import(commands) -> None:
    command = _command(commands, "import", "official checkpoints under our names", _IMPORT, _IMPORT_EXAMPLES)
    command.add_argument("layout", choices=LAYOUTS, metavar="LAYOUT", help="a layout of the list below")
    command.add_argument("source", type=Path, metavar="SRC", help="the official file")
    command.add_argument("target", type=Path, metavar="DST", help="a file, whose suffix names the format")
    command.add_argument("--section", help="read only this section of a nested .pth, for example model_state_dict")
    command.add_argument("--drop-head", action="store_true", help="leave the classifier out (ImageNet backbones)")
    command.add_argument("--beside", type=Path, metavar="FILE", help="the second official file (layout ssda: F1)")
    command.add_argument("--input", choices=["rgb", "bgr-mean"], default="rgb", help="the input the network shall see")
    _report(command)


def _add_export(commands) -> None:
    command = _command(commands, "export", "our checkpoints for official code", _EXPORT, _EXPORT_EXAMPLES)
    command.add_argument("layout", choices=LAYOUTS, metavar="LAYOUT", help="a layout of the list below")
    command.add_argument("source", type=Path, metavar="SRC", help="our checkpoint, of either framework")
    command.add_argument("target", type=Path, metavar="DST", help="a file in the official code's format")
    command.add_argument("--section", help="read only this section of a nested .pth")
    command.add_argument("--beside", type=Path, metavar="FILE", help="a second file for the classifier (layout ssda)")
    _report(command)


def _add_onnx(commands) -> None:
    command = _command(commands, "onnx", "export a network, checked with onnxruntime", _ONNX, _ONNX_EXAMPLES)
    command.add_argument("source", type=Path, metavar="CKPT", help="a file, a checkpoint folder or a run folder")
    command.add_argument("target", type=Path, metavar="OUT", help="OUT.onnx or OUT.mindir")
    _config(command)
    command.add_argument("--opset", type=int, default=18, help="ONNX operator set (18)")
    command.add_argument("--network", choices=OWNERS, help="a network beside the task's own")
    command.add_argument("--size", metavar="WxH", help="size of the images of a .mindir (free, else 512x256)")


def _add_verify(commands) -> None:
    command = _command(commands, "verify", "the parity certificate of two networks", _VERIFY, _VERIFY_EXAMPLES)
    command.add_argument("first", type=Path, metavar="A", help=".pth, .ckpt, .safetensors, .onnx, or a folder of ours")
    command.add_argument("second", type=Path, metavar="B", help="the same; errors are relative to it")
    command.add_argument(
        "--on", metavar="A,B", help="torch, mindspore or onnx for each; else what the file is made for"
    )
    _config(command)
    command.add_argument("--sizes", metavar="WxH,...", help="sizes of the drawn images (three, or the network's)")
    command.add_argument("--seed", type=int, default=0, help="of the drawn images")
    command.add_argument(
        "--data", action="store_true", help="use the validation set of the config, and score both on it"
    )
    command.add_argument("--images", type=int, default=8, help="images of the validation set whose logits are compared")
    command.add_argument("--deep", action="store_true", help="losses, gradients, optimizer steps, layers")
    command.add_argument("--out", type=Path, metavar="DIR", help="write certificate.json and certificate.html")
    command.add_argument("--device", default="cpu", help="cpu, cuda, ascend, auto")


def _command(commands, name: str, short: str, text: str, examples: str) -> argparse.ArgumentParser:
    return commands.add_parser(
        name, help=short, description=text, epilog=examples, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def _config(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", help="configuration of the network; without it the config.yaml above the file")
    command.add_argument("--set", action="append", default=[], metavar="A.B=C", help="override a key; may be repeated")


def _report(command: argparse.ArgumentParser) -> None:
    command.add_argument("--report", type=Path, metavar="FILE", help="write what was kept, renamed, dropped (JSON)")
