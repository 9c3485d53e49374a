"""Files as the converter sees them: a source mapped read-only, a target that appears whole or not at all."""

import mmap
import os
import platform
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from common.errors import UserError

_RELEASE_EVERY = 32 * 2**20  # bytes read between two releases; keeps the resident part of a mapped file small


class SourceFile:
    """A regular file mapped read-only; arrays made from ``data`` share its pages and are never writable."""

    def __init__(self, path: str | Path):
        """Map the file.

        Raises:
            UserError: If there is no such file, it is empty, or it is not a regular file (a folder, a pipe, a device).
        """
        self.path = Path(path)
        try:
            handle = os.open(self.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        except FileNotFoundError:
            raise UserError(f"{self.path}: no such file") from None
        except ValueError as error:  # a NUL byte in the name
            raise UserError(f"{str(self.path)!r}: not a file name ({error})") from None
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise UserError(f"{self.path}: not a regular file")
            if status.st_size == 0:
                raise UserError(f"{self.path}: the file is empty")
            self.size = status.st_size
            self.data = mmap.mmap(handle, 0, access=mmap.ACCESS_READ)
        finally:
            os.close(handle)
        self._read = 0

    def refuse(self, reason: str) -> UserError:
        """Return the error that says why this file cannot be used."""
        return UserError(f"{self.path}: {reason}")

    def release(self, read: int) -> None:
        """Note that ``read`` more bytes were used and give their pages back now and then.

        The pages stay in the system's file cache, so reading them again is cheap; they no longer count as ours.
        """
        self._read += read
        if self._read >= _RELEASE_EVERY and hasattr(self.data, "madvise"):
            self.data.madvise(mmap.MADV_DONTNEED)
            self._read = 0


@contextmanager
def published(path: str | Path) -> Iterator[BinaryIO]:
    """Open a new file that appears as ``path`` in one rename when the block ends without an error.

    The bytes go to a hidden file beside the target, reach the disk, and then take the target's name. After
    any error the hidden file is gone and an older file of that name is as it was. The mode is the umask's.

    Raises:
        UserError: If the folder does not exist or ``path`` is a folder.
        OSError: If the disk fails; it names the target.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise UserError(f"{path}: the folder {path.parent} does not exist")
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name a file")
    _sweep(path.parent)
    part = path.with_name(f".twinda-{_host()}-{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        try:
            with os.fdopen(handle, "w+b", buffering=2**20) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def _sweep(folder: Path) -> None:
    """Remove what writers on this machine left in a folder when they were killed."""
    for path in folder.glob(f".twinda-{_host()}-*.part"):
        try:
            os.kill(int(path.name.split("-")[2]), 0)
        except (ProcessLookupError, OverflowError, ValueError):
            path.unlink(missing_ok=True)
        except PermissionError:
            pass  # alive, another user's


def _host() -> str:
    return sha256(platform.node().encode()).hexdigest()[:8]


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems refuse to sync a folder; the rename itself is done
    finally:
        os.close(handle)


def same_file(first: str | Path, second: str | Path) -> bool:
    """Return whether both names reach one file; False when either does not exist."""
    try:
        return os.path.samefile(first, second)
    except (OSError, ValueError):  # ValueError: a NUL byte in a name
        return False
