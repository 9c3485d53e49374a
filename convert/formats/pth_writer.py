"""Writes .pth files that ``torch.load(weights_only=True)`` reads, without PyTorch.

The layout is that of torch.save since 1.6: a ZIP archive of stored entries, ``data.pkl`` (protocol 2, only
operations that the weights-only reader knows) and one storage a tensor, aligned to 64 bytes for mmap.
"""

import pickle
import struct
import sys
import zipfile
from collections.abc import Mapping
from typing import BinaryIO

import numpy as np

from common.errors import UserError
from convert.formats.chunks import chunks
from convert.formats.note import dump
from convert.formats.pickle_machine import printable
from convert.formats.pickle_rules import NEWER_DTYPES, STORAGES
from convert.formats.pth import NOTE_ENTRY

_ROOT = "archive"
_ALIGNMENT = 64
_PADDING_FIELD = 0x4246  # "FB": the ZIP extra field with which torch pads
_LOCAL_HEADER, _ZIP64_FIELD = 30, 20
_STORAGE_NAMES = {np.dtype(kind): name for name, kind in STORAGES.items()}
_NEWER_NAMES = {np.dtype(kind): name for name, kind in NEWER_DTYPES.items()}


def holds(array: np.ndarray) -> bool:
    """Return whether PyTorch has tensors of the array's dtype."""
    return array.dtype in _STORAGE_NAMES or array.dtype in _NEWER_NAMES


def write(file: BinaryIO, tree, note: Mapping, used=lambda count: None) -> None:
    """Write a checkpoint.

    Args:
        file: An empty file.
        tree: Nested dicts, lists and tuples of arrays (saved as tensors) and plain values; NumPy scalars become
            Python's.
        note: What the format has no place for; JSON values. Empty: nothing is written.
        used: Called with the number of bytes after each piece was written.
    Raises:
        UserError: If a value can be no part of a checkpoint that loads safely.
    """
    pickled, storages = pickle_tree(tree)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        _store(archive, "data.pkl", (pickled,), len(pickled), used)
        for name, text in (("byteorder", sys.byteorder), ("version", "3\n")):
            _store(archive, name, (text.encode(),), len(text), used)
        if note:
            content = dump(note).encode()
            _store(archive, NOTE_ENTRY, (content,), len(content), used)
        for key, array in enumerate(storages):
            _store(archive, f"data/{key}", chunks(array), array.nbytes, used)


def _store(archive: zipfile.ZipFile, name: str, pieces, size: int, used) -> None:
    """Add an entry whose content begins at a multiple of 64 bytes."""
    entry = zipfile.ZipInfo(f"{_ROOT}/{name}")
    entry.file_size = size
    start = archive.fp.tell() + _LOCAL_HEADER + len(entry.filename) + _ZIP64_FIELD + 4
    entry.extra = struct.pack("<HH", _PADDING_FIELD, -start % _ALIGNMENT) + b"Z" * (-start % _ALIGNMENT)
    with archive.open(entry, "w", force_zip64=True) as content:
        for piece in pieces:
            content.write(piece)
            used(len(piece))


def pickle_tree(tree) -> tuple[bytes, list[np.ndarray]]:
    """Return (pickle of protocol 2, the arrays in the order of their storage keys)."""
    writer = _Pickler()
    writer.value(tree, "the checkpoint")
    return b"\x80\x02" + b"".join(writer.parts) + b".", writer.storages


class _Pickler:
    """Writes the operations by hand: the standard pickler would have to import what it names."""

    def __init__(self):
        self.parts: list[bytes] = []
        self.storages: list[np.ndarray] = []

    def value(self, value, where: str) -> None:
        if isinstance(value, np.generic):
            value = value.item() if value.dtype.kind in "biufcSU" else np.asarray(value)
        if isinstance(value, np.ndarray):
            self.tensor(value, where)
        elif isinstance(value, Mapping):
            self.parts.append(b"}(")
            for key, item in value.items():
                self.value(key, where)
                self.value(item, f"{where}/{printable(str(key))}")
            self.parts.append(b"u")
        elif isinstance(value, (list, tuple)):
            self.parts.append(b"](" if isinstance(value, list) else b"(")
            for item in value:
                self.value(item, where)
            self.parts.append(b"e" if isinstance(value, list) else b"t")
        else:
            self.parts.append(_scalar(value, where))

    def tensor(self, array: np.ndarray, where: str) -> None:
        if not holds(array):
            raise UserError(f"{where}: PyTorch has no tensors of dtype {array.dtype}")
        newer = array.dtype in _NEWER_NAMES
        storage = "torch.storage UntypedStorage" if newer else f"torch {_STORAGE_NAMES[array.dtype]}"
        strides, step = [], 1
        for size in reversed(array.shape):
            strides.append(step)
            step *= max(size, 1)
        self.parts.append(_global(f"torch._utils _rebuild_tensor_v{3 if newer else 2}") + b"((" + _text("storage"))
        self.parts.append(_global(storage) + _text(str(len(self.storages))) + _text("cpu"))
        self.parts.append(_scalar(array.nbytes if newer else array.size, where) + b"tQK\x00")
        for numbers in (array.shape, strides[::-1]):
            self.parts.append(b"(" + b"".join(_scalar(int(number), where) for number in numbers) + b"t")
        self.parts.append(b"\x89" + _global("collections OrderedDict") + b")R")
        self.parts.append((_global(f"torch {_NEWER_NAMES[array.dtype]}") if newer else b"") + b"tR")
        self.storages.append(array)


def _global(name: str) -> bytes:
    return b"c" + name.replace(" ", "\n").encode("ascii") + b"\n"


def _text(text: str) -> bytes:
    content = text.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(content)) + content


def _scalar(value, where: str) -> bytes:
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        if -(2**31) <= value < 2**31:
            return b"J" + struct.pack("<i", value)
        content = pickle.encode_long(value)
        if len(content) < 256:
            return b"\x8a" + bytes([len(content)]) + content
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bytes):
        return _global("_codecs encode") + b"(" + _text(value.decode("latin-1")) + _text("latin1") + b"tR"
    if isinstance(value, complex):
        real, imaginary = (b"G" + struct.pack(">d", part) for part in (value.real, value.imag))
        return _global("builtins complex") + real + imaginary + b"\x86R"
    raise UserError(f"{where}: a {type(value).__name__} can be no part of a .pth that loads safely")
