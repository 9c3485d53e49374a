"""Official checkpoints in and out: ``import LAYOUT`` and ``export LAYOUT``."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from common.errors import UserError
from convert import formats
from convert.checkpoint import Checkpoint
from convert.formats.files import same_file
from convert.layouts.layout import Layout
from convert.layouts.preprocessing import to_bgr_mean
from convert.reading import Reading, read
from convert.report import Report
from convert.translation import Stated, framework_of, pack, translate
from convert.writing import write


def import_layout(
    layout: Layout, source: Path, target: Path, reading: Reading, drop_head: bool = False, bgr_mean: bool = False
) -> Report:
    """Write an official checkpoint under our names, after every key was found to fit.

    Args:
        layout: Its family.
        source: The official file.
        target: A file whose suffix names the format.
        reading: How to read the source.
        drop_head: Leave the classifier out.
        bgr_mean: Change the first layer to Caffe-style input; see ``layouts.preprocessing``.
    Raises:
        UserError: With the missing, unexpected and misshapen names; nothing is written then.
    """
    report, started = _begin(source, target), time.monotonic()
    checkpoint, original = _canonical(source, reading, report)
    shapes = {name: array.shape for name, array in checkpoint.weights.items()}
    ours, left_out = layout.imported(shapes)
    if drop_head and not layout.head:
        raise UserError(f"{layout.name}: has no classifier to drop")
    dropped = {name for name, new in ours.items() if drop_head and new.startswith(layout.head)}
    weights = {new: checkpoint.weights[name] for name, new in ours.items() if name not in dropped}
    layout.check({name: array.shape for name, array in weights.items()}, str(source), drop_head)
    if bgr_mean:
        weights = _for_bgr_mean(weights, layout)
        report.remarks.append("conv1 and bn1 changed for BGR input minus mean; borders differ, see --help")
    framework = framework_of(formats.format_of(target), None)
    result = _write(replace(checkpoint, weights=weights), target, framework, report)
    finals = _names_between(ours, result, dropped)
    for name, first in original.items():
        if name in left_out or name in dropped:
            report.dropped[first] = left_out.get(name, "the classifier, as asked")
        elif name in finals:
            _enter(report, first, finals[name])
    report.size, report.seconds = target.stat().st_size, time.monotonic() - started
    return report


def export_layout(layout: Layout, source: Path, target: Path, reading: Reading) -> Report:
    """Write one of our checkpoints under official names; the target's format must be that of the official code.

    Raises:
        UserError: If our checkpoint is no such network or the target's name asks for another framework's format.
    """
    report, started = _begin(source, target), time.monotonic()
    framework = framework_of(formats.format_of(target), layout.framework)
    if framework != layout.framework:
        suffix = {"torch": ".pth", "mindspore": ".ckpt"}[layout.framework]
        raise UserError(f"{target}: {layout.name} checkpoints are {suffix} files")
    checkpoint, original = _canonical(source, reading, report)
    shapes = {name: array.shape for name, array in checkpoint.weights.items()}
    layout.check(shapes, str(source))
    official = layout.official(shapes)
    weights = {official[name]: array for name, array in checkpoint.weights.items()}
    for name, shape in layout.restored(shapes).items():
        weights[name] = np.zeros(shape, np.float32 if shape else np.int64)  # counters are scalars
        report.added[name] = "0, the official network has it and never uses it"
    skeleton = {section: {"$weights": beginning} for section, beginning in layout.sections.items()}
    result = _write(replace(checkpoint, weights=weights, skeleton=skeleton or None), target, framework, report)
    finals = _names_between(official, result, set())
    for name, first in original.items():
        if name in finals:
            _enter(report, first, finals[name])
    report.size, report.seconds = target.stat().st_size, time.monotonic() - started
    return report


def _begin(source: Path, target: Path) -> Report:
    formats.format_of(target)
    if same_file(source, target):
        raise UserError(f"{target}: is the source itself; name another target")
    return Report(str(source), str(target))


def _canonical(source: Path, reading: Reading, report: Report) -> tuple[Checkpoint, dict[str, str]]:
    """Return the weights alone under PyTorch's names, and canonical name -> name in the file."""
    checkpoint = read(source, reading)
    inner = Report("", "")
    moved, _ = translate(checkpoint, "torch", Stated(), inner)
    state = checkpoint.state.flat(checkpoint.framework)
    for name in (*state, *checkpoint.loose, *checkpoint.extras):
        report.dropped[name] = "no weight of the network"
    original = {new: old for old, new in inner.names().items() if new in moved.weights}
    return Checkpoint("torch", moved.weights, source=checkpoint.source), original


def _write(checkpoint: Checkpoint, target: Path, framework: str, report: Report) -> dict[str, str | None]:
    """Write canonical weights in a framework's terms; return canonical name -> name in the file."""
    inner = Report("", "")
    moved, note = translate(checkpoint, framework, Stated(), inner)
    kind = formats.format_of(target)
    write(target, *pack(moved, note, kind))
    report.remarks += inner.remarks
    return inner.names()


def _names_between(first: dict[str, str], second: dict[str, str | None], without: set[str]) -> dict[str, str | None]:
    return {name: second.get(new) for name, new in first.items() if name not in without}


def _enter(report: Report, old: str, new: str | None) -> None:
    if new is None:
        report.dropped[old] = "MindSpore has no such buffer; its value is noted in the file"
    elif new == old:
        report.kept.append(old)
    else:
        report.renamed[old] = new


def _for_bgr_mean(weights: dict[str, np.ndarray], layout: Layout) -> dict[str, np.ndarray]:
    if "conv1.weight" not in weights or "bn1.running_mean" not in weights:
        raise UserError(f"{layout.name}: --input bgr-mean is for residual networks")
    return to_bgr_mean(weights)
