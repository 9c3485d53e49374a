"""Reads and writes MindSpore's .ckpt files without MindSpore, by their protobuf schema.

    message Checkpoint  { repeated Value value = 1; }
    message Value       { required string tag = 1; oneof { TensorProto tensor = 2; MapTensorProto maptensor = 3; } }
    message TensorProto { repeated int64 dims = 1; required string tensor_type = 2; required bytes tensor_content = 3; }

(mindspore/train/checkpoint.proto). MindSpore cuts tensors above 512 MB into consecutive values of one tag and
may append ``crc_num`` and ten bytes of CRC-32. Our note travels as field 1023, which protobuf readers skip.
"""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

import ml_dtypes
import numpy as np

from common.errors import UserError
from convert.formats.chunks import chunks
from convert.formats.files import SourceFile
from convert.formats.note import dump, parse
from convert.formats.pickle_machine import printable
from convert.formats.sizes import MAX_TENSORS, possible

DTYPES: dict[str, np.dtype] = {
    name: np.dtype(kind)
    for name, kind in {
        "Bool": np.bool_, "Int8": np.int8, "UInt8": np.uint8, "Int16": np.int16, "UInt16": np.uint16,
        "Int32": np.int32, "UInt32": np.uint32, "Int64": np.int64, "UInt64": np.uint64,
        "Float16": np.float16, "Float32": np.float32, "Float64": np.float64, "BFloat16": ml_dtypes.bfloat16,
    }.items()
}  # fmt: skip
SLICE_BYTES = 512 * 2**20
MAX_NAME = 1024  # characters; mindspore.load_checkpoint refuses longer names
NOTE_FIELD = 1023
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_TRAILER, _TRAILER_SIZE = b"crc_num", 17
_ENCRYPTED = (b"\xd8\x5e\x3a\x7f", b"\xd9\x5e\x3a\x7f")  # AES-GCM, AES-CBC
_LENGTH_DELIMITED = 2


@dataclass
class _Value:
    """One value of the file; ``spans`` are the (start, end) of its content."""

    tag: str
    dims: tuple[int, ...]
    kind: str
    spans: list[tuple[int, int]]


def looks_like(source: SourceFile) -> bool:
    """Return whether the file begins like a MindSpore checkpoint, encrypted or not."""
    if source.data[:4] in _ENCRYPTED:
        return True
    try:
        number, wire, start, end = next(_fields(source, 0, source.size))
        inner = next(_fields(source, start, end))
        return (number, wire, *inner[:2]) == (1, _LENGTH_DELIMITED, 1, _LENGTH_DELIMITED)
    except (UserError, StopIteration):
        return False


def read(source: SourceFile) -> tuple[dict[str, np.ndarray | str], dict]:
    """Read a checkpoint.

    Args:
        source: A mapped file.
    Returns:
        (name -> array or text, the note or {}). Arrays are read-only views of the mapped file; only tensors that
        MindSpore cut into slices are copied.
    Raises:
        UserError: If the file is encrypted, cut off or damaged, or holds what no other format can.
    """
    if source.data[:4] in _ENCRYPTED:
        raise source.refuse("is encrypted; load it in MindSpore with its key and save it again without enc_key")
    end = _check_trailer(source)
    result: dict[str, np.ndarray | str] = {}
    values: list[_Value] = []
    note: dict = {}
    for number, wire, start, stop in _fields(source, 0, end):
        if number == 1 and wire == _LENGTH_DELIMITED:
            value = _value(source, start, stop)
            if values and values[-1].tag == value.tag:
                values[-1].spans += value.spans
            else:
                values.append(value)
            if len(values) > MAX_TENSORS:
                raise source.refuse(f"holds more than {MAX_TENSORS} values")
        elif number == NOTE_FIELD and wire == _LENGTH_DELIMITED:
            note = parse(source, source.data[start:stop])
        else:
            raise source.refuse(f"is no MindSpore checkpoint or is damaged (field {number} at byte {start})")
    for value in values:
        if value.tag in result:
            raise source.refuse(f"holds {printable(value.tag)!r} twice")
        result[value.tag] = _text(source, value) if value.kind == "str" else _array(source, value)
    return result, note


def write(file: BinaryIO, tensors: Mapping[str, np.ndarray | str], note: dict, used=lambda count: None) -> None:
    """Write a checkpoint that ``mindspore.load_checkpoint`` reads, with its CRC.

    Args:
        file: An empty file.
        tensors: Name -> array, or text, which MindSpore keeps as such.
        note: What the format has no place for; JSON values. Empty: nothing is written.
        used: Called with the number of bytes after each piece was written.
    Raises:
        UserError: If MindSpore has no such dtype, or a name is too long for it.
    """
    total = 0
    for name, value in tensors.items():
        if len(name) > MAX_NAME:
            raise UserError(f"{printable(name)}: a name of {len(name)} characters; MindSpore reads at most {MAX_NAME}")
        for head, pieces in _encoded(name, value):
            for piece in (head, *pieces):
                total = zlib.crc32(piece, total)
                file.write(piece)
                used(len(piece))
    if note:
        piece = _delimited(NOTE_FIELD, dump(note).encode())
        total = zlib.crc32(piece, total)
        file.write(piece)
    file.write(_TRAILER + total.to_bytes(10, "big"))


def holds(array: np.ndarray) -> bool:
    """Return whether MindSpore can hold an array as it is.

    It has no complex and float8 parameters, and reads the shape (0,) as a scalar of unknown content.
    """
    return array.dtype in _NAMES and array.shape != (0,)


def _encoded(name: str, value: np.ndarray | str) -> Iterator[tuple[bytes, Iterator[memoryview | bytes]]]:
    """Yield (header, pieces of the content) for each slice of a value."""
    if isinstance(value, str):
        content = value.encode("utf-32-le")
        yield _header(name, (0,), "str", len(content)), iter((content,))
        return
    if value.dtype not in _NAMES:
        raise UserError(f"{printable(name)}: MindSpore has no tensors of dtype {value.dtype}")
    flat = value.reshape(-1) if value.flags.c_contiguous else value
    slices = max(1, -(-value.nbytes // SLICE_BYTES))
    rows = max(1, -(-len(flat) // slices)) if flat.ndim else 1
    for start in range(0, len(flat) if slices > 1 else 1, rows):
        part = flat[start : start + rows] if slices > 1 else flat
        yield _header(name, value.shape, _NAMES[value.dtype], part.nbytes), chunks(part)


def _header(name: str, shape: tuple[int, ...], kind: str, size: int) -> bytes:
    """Return everything of a value that stands before its content."""
    dims = b"".join(b"\x08" + _varint(dim) for dim in shape)
    tensor = dims + _delimited(2, kind.encode()) + _varint(3 << 3 | _LENGTH_DELIMITED) + _varint(size)
    value = _delimited(1, name.encode("utf-8", "surrogatepass"))
    value += _varint(2 << 3 | _LENGTH_DELIMITED) + _varint(len(tensor) + size) + tensor
    return _varint(1 << 3 | _LENGTH_DELIMITED) + _varint(len(value) + size) + value


def _delimited(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)


# -- reading
def _check_trailer(source: SourceFile) -> int:
    """Return where the messages end; compare the CRC if the file has one."""
    end = source.size - _TRAILER_SIZE
    if end < 0 or source.data[end : end + len(_TRAILER)] != _TRAILER:
        return source.size
    total, step = 0, 8 * 2**20
    for start in range(0, end, step):
        with memoryview(source.data) as whole, whole[start : min(start + step, end)] as piece:
            total = zlib.crc32(piece, total)
        source.release(step)
    if total != int.from_bytes(source.data[end + len(_TRAILER) : source.size], "big"):
        raise source.refuse("is damaged (its CRC differs)")
    return end


def _fields(source: SourceFile, place: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (field number, wire type, start, end of the content) of a message; a varint's start is its value."""
    while place < end:
        tag, place = _read_varint(source, place, end)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, place = _read_varint(source, place, end)
            yield number, wire, value, place
        elif wire == _LENGTH_DELIMITED:
            size, place = _read_varint(source, place, end)
            if place + size > end:
                raise source.refuse(f"is cut off or damaged (a field of {size} bytes at byte {place} does not fit)")
            yield number, wire, place, place + size
            place += size
        else:
            raise source.refuse(f"is no MindSpore checkpoint or is damaged (wire type {wire} at byte {place})")


def _read_varint(source: SourceFile, place: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= end:
            break
        byte = source.data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise source.refuse(f"is cut off or damaged (a number at byte {place} does not end)")


def _value(source: SourceFile, start: int, end: int) -> _Value:
    tag = None
    tensor = None
    for number, wire, first, last in _fields(source, start, end):
        if (number, wire) == (1, _LENGTH_DELIMITED):
            tag = _utf8(source, first, last)
        elif (number, wire) == (2, _LENGTH_DELIMITED):
            tensor = (first, last)
        elif number == 3:
            raise source.refuse(f"holds the MapParameter {printable(tag or '')}, which no other format can hold")
    if tag is None or tensor is None:
        raise source.refuse(f"is damaged (a value without a name or a tensor at byte {start})")
    dims: list[int] = []
    kind, span = "", None
    for number, wire, first, last in _fields(source, *tensor):
        if number == 1 and wire == 0:
            dims.append(first)
        elif number == 1:  # packed, as newer protobuf writers may
            dims += _packed(source, first, last)
        elif (number, wire) == (2, _LENGTH_DELIMITED):
            kind = _utf8(source, first, last)
        elif (number, wire) == (3, _LENGTH_DELIMITED):
            span = (first, last)
        if len(dims) > 32:
            raise source.refuse(f"is damaged ({printable(tag)} has more than 32 axes)")
    if span is None:
        raise source.refuse(f"is damaged ({printable(tag)} has no content)")
    return _Value(tag, tuple(dims), kind, [span])


def _packed(source: SourceFile, place: int, end: int) -> list[int]:
    values = []
    while place < end and len(values) <= 32:
        value, place = _read_varint(source, place, end)
        values.append(value)
    return values


def _array(source: SourceFile, value: _Value) -> np.ndarray:
    name, dtype = printable(value.tag), DTYPES.get(value.kind)
    if dtype is None:
        raise source.refuse(f"{name} has the type {printable(value.kind)}, which cannot be converted")
    size = sum(end - start for start, end in value.spans)
    dims = () if value.dims == (0,) and size == dtype.itemsize else value.dims  # older writers' scalars
    count = 1
    for dim in dims:
        count *= dim
    if count * dtype.itemsize != size:
        raise source.refuse(f"is damaged ({name} has {size} bytes, not {count * dtype.itemsize})")
    if not possible(dims, dtype.itemsize):
        raise source.refuse(f"is damaged (the shape of {name})")
    if size == 0:
        return np.empty(dims, dtype)
    if len(value.spans) == 1:
        return np.ndarray(dims, dtype, source.data, value.spans[0][0])
    whole, place = np.empty(size, np.uint8), 0
    for start, end in value.spans:
        whole[place : place + end - start] = np.ndarray(end - start, np.uint8, source.data, start)
        place += end - start
        source.release(end - start)
    return whole.view(dtype).reshape(dims)


def _text(source: SourceFile, value: _Value) -> str:
    content = b"".join(source.data[start:end] for start, end in value.spans)
    try:
        return content.decode("utf-32-le").rstrip("\0")
    except UnicodeDecodeError as error:
        raise source.refuse(f"is damaged (the text {printable(value.tag)}: {error.reason})") from error


def _utf8(source: SourceFile, start: int, end: int) -> str:
    try:
        return source.data[start:end].decode("utf-8")
    except UnicodeDecodeError as error:
        raise source.refuse(f"is no MindSpore checkpoint or is damaged (a name at byte {start})") from error
