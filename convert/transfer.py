"""Official checkpoints in and out: ``import LAYOUT`` and ``export LAYOUT``."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from common.backends import SUFFIXES
from common.errors import UserError
from convert import formats
from convert.checkpoint import Checkpoint
from convert.formats.files import same_file
from convert.layouts.form import told
from convert.layouts.layout import Layout
from convert.layouts.preprocessing import to_bgr_mean
from convert.reading import Reading, read
from convert.report import Report
from convert.translation import Stated, framework_of, pack, translate
from convert.writing import write


def import_layout(
    layout: Layout,
    source: Path,
    target: Path,
    reading: Reading,
    drop_head: bool = False,
    bgr_mean: bool = False,
    beside: Path | None = None,
) -> Report:
    """Write an official checkpoint under our names, after every key was found to fit.

    Args:
        layout: Its family.
        source: The official file.
        target: A file whose suffix names the format.
        reading: How to read the source.
        drop_head: Leave the classifier out.
        bgr_mean: Change the first layer to Caffe-style input; see ``layouts.preprocessing``.
        beside: The second official file, of a family that keeps its classifier in one.
    Raises:
        UserError: With the missing, unexpected and misshapen names; nothing is written then.
    """
    report, started = _begin([source, beside], [target]), time.monotonic()
    checkpoint, original = _canonical(source, reading, report)
    if _takes(layout, beside):
        checkpoint, original = _joined(layout, (checkpoint, original), _canonical(beside, reading, report))
    shapes = {name: array.shape for name, array in checkpoint.weights.items()}
    ours, left_out = layout.imported(shapes)
    if drop_head and not layout.head:
        raise UserError(f"{layout.name}: has no classifier to drop")
    dropped = {name for name, new in ours.items() if drop_head and new.startswith(layout.head)}
    weights = {new: checkpoint.weights[name] for name, new in ours.items() if name not in dropped}
    weights |= _completed(layout, weights, report)
    layout.check({name: array.shape for name, array in weights.items()}, str(source), drop_head)
    if bgr_mean:
        weights = _for_bgr_mean(weights, layout)
        report.remarks.append("conv1 and bn1 changed for BGR input minus mean; borders differ, see --help")
    if layout.form:
        report.remarks.append(_told(layout, {name: array.shape for name, array in weights.items()}, drop_head))
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


def export_layout(layout: Layout, source: Path, target: Path, reading: Reading, beside: Path | None = None) -> Report:
    """Write one of our checkpoints under official names; the target's format must be that of the official code.

    Args:
        layout: Its family.
        source: Our checkpoint.
        target: A file in the official code's format.
        reading: How to read the source.
        beside: Receives the classifier, of a family that keeps it in a second file.
    Raises:
        UserError: If our checkpoint is no such network or the target's name asks for another framework's format.
    """
    report, started = _begin([source], [target, beside]), time.monotonic()
    files = [target, beside] if _takes(layout, beside) else [target]
    for file in files:
        _official_format(layout, file)
    checkpoint, original = _alone(layout, *_canonical(source, reading, report), report)
    shapes = {name: array.shape for name, array in checkpoint.weights.items()}
    layout.check(shapes, str(source))
    official = layout.official(shapes)
    weights = {official[name]: array for name, array in checkpoint.weights.items()}
    for name, shape in layout.restored(shapes).items():
        weights[name] = np.zeros(shape, np.float32 if shape else np.int64)  # counters are scalars
        report.added[name] = "0, the official network has it and never uses it"
    skeleton = {section: {"$weights": beginning} for section, beginning in layout.sections.items()}
    result: dict[str, str | None] = {}
    for file, part in zip(files, _divided(layout, weights)):
        moved = replace(checkpoint, weights=dict(part.values()), skeleton=skeleton or None)
        names = _write(moved, file, layout.framework, report)
        result |= {whole: names.get(own) for whole, (own, _) in part.items()}
    finals = _names_between(official, result, set())
    for name, first in original.items():
        if name in finals:
            _enter(report, first, finals[name])
    report.size, report.seconds = target.stat().st_size, time.monotonic() - started
    return report


def _alone(
    layout: Layout, checkpoint: Checkpoint, original: dict[str, str], report: Report
) -> tuple[Checkpoint, dict[str, str]]:
    """Return the weights of a layout's network without those of the networks that our checkpoint holds beside it."""
    other = {name for name in original if name.startswith(layout.others)}
    report.dropped |= {original[name]: "of another network, which has a file of its own" for name in other}
    weights = {name: array for name, array in checkpoint.weights.items() if name not in other}
    return replace(checkpoint, weights=weights), {name: old for name, old in original.items() if name not in other}


def _takes(layout: Layout, beside: Path | None) -> bool:
    """Return whether a layout has a second file.

    Raises:
        UserError: If one is missing, or was given for nothing.
    """
    if bool(beside) != bool(layout.beside):
        wrong = "is one file; leave --beside out" if beside else "has its classifier in a second file: --beside FILE"
        raise UserError(f"{layout.name}: {wrong}")
    return bool(beside)


def _joined(layout: Layout, *files: tuple[Checkpoint, dict[str, str]]) -> tuple[Checkpoint, dict[str, str]]:
    """Return what two official files hold as if they were one; the second one's names begin with ``layout.beside``."""
    weights, original = {}, {}
    for beginning, (checkpoint, names) in zip(("", layout.beside), files):
        bare = layout.unwrap(list(checkpoint.weights))
        weights |= {beginning + bare[name]: array for name, array in checkpoint.weights.items()}
        original |= {beginning + bare[name]: beginning + first for name, first in names.items()}
    return replace(files[0][0], weights=weights), original


def _divided(layout: Layout, weights: dict[str, np.ndarray]) -> list[dict[str, tuple[str, np.ndarray]]]:
    """Return the files of official weights: name -> (name in its file, array)."""
    second = {name for name in weights if layout.beside and name.startswith(layout.beside)}
    parts = [{name: (name, array) for name, array in weights.items() if name not in second}]
    return [*parts, {name: (name.removeprefix(layout.beside), weights[name]) for name in weights if name in second}]


def _completed(layout: Layout, weights: dict[str, np.ndarray], report: Report) -> dict[str, np.ndarray]:
    """Return what the official code's network holds beside the weights that a file of another origin has."""
    missing = {name: value for name, value in layout.completed.items() if name not in weights}
    for name, value in missing.items():
        report.added[name] = f"{value:g}, the official network has it and never uses it"
    return {name: np.array([value], np.float32) for name, value in missing.items()}


def _told(layout: Layout, shapes: dict[str, tuple[int, ...]], without_head: bool) -> str:
    """Return in words which of our networks computes what the official one does."""
    form = dict(layout.form(shapes)) | ({"may_miss": list(layout.head)} if without_head else {})
    return f"computes what the official network does with network: {told(form)}"


def _official_format(layout: Layout, target: Path) -> None:
    if framework_of(formats.format_of(target), layout.framework) != layout.framework:
        suffix = SUFFIXES[layout.framework]
        raise UserError(f"{target}: {layout.name} checkpoints are {suffix} files")


def _begin(sources: Sequence[Path | None], targets: Sequence[Path | None]) -> Report:
    """Refuse targets that are a source, or one file; None is a second file that a family has not."""
    old, new = [path for path in sources if path], [path for path in targets if path]
    for target in new:
        formats.format_of(target)
        if any(same_file(source, target) for source in old):
            raise UserError(f"{target}: is the source itself; name another target")
    if len({path.resolve() for path in new}) < len(new):
        raise UserError(f"{new[0]}: is named for both files; name another for --beside")
    return Report(str(old[0]), str(new[0]))


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
