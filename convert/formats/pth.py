"""Reads PyTorch's .pth and .pt files without PyTorch, executing nothing.

Two containers hold the same pickle: a ZIP archive whose entries are the storages (torch 1.6 and later) and
the legacy stream, where the storages follow the pickle. Tensors become read-only NumPy views of the mapped
file; bfloat16 and float8 have the dtypes of ``ml_dtypes``.
"""

import io
import sys
from collections.abc import Callable

import numpy as np

from convert.formats import archive
from convert.formats.files import SourceFile
from convert.formats.note import parse
from convert.formats.pickle_machine import PickleError, load, printable
from convert.formats.pickle_rules import rules
from convert.formats.pickle_values import StorageRef, TensorRef, plain
from convert.formats.sizes import possible

NOTE_ENTRY = "twinda.json"  # what the file's own format has no place for; other readers ignore the entry
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_SMALL = 2**26
_UNFOLDED = 16  # tensors may take this many times the size of the file: shared storages, expanded views


def read_zip(source: SourceFile) -> tuple[object, dict]:
    """Read a file of torch 1.6 or later.

    Args:
        source: A mapped ZIP archive.
    Returns:
        (what was saved: nested dicts, lists and plain values with NumPy arrays for tensors, the note or {}).
    Raises:
        UserError: If the file is damaged, no checkpoint, or its pickle asks for anything that could run.
    """
    entries = archive.read_entries(source)
    roots = [name.removesuffix("data.pkl") for name in entries if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise source.refuse(f"is a ZIP archive but no PyTorch checkpoint (it has {len(roots) or 'no'} data.pkl)")
    root = roots[0]
    if f"{root}constants.pkl" in entries or any(name.startswith(f"{root}code/") for name in entries):
        raise source.refuse("is a TorchScript program, not a checkpoint; save its state_dict() instead")
    for entry in entries.values():
        archive.check(source, entry)
    order = _content(source, entries.get(f"{root}byteorder")) or sys.byteorder.encode()
    if order not in (b"little", b"big"):
        raise source.refuse(f"has the byte order {printable(str(order))}")

    def locate(storage: StorageRef) -> int:
        entry = entries.get(f"{root}data/{storage.key}")
        if entry is None or storage.numel * storage.itemsize > entry.size:
            raise PickleError(f"the content of storage {printable(storage.key)} is missing or too short")
        return entry.start

    saved = _load(source, _stream(source, entries[f"{root}data.pkl"]))
    note = _content(source, entries.get(f"{root}{NOTE_ENTRY}"))
    return _plain(source, saved, _Tensors(source, locate, order == b"big")), parse(source, note)


def read_legacy(source: SourceFile) -> tuple[object, dict]:
    """Read a file of torch 1.5 or earlier; arguments, results and errors as ``read_zip``."""
    stream = _Reader(memoryview(source.data))
    if _load(source, stream) != _MAGIC or _load(source, stream) != _PROTOCOL:
        raise source.refuse("is a pickle but no PyTorch checkpoint (torch.save's mark is missing)")
    system = _load(source, stream)
    big = isinstance(system, dict) and system.get("little_endian") is False
    saved, keys = _load(source, stream), _load(source, stream)
    starts: dict[str, tuple[int, int]] = {}
    place = stream.tell()
    sizes = _storage_sizes(source, saved)
    for key in keys if isinstance(keys, list) else []:
        count = int.from_bytes(source.data[place : place + 8], "big" if big else "little")
        size = count * sizes.get(str(key), 1)
        if place + 8 + size > source.size:
            raise source.refuse(f"is cut off (storage {printable(str(key))} ends behind the end of the file)")
        starts[str(key)] = (place + 8, count)
        place += 8 + size

    def locate(storage: StorageRef) -> int:
        start, count = starts.get(storage.key, (0, -1))
        offset, size = storage.view or (0, storage.numel)
        if offset + size > count:
            raise PickleError(f"the content of storage {printable(storage.key)} is missing or too short")
        return start + offset * storage.itemsize

    return _plain(source, saved, _Tensors(source, locate, big)), {}


class _Tensors:
    """Makes the arrays; ``locate`` gives the byte at which a storage begins and checks its size."""

    def __init__(self, source: SourceFile, locate: Callable[[StorageRef], int], big_endian: bool):
        self.source, self.locate = source, locate
        self.swap = big_endian != (sys.byteorder == "big")
        self.unfolded = 0

    def __call__(self, tensor: TensorRef) -> np.ndarray:
        itemsize, storage = tensor.dtype.itemsize, tensor.storage
        size = (storage.view[1] if storage.view else storage.numel) * storage.itemsize
        if tensor.reach * itemsize > size:
            where = printable(storage.key)
            raise PickleError(f"a tensor of shape {list(tensor.shape)} reaches beyond its storage {where}")
        if not possible(tensor.shape, itemsize):
            raise PickleError(f"a tensor has the shape {printable(str(list(tensor.shape)))}")
        self.unfolded += tensor.nbytes
        if self.unfolded > _UNFOLDED * self.source.size + 2**26:
            raise PickleError(f"its tensors would unfold to more than {self.unfolded / 1e9:.1f} GB")
        start = self.locate(storage)
        if 0 in tensor.shape:
            return np.empty(tensor.shape, tensor.dtype)
        offset = start + tensor.offset * itemsize
        strides = [stride * itemsize for stride in tensor.strides]
        array = np.ndarray(tensor.shape, tensor.dtype, self.source.data, offset, strides)
        return _swapped(array) if self.swap else array


def _swapped(array: np.ndarray) -> np.ndarray:
    """Return a native copy of an array whose bytes lie in the other order (ml_dtypes cannot do it themselves)."""
    part = array.dtype.itemsize // (2 if array.dtype.kind == "c" else 1)
    copy = np.array(array, order="C")
    copy.reshape(-1).view(f"u{part}").byteswap(inplace=True)
    return copy


class _Reader(io.RawIOBase):
    """A stream over mapped bytes that copies only what is asked for; unlike BytesIO it holds nothing."""

    def __init__(self, view: memoryview):
        self._view, self._place = view, 0

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            raise PickleError("its pickle is damaged (a negative length)")
        piece = bytes(self._view[self._place : self._place + size])
        self._place += len(piece)
        return piece

    def readline(self, limit: int = 2**16) -> bytes:
        """Return up to the next line feed; the lines of a pickle are names and numbers, never long."""
        piece = bytes(self._view[self._place : self._place + limit])
        piece = piece[: piece.find(b"\n") + 1] if b"\n" in piece else piece
        self._place += len(piece)
        return piece

    def tell(self) -> int:
        return self._place


def _stream(source: SourceFile, entry: archive.Entry) -> _Reader:
    return _Reader(memoryview(source.data)[entry.start : entry.start + entry.size])


def _content(source: SourceFile, entry: archive.Entry | None) -> bytes:
    """Return a small entry's bytes; nothing when it is absent."""
    if entry is not None and entry.size > _SMALL:
        raise source.refuse(f"{printable(entry.name)} in its archive has {entry.size} bytes (at most {_SMALL})")
    return b"" if entry is None else bytes(source.data[entry.start : entry.start + entry.size])


def _load(source: SourceFile, stream: _Reader):
    try:
        return load(stream, rules())
    except PickleError as error:
        raise source.refuse(str(error)) from error


def _plain(source: SourceFile, saved, tensors: _Tensors):
    try:
        return plain(saved, tensors)
    except PickleError as error:
        raise source.refuse(str(error)) from error


def _storage_sizes(source: SourceFile, saved) -> dict[str, int]:
    """Return key -> bytes an element of every storage of a legacy file (the stream counts elements)."""
    sizes: dict[str, int] = {}

    def note(tensor: TensorRef) -> None:
        sizes[tensor.storage.key] = tensor.storage.itemsize

    try:
        plain(saved, note)
    except PickleError as error:
        raise source.refuse(str(error)) from error
    return sizes
