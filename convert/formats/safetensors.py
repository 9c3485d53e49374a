"""Reads and writes .safetensors files: a JSON header of names, dtypes, shapes and offsets, then the bytes.

Read here instead of by the library so that arrays are views of the mapped file, bfloat16 needs no framework,
and every claim of the header is checked first. https://huggingface.co/docs/safetensors (format).
"""

import json
import zlib
from collections.abc import Mapping
from typing import BinaryIO

import ml_dtypes
import numpy as np

from common.errors import UserError
from convert.formats.chunks import chunks
from convert.formats.files import SourceFile
from convert.formats.pickle_machine import printable
from convert.formats.sizes import MAX_TENSORS, possible

MAX_HEADER = 25 * 2**20  # a header of 200,000 tensors; longer claims are refused before anything is read
DTYPES: dict[str, np.dtype] = {
    name: np.dtype(kind)
    for name, kind in {
        "BOOL": np.bool_, "U8": np.uint8, "I8": np.int8, "U16": np.uint16, "I16": np.int16, "U32": np.uint32,
        "I32": np.int32, "U64": np.uint64, "I64": np.int64, "F16": np.float16, "BF16": ml_dtypes.bfloat16,
        "F32": np.float32, "F64": np.float64, "C64": np.complex64, "F8_E4M3": ml_dtypes.float8_e4m3fn,
        "F8_E5M2": ml_dtypes.float8_e5m2,
    }.items()
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_CRC = "twinda_crc32"  # in the metadata: CRC-32 of the header, with ten zeros in this place, and of the bytes behind it
_BLANK = "0" * 10
_ORDER = "twinda_order"  # in the metadata: where each tensor stood in its checkpoint, when that is another order


def looks_like(source: SourceFile) -> bool:
    """Return whether the file begins like a safetensors header, however long it claims to be."""
    return source.size >= 8 and source.data[8:9] == b"{" and source.data[7:8] == b"\0"


def read(source: SourceFile) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read a file.

    Returns:
        (name -> read-only view of the mapped file, the header's metadata).
    Raises:
        UserError: If the header is too long, malformed, or does not describe exactly the bytes behind it.
    """
    size = int.from_bytes(source.data[:8], "little")
    if size > MAX_HEADER or size > source.size - 8:
        limit = min(MAX_HEADER, source.size - 8)
        raise source.refuse(f"claims a header of {size} bytes; at most {limit} are possible, so it is damaged")
    try:
        text = source.data[8 : 8 + size].decode("utf-8")
        header = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise source.refuse(f"has a damaged header ({str(error)[:100]})") from error
    if not isinstance(header, dict):
        raise source.refuse("has a damaged header (no JSON object)")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise source.refuse("has damaged metadata (not text)")
    if len(header) > MAX_TENSORS:
        raise source.refuse(f"holds more than {MAX_TENSORS} tensors")
    spans = {name: _span(source, name, entry) for name, entry in header.items()}
    _check_cover(source, spans, source.size - 8 - size)
    stored = metadata.pop(_CRC, None)
    if stored is not None:
        _check_crc(source, stored, text, 8 + size)
    arrays = {name: _array(source, span, 8 + size) for name, span in spans.items()}
    return _ordered(source, arrays, metadata.pop(_ORDER, None)), metadata


def write(file: BinaryIO, tensors: Mapping[str, np.ndarray], metadata: Mapping, used=lambda count: None) -> None:
    """Write tensors; the metadata gains a CRC, so that a flipped bit is found on reading.

    Args:
        file: An empty file.
        tensors: Name -> array.
        metadata: Text by key, for example ``{"format": "pt"}``.
        used: Called with the number of bytes after each piece was written.
    Raises:
        UserError: If the format has no such dtype, or a tensor is called ``__metadata__``.
    """
    # widest first, so that every tensor is aligned to its element; MindSpore wants the header in the same order
    order = sorted(tensors, key=lambda name: -tensors[name].dtype.itemsize)
    header: dict = {"__metadata__": {**metadata, **_order(list(tensors), order), _CRC: _BLANK}}
    place = 0
    for name in order:
        array = tensors[name]
        if array.dtype not in _NAMES or name == "__metadata__":
            what = f"no tensors of dtype {array.dtype}" if array.dtype not in _NAMES else "this name for itself"
            raise UserError(f"{printable(name)}: the safetensors format has {what}")
        span = [place, place + array.nbytes]
        header[name] = {"dtype": _NAMES[array.dtype], "shape": list(array.shape), "data_offsets": span}
        place += array.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    total = zlib.crc32(text)
    file.write(len(text).to_bytes(8, "little") + text)
    for name in order:
        for piece in chunks(tensors[name]):
            total = zlib.crc32(piece, total)
            file.write(piece)
            used(len(piece))
    file.seek(8 + text.index(_token(_BLANK).encode()))
    file.write(_token(f"{total:010d}").encode())


def _order(names: list[str], written: list[str]) -> dict[str, str]:
    """Return the line of metadata from which ``_ordered`` restores the order of ``names``; none when it is the same."""
    places = {name: place for place, name in enumerate(names)}
    return {} if names == written else {_ORDER: ",".join(str(places[name]) for name in written)}


def _ordered(source: SourceFile, arrays: dict[str, np.ndarray], order: str | None) -> dict[str, np.ndarray]:
    """Return the tensors in the order in which their checkpoint had them."""
    if order is None:
        return arrays
    places = dict(zip(order.split(","), arrays))
    if order.count(",") + 1 != len(arrays) or places.keys() != set(map(str, range(len(arrays)))):
        raise source.refuse("has damaged metadata (the order of its tensors)")
    return {places[str(place)]: arrays[places[str(place)]] for place in range(len(arrays))}


def _token(digits: str) -> str:
    return f'"{_CRC}":"{digits}"'


def _check_crc(source: SourceFile, stored: str, text: str, start: int) -> None:
    total, step = zlib.crc32(text.replace(_token(stored), _token(_BLANK), 1).encode("utf-8")), 8 * 2**20
    for place in range(start, source.size, step):
        with memoryview(source.data) as whole, whole[place : place + step] as piece:
            total = zlib.crc32(piece, total)
        source.release(step)
    if f"{total:010d}" != stored:
        raise source.refuse("is damaged (its CRC differs)")


def _unique(pairs: list) -> dict:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice")
    return result


def _span(source: SourceFile, name: str, entry) -> tuple[np.dtype, tuple[int, ...], int, int]:
    """Return (dtype, shape, start, end) of a header's entry after checking each."""
    what = printable(name)
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise source.refuse(f"has a damaged header (the entry {what})")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not isinstance(shape, list) or not isinstance(offsets, list) or len(offsets) != 2 or len(shape) > 32:
        raise source.refuse(f"has a damaged header (shape or offsets of {what})")
    if not all(type(number) is int and 0 <= number < 2**48 for number in (*shape, *offsets)):
        raise source.refuse(f"has a damaged header (shape or offsets of {what})")
    dtype = DTYPES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if dtype is None:
        raise source.refuse(f"{what} has the dtype {printable(str(entry['dtype']))}, which cannot be converted")
    size = dtype.itemsize
    for dim in shape:
        size *= dim
    if not possible(shape, dtype.itemsize):
        raise source.refuse(f"has a damaged header (the shape of {what})")
    if offsets[1] - offsets[0] != size:
        raise source.refuse(f"has a damaged header ({what}: {offsets[1] - offsets[0]} bytes, its shape takes {size})")
    return dtype, tuple(shape), offsets[0], offsets[1]


def _check_cover(source: SourceFile, spans: Mapping[str, tuple], size: int) -> None:
    place = 0
    for _, _, start, end in sorted(spans.values(), key=lambda span: span[2:]):
        if start != place:
            raise source.refuse("has a damaged header (its tensors overlap or leave gaps)")
        place = end
    if place != size:
        raise source.refuse(f"is cut off or damaged ({size} bytes of tensors, its header describes {place})")


def _array(source: SourceFile, span: tuple, base: int) -> np.ndarray:
    dtype, shape, start, end = span
    if start == end:
        return np.empty(shape, dtype)
    return np.ndarray(shape, dtype, source.data, base + start)
