"""The three checkpoint formats: told by content, read without running anything, written whole or not at all."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import UserError
from convert.formats import ckpt, pth, pth_writer, safetensors
from convert.formats.files import SourceFile, published
from convert.formats.note import dump, parse

SUFFIXES = {".pth": "pth", ".pt": "pth", ".bin": "pth", ".tar": "pth", ".ckpt": "ckpt", ".safetensors": "safetensors"}
TITLES = {"pth": "PyTorch checkpoint", "ckpt": "MindSpore checkpoint", "safetensors": "safetensors file"}
_USUAL = {"pth": ".pth", "ckpt": ".ckpt", "safetensors": ".safetensors"}
_NOTE = "twinda"  # key of the note in the metadata of a safetensors file
_OTHERS = [
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"\x93NUMPY", "a NumPy array (.npy)"),
    (0, b"\x1f\x8b", "compressed with gzip; unpack it first"),
    (0, b"\xfd7zXZ\x00", "compressed with xz; unpack it first"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it first"),
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"<!DOCTYPE", "a web page; the download has failed"),
    (0, b"<html", "a web page; the download has failed"),
    (0, b"version https://git-lfs", "a Git LFS pointer; fetch the file itself with git lfs pull"),
    (257, b"ustar", "a tar archive (if torch.save of before 2017 made it: load it in torch and save it again)"),
]


@dataclass
class Loaded:
    """What a file holds: nested dicts of arrays and plain values for .pth, a flat dict for the other two."""

    source: SourceFile
    format: str
    variant: str  # "zip", "legacy" or ""
    content: object
    note: dict
    metadata: dict[str, str] = field(default_factory=dict)


def format_of(path: str | Path) -> str:
    """Return the format that a file's name asks for.

    Raises:
        UserError: If the suffix is none of those known, or the name holds a NUL byte.
    """
    if "\0" in str(path):
        raise UserError(f"{str(path)!r}: not a file name (it holds a NUL byte)")
    name = Path(path).name.lower()
    suffix = Path(name).suffix
    if suffix not in SUFFIXES or (suffix == ".tar" and not name.endswith((".pth.tar", ".pt.tar"))):
        raise UserError(f"{path}: the name must end in .pth, .pt, .bin, .pth.tar, .ckpt or .safetensors")
    return SUFFIXES[suffix]


def detect(source: SourceFile) -> tuple[str, str]:
    """Return (format, variant) by a file's content alone.

    Raises:
        UserError: Saying what the file looks like instead.
    """
    data = source.data
    if data[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "pth", "zip"
    for place, mark, what in _OTHERS:
        if data[place : place + len(mark)] == mark:
            raise source.refuse(f"is no checkpoint but {what}")
    if safetensors.looks_like(source):
        return "safetensors", ""
    if data[:1] == b"\x80" and 1 <= data[1] <= 5:
        return "pth", "legacy"
    if ckpt.looks_like(source):
        return "ckpt", ""
    raise source.refuse("is no checkpoint that is known here (.pth, .ckpt, .safetensors), or it is damaged")


def load(path: str | Path, any_name: bool = False) -> Loaded:
    """Read a checkpoint file.

    Args:
        path: The file; it is only read.
        any_name: Do not compare the file's name with its content.
    Raises:
        UserError: If the file is missing, damaged, hostile, or of another format than its name says.
    """
    if not any_name:
        format_of(path)
    source = SourceFile(path)
    kind, variant = detect(source)
    if not any_name and format_of(path) != kind:
        raise source.refuse(f"is a {TITLES[kind]} by its content; name it {_USUAL[kind]}")
    if kind == "safetensors":
        content, metadata = safetensors.read(source)
        note = parse(source, metadata.pop(_NOTE, "").encode())
        return Loaded(source, kind, variant, content, note, metadata)
    read = ckpt.read if kind == "ckpt" else pth.read_legacy if variant == "legacy" else pth.read_zip
    content, note = read(source)
    return Loaded(source, kind, variant, content, note)


def save(path: str | Path, content, note: Mapping, metadata: Mapping | None = None, used=lambda count: None) -> None:
    """Write a checkpoint file, in the format of its name; it appears whole or not at all.

    Args:
        path: Target; an older file of that name is replaced in the end.
        content: Nested for .pth; name -> array (and text for .ckpt) for the others.
        note: What the format has no place for; JSON values.
        metadata: Text for the header of a safetensors file.
        used: Called with the number of bytes after each piece was written.
    Raises:
        UserError: If the target cannot hold the content.
        OSError: If the disk fails.
    """
    kind = format_of(path)
    with published(path) as file:
        if kind == "pth":
            pth_writer.write(file, content, note, used)
        elif kind == "ckpt":
            ckpt.write(file, content, note, used)
        else:
            header = {**(metadata or {}), **({_NOTE: dump(note)} if note else {})}
            safetensors.write(file, content, header, used)
