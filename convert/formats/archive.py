"""The ZIP container of .pth files, read without unpacking: stored entries only, each a span of the mapped file."""

import struct
import zlib
from dataclasses import dataclass

from convert.formats.files import SourceFile
from convert.formats.pickle_machine import printable

MAX_ENTRIES = 200_000
_END, _END64, _LOCATOR64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_MAX16, _MAX32 = 0xFFFF, 0xFFFFFFFF


@dataclass(frozen=True)
class Entry:
    """One stored file of the archive: ``size`` bytes from ``start`` of the source."""

    name: str
    header: int
    start: int
    size: int
    checksum: int


def read_entries(source: SourceFile) -> dict[str, Entry]:
    """Return the entries of a ZIP archive by name, in the order of its directory.

    Nothing is unpacked: torch.save stores its entries as they are, and a compressed, encrypted or
    overlapping entry is refused, so that no archive can hold more than its own size.

    Raises:
        UserError: If the archive is damaged, or an entry is not stored plainly within the file.
    """
    try:
        count, directory, length = _find_directory(source)
        if count > MAX_ENTRIES:
            raise source.refuse(f"its archive lists {count} entries (at most {MAX_ENTRIES})")
        entries: dict[str, Entry] = {}
        place = directory
        for _ in range(count):
            place, entry = _read_entry(source, place, directory)
            if entry.name in entries:
                raise source.refuse(f"its archive holds {printable(entry.name)} twice")
            entries[entry.name] = entry
    except (struct.error, UnicodeDecodeError, IndexError, OverflowError) as error:
        raise source.refuse(f"its archive is damaged or cut off ({error})") from error
    if place > directory + length:
        raise source.refuse("its archive is damaged (the directory is longer than it says)")
    _check_spans(source, list(entries.values()))
    return entries


def check(source: SourceFile, entry: Entry) -> None:
    """Compare an entry with its checksum; 0 means that the writer left the checksum out.

    Raises:
        UserError: If they differ.
    """
    if not entry.checksum:
        return
    total, step = 0, 8 * 2**20
    for start in range(entry.start, entry.start + entry.size, step):
        size = min(step, entry.start + entry.size - start)
        with memoryview(source.data) as whole, whole[start : start + size] as piece:
            total = zlib.crc32(piece, total)
        source.release(size)
    if total != entry.checksum:
        raise source.refuse(f"{printable(entry.name)} in its archive is damaged (the checksum differs)")


def _find_directory(source: SourceFile) -> tuple[int, int, int]:
    """Return (number of entries, offset, length) of the central directory."""
    data = source.data
    end = data.rfind(_END, max(0, source.size - 22 - _MAX16))
    if end < 0:
        raise source.refuse("its archive is cut off (no directory at its end)")
    count, length, start, comment = struct.unpack_from("<H2LH", data, end + 10)
    if end + 22 + comment > source.size:
        raise source.refuse("its archive is cut off")
    if data[max(end - 20, 0) : end][:4] == _LOCATOR64:
        (place,) = struct.unpack_from("<Q", data, end - 20 + 8)
        if data[place : place + 4] != _END64:
            raise source.refuse("its archive is damaged (no 64-bit directory)")
        count, length, start = struct.unpack_from("<3Q", data, place + 32)
    if start + length > end:
        raise source.refuse("its archive is damaged or cut off (its directory lies outside of the file)")
    return count, start, length


def _read_entry(source: SourceFile, place: int, limit: int) -> tuple[int, Entry]:
    """Return (place of the next entry, the entry); its content must end before ``limit``."""
    data = source.data
    fields = _CENTRAL.unpack_from(data, place)
    signature, _, _, flags, method, _, _, checksum, packed, size, name_size, extra_size, comment_size = fields[:13]
    header = fields[16]
    if signature != b"PK\x01\x02":
        raise source.refuse("its archive is damaged (its directory is broken)")
    place += _CENTRAL.size
    name = data[place : place + name_size].decode("utf-8" if flags & 0x800 else "cp437")
    extra = data[place + name_size : place + name_size + extra_size]
    size, packed, header = _wide(extra, size, packed, header)
    if ".." in name.replace("\\", "/").split("/") or name.startswith(("/", "\\")) or "\0" in name or ":" in name[:3]:
        raise source.refuse(f"its archive names the path {printable(name)!r}, which leads out of it")
    if flags & 1 or method or packed != size:
        kind = "encrypted" if flags & 1 else "compressed"
        raise source.refuse(f"{printable(name)} in its archive is {kind}; torch.save stores entries plainly")
    local = _LOCAL.unpack_from(data, header)
    start = header + _LOCAL.size + local[9] + local[10]
    if local[0] != b"PK\x03\x04" or start + size > limit:
        raise source.refuse(f"its archive is damaged ({printable(name)} lies outside of the file)")
    return place + name_size + extra_size + comment_size, Entry(name, header, start, size, checksum)


def _wide(extra: bytes, *values: int) -> list[int]:
    """Replace the values that do not fit 32 bits by those of the ZIP64 field of ``extra``."""
    place, wide = 0, b""
    while place + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, place)
        if kind == 1:
            wide = extra[place + 4 : place + 4 + size]
        place += 4 + size
    result = []
    for value in values:
        if value == _MAX32:
            (value,), wide = struct.unpack_from("<Q", wide), wide[8:]
        result.append(value)
    return result


def _check_spans(source: SourceFile, entries: list[Entry]) -> None:
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.header):
        if entry.header < end:
            raise source.refuse(f"its archive is damaged ({printable(entry.name)} overlaps another entry)")
        end = entry.start + entry.size
