"""Converts one checkpoint file: read, rename, move the optimizer state, write, report."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import UserError
from convert import formats
from convert.formats.files import same_file
from convert.formats.note import obeyed
from convert.reading import Reading, read
from convert.report import Report
from convert.translation import Stated, framework_of, pack, translate
from convert.writing import write


@dataclass(frozen=True)
class Options:
    """What the user states beyond the two file names."""

    reading: Reading = field(default_factory=Reading)
    stated: Stated = field(default_factory=Stated)
    names: str | None = None  # whose names a .safetensors target gets; PyTorch's by default


def convert_file(source: str | Path, target: str | Path, options: Options | None = None) -> Report:
    """Convert ``source`` to the format and spelling that the name of ``target`` asks for.

    Returns:
        What was kept, renamed, dropped and added.
    Raises:
        UserError: If the source cannot be read, its names do not map one to one, or the target cannot hold a value.
            Nothing is written then.
        OSError: If the disk fails.
    """
    options, started = options or Options(), time.monotonic()
    kind = formats.format_of(target)
    if same_file(source, target):
        raise UserError(f"{target}: is the source itself; name another target")
    checkpoint = read(source, options.reading)
    report = Report(str(source), str(target))
    try:
        with obeyed(checkpoint.source, checkpoint.note):
            moved, note = translate(checkpoint, framework_of(kind, options.names), options.stated, report)
            write(target, *pack(moved, note, kind))
    except UserError as error:
        raise UserError(f"{source}: {str(error).removeprefix(f'{source}: ')}") from error
    report.size = Path(target).stat().st_size
    report.seconds = time.monotonic() - started
    return report
