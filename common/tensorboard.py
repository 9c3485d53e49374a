"""Curves and pictures as TensorBoard event files.

Written here and not through a package because the usual ones import PyTorch wherever it is installed, and write from a
thread in which a full disk goes unnoticed. The format is TFRecord framing around ``Event`` messages (tensorflow
``core/util/event.proto`` and ``core/framework/summary.proto``), of which four fields are needed.
"""

import errno
import os
import socket
import struct
import time
from collections.abc import Mapping
from io import FileIO
from pathlib import Path

_CASTAGNOLI = 0x82F63B78  # reflected polynomial of CRC-32C
_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5  # wire types of protocol buffers


class EventFile:
    """One new event file in a folder; what older files of the folder say from ``step`` on is superseded."""

    def __init__(self, folder: Path, step: int = 0):
        folder.mkdir(parents=True, exist_ok=True)
        stamp = f"{time.time():.6f}"  # readers take the files of a folder in the order of their names
        self.path = folder / f"events.out.tfevents.{stamp}.{socket.gethostname()}.{os.getpid()}"
        self._file = self.path.open("wb", buffering=0)
        self._event(_field(3, b"brain.Event:2"))
        if step:  # SessionLog START makes the reader drop older events with this step or a later one
            self._event(_number(2, step) + _field(7, _number(1, 1)))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add one point to the curve of each name."""
        summary = b"".join(
            _field(1, _field(1, tag.encode()) + _key(2, _FLOAT) + struct.pack("<f", value))
            for tag, value in values.items()
        )
        self._event(_number(2, step) + _field(5, summary))

    def picture(self, step: int, tag: str, png: bytes, size: tuple[int, int]) -> None:
        """Add a PNG of ``size`` (width, height) pixels in RGB."""
        image = _number(1, size[1]) + _number(2, size[0]) + _number(3, 3) + _field(4, png)
        self._event(_number(2, step) + _field(5, _field(1, _field(1, tag.encode()) + _field(4, image))))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _event(self, body: bytes) -> None:
        event = _key(1, _DOUBLE) + struct.pack("<d", time.time()) + body
        length = struct.pack("<Q", len(event))
        write_all(self._file, length + _checksum(length) + event + _checksum(event))


def write_all(file: FileIO, content: bytes) -> None:
    """Write to an unbuffered file at once, so that nothing waits in a buffer when the disk is full.

    Raises:
        OSError: If the disk refuses, or takes only part of it; tells the file.
    """
    try:
        written = file.write(content)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file.name)) from error
    if written < len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file.name))


def _key(field: int, wire_type: int) -> bytes:
    return bytes([field << 3 | wire_type])


def _number(field: int, value: int) -> bytes:
    return _key(field, _VARINT) + _varint(value)


def _field(field: int, content: bytes) -> bytes:
    return _key(field, _BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_CASTAGNOLI if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _table()


def _checksum(data: bytes) -> bytes:
    """Return the masked CRC-32C of TFRecord: rotated right by 15 bits plus a constant."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
