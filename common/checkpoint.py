"""Checkpoint folders that appear whole or not at all, and are checked before they are read.

A folder is written beside its place under a hidden name, flushed to the disk, given a manifest with the SHA-256 digest
of every file, and renamed. Killed at any moment, or on a full disk, the older checkpoints stay as they were; the hidden
leftovers are swept away by the next run.
"""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path

import numpy as np

from common.errors import UserError

MANIFEST = "manifest.json"  # relative file name -> SHA-256 digest
STATE = "state.json"  # step, stage, seed, backend, method, digest of the inputs, versions
NOT_FINITE_MAY_BE = ("memory",)  # parts that may hold NaN or infinity: statistics of classes not seen yet
_CANNOT_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}

Parts = dict[str, dict[str, np.ndarray]]


def publish(final: Path, fill: Callable[[Path], object]) -> str:
    """Let ``fill(folder)`` write files, then make the folder appear as ``final`` in one rename.

    What stood at ``final`` before is replaced. Files get the mode that the umask gives.

    Returns:
        The digest of the manifest, which stands for the content of the whole folder.
    Raises:
        UserError: If the disk is full, read-only or refuses the writer; what was there before is untouched.
    """
    part, old = final.with_name(f".{final.name}.part"), final.with_name(f".{final.name}.old")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        fill(part)
        digest = _seal(part)
        if final.exists():
            os.replace(final, old)
        os.replace(part, final)
        _sync(final.parent)
    except OSError as error:
        if error.errno in _CANNOT_WRITE:
            reason = error.strerror or str(error)
            raise UserError(f"{final}: not written ({reason}); what was saved before is untouched") from error
        raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return digest


def save(backend, final: Path, parts: Parts, info: dict) -> str:
    """Publish a checkpoint: one native file for each part, and ``state.json``.

    Args:
        backend: Writes native files (``save``, ``suffix``).
        final: Folder to appear.
        parts: Part name ("model", "optimizer", ...) -> parameter name -> array; empty parts get no file.
        info: What ``state.json`` says; ``parts`` is added.
    Returns:
        The digest of the manifest.
    Raises:
        UserError: If an array of a trained part is not finite, or the disk refuses.
    """
    refuse_non_finite(final, parts)

    def fill(folder: Path) -> None:
        for name, arrays in parts.items():
            if arrays:
                _save_part(backend, arrays, folder / f"{name}{backend.suffix}")
        (folder / STATE).write_text(json.dumps({**info, "parts": sorted(parts)}, indent=1))

    return publish(final, fill)


def load(backend, folder: Path, only: Sequence[str] | None = None) -> tuple[Parts, dict]:
    """Read a checkpoint back after checking every digest.

    Args:
        backend: Reads native files (``load``, ``suffix``).
        folder: A published checkpoint.
        only: Names of the parts to read; None reads all.
    Returns:
        The parts, and what ``state.json`` says.
    Raises:
        UserError: If a file is damaged or missing, or the checkpoint was written by the other framework.
    """
    verify(folder)
    info = read_json(folder / STATE)
    parts: Parts = {}
    for name in (part for part in info["parts"] if only is None or part in only):
        path = folder / f"{name}{backend.suffix}"
        if not path.exists() and (other := list(folder.glob(f"{name}.*"))):
            raise UserError(
                f"{other[0]}: written by {info.get('backend', 'another framework')}, not {backend.name}; "
                "first convert the run folder: python -m convert convert RUN NEW_RUN"
            )
        parts[name] = backend.load(path) if path.exists() else {}
    return parts, info


def verify(folder: Path) -> None:
    """Compare every file of a published folder with its manifest.

    Raises:
        UserError: One line that names the first file that is missing or differs.
    """
    manifest = read_json(folder / MANIFEST)
    for name, digest in manifest.items():
        path = folder / name
        if not path.is_file():
            raise UserError(f"{path}: missing, though {MANIFEST} lists it")
        if sha256(path) != digest:
            raise UserError(f"{path}: damaged, its digest is not the one in {MANIFEST}")


def newest(folder: Path, warn: Callable[[str], None]) -> Path | None:
    """Return the newest whole checkpoint below ``folder``, or None.

    Damaged ones are passed over, each with a call of ``warn(line)``.
    """
    for path in reversed(steps(folder)):
        try:
            verify(path)
        except UserError as error:
            warn(f"{error}; falling back to the checkpoint before it")
        else:
            return path
    return None


def steps(folder: Path) -> list[Path]:
    """Return the checkpoints below ``folder``, oldest first, unchecked; empty when there is no such folder."""
    return sorted(folder.glob("step-*"), key=lambda path: int(path.name.split("-")[1]))


def name_of(step: int) -> str:
    """Return the folder name of the checkpoint after ``step`` steps."""
    return f"step-{step:06d}"


def step_of(folder: Path) -> int:
    """Return the step of a checkpoint by its name."""
    return int(folder.name.rpartition("-")[2])


def prune(folder: Path, keep: int) -> None:
    """Remove all but the ``keep`` newest checkpoints; a removal that is cut short leaves no half checkpoint."""
    for path in steps(folder)[:-keep]:
        remove(path)


def remove(path: Path) -> None:
    """Remove a folder so that it vanishes in one rename; does nothing when it is not there."""
    if path.exists():
        trash = path.with_name(f".{path.name}.trash")
        shutil.rmtree(trash, ignore_errors=True)
        os.replace(path, trash)
        shutil.rmtree(trash)


def sweep(folder: Path) -> None:
    """Clear up what a killed writer left below ``folder``; an old folder whose successor never came is put back."""
    for path in folder.rglob(".*.old"):
        final = path.with_name(path.name[1 : -len(".old")])
        shutil.rmtree(path) if final.exists() else os.replace(path, final)
    for path in [*folder.rglob(".*.part"), *folder.rglob(".*.trash")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a small file whole or not at all.

    Raises:
        UserError: If the disk refuses; what was there before is untouched.
    """
    part = path.with_name(f".{path.name}.part")
    with naming(path):
        try:
            part.write_text(text, encoding="utf-8")
            _sync(part)
            os.replace(part, path)
            _sync(path.parent)
        except OSError:
            part.unlink(missing_ok=True)
            raise


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn a refusal of the disk, which does not tell the file, into one line that does."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from error


def read_json(path: Path) -> dict:
    """Read a JSON object.

    Raises:
        UserError: If the file is missing or does not hold one.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: missing; its folder is no checkpoint, or was damaged") from None
    except ValueError:
        raise UserError(f"{path}: damaged, it holds no JSON") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: damaged, it holds no JSON object")
    return content


def refuse_non_finite(place: Path | str, parts: Parts) -> None:
    """Raise a UserError that names the first trained array with a NaN or an infinity."""
    for part, arrays in parts.items():
        if part not in NOT_FINITE_MAY_BE:
            for name, array in arrays.items():
                if not np.isfinite(array if array.dtype.kind in "biufc" else array.astype(np.float32)).all():
                    raise UserError(f"{place}: not written, {part} '{name}' holds values that are not finite")


def sha256(path: Path) -> str:
    """Return the SHA-256 digest of a file in hexadecimal."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _save_part(backend, arrays: dict[str, np.ndarray], path: Path) -> None:
    """Write one native file. Room is asked for first: the frameworks' writers hide the reason, or print pages of it."""
    need = sum(array.nbytes for array in arrays.values())
    if shutil.disk_usage(path.parent).free < need:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    try:
        backend.save(arrays, path)
    except RuntimeError as error:
        full = shutil.disk_usage(path.parent).free < need
        code = errno.ENOSPC if full else errno.EIO
        raise OSError(code, os.strerror(code) if full else str(error).splitlines()[0], str(path)) from error


def _seal(folder: Path) -> str:
    """Write the manifest, give every file the umask's mode, flush everything; return the manifest's digest."""
    files = sorted(_files(folder))
    digests = {path.relative_to(folder).as_posix(): sha256(path) for path in files}
    manifest = folder / MANIFEST
    manifest.write_text(json.dumps(digests, indent=1))
    mode = manifest.stat().st_mode & 0o777
    for path in [*files, manifest]:
        path.chmod(mode)
        _sync(path)
    for path in {parent for file in files for parent in file.parents if parent.is_relative_to(folder)} | {folder}:
        _sync(path)
    return sha256(manifest)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
