"""List files and folder scans: which images a dataset has, in which order."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from common.errors import UserError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
LARGEST_LIST = 256 << 20  # bytes


def read_list(path: Path) -> list[tuple[str, str | None]]:
    """Read a list file: one image a line, its label behind a tab or blanks where the line has two names.

    A file called ``*.json`` is read as IAST's lists are: an array of ``{"image_name": ..., "mask_name": ...}``.

    Args:
        path: Text in UTF-8; blank lines count for nothing.
    Returns:
        (image, label or None) a line, in the order of the file.
    Raises:
        UserError: If the file is missing, empty, no text, or a line has three names or leaves its folder.
    """
    if path.suffix == ".json":
        return _read_json(path)
    entries = []
    for number, line in enumerate(_lines(path), 1):
        names = line.split("\t") if "\t" in line else line.split()
        if len(names) > 2:
            raise UserError(
                f"{path}:{number}: {len(names)} names; a line is 'image' or 'image label' (tab if names hold blanks)"
            )
        for name in names:
            _refuse_outside(name, f"{path}:{number}")
        if names:
            entries.append((names[0].strip(), names[1].strip() if len(names) == 2 else None))
    if not entries:
        raise UserError(f"{path}: the list is empty")
    return entries


def read_names(path: Path) -> list[str]:
    """Read the image names of a list file; labels beside them count for nothing.

    Raises:
        UserError: As ``read_list``.
    """
    return [image for image, _ in read_list(path)]


def parse_class_list(text: str, place: str = "list") -> list[tuple[str, int | None]]:
    """Parse a class list, the official format of S3D and MME: ``relative/path label`` a line.

    A tab may stand for the blank, for names that hold blanks.

    Args:
        text: The whole file; blank lines count for nothing.
        place: File name for messages.
    Returns:
        (path, label) a line, in order; None where a line has no label, or a negative one: rejected pseudo-labels.
    Raises:
        UserError: If a label is no integer, or a path leaves its folder.
    """
    entries = []
    for number, line in enumerate(text.splitlines(), 1):
        name, *rest = line.strip("\r\n").split("\t" if "\t" in line else " ")
        if not name.strip() and not rest:
            continue
        _refuse_outside(name, f"{place}:{number}")
        try:
            label = int(rest[0]) if rest else None
        except ValueError:
            wanted = "a line is 'image label' (a tab between them if names hold blanks)"
            raise UserError(f"{place}:{number}: '{rest[0]}' is not a label; {wanted}") from None
        entries.append((name.strip(), None if label is None or label < 0 else label))
    return entries


def read_class_list(path: Path) -> list[tuple[str, int | None]]:
    """Read a class list; see ``parse_class_list``.

    Raises:
        UserError: If the file is missing, empty or no text, or a line is not as it should be.
    """
    entries = parse_class_list("\n".join(_lines(path)), str(path))
    if not entries:
        raise UserError(f"{path}: the list is empty")
    return entries


def folder_classes(paths: Iterable[str]) -> list[str]:
    """Return the folders right above the images, in order of first appearance: the class names of the official code."""
    return list(dict.fromkeys(PurePosixPath(path).parent.name for path in paths))


def read_numbers(path: Path) -> set[int]:
    """Return the numbers of a text file: one number, or a range ``FIRST-LAST`` that includes both, a line.

    Raises:
        UserError: If the file is missing or a line is neither.
    """
    numbers: set[int] = set()
    for place, line in enumerate(_lines(path), 1):
        first, _, last = line.strip().partition("-")
        if not (first.isdecimal() and (last or first).isdecimal()):
            raise UserError(f"{path}:{place}: '{line.strip()}' is neither a number nor a range FIRST-LAST")
        numbers.update(range(int(first), int(last or first) + 1))
    return numbers


def write_list(path: Path, entries: Iterable[Sequence[str]]) -> int:
    """Write one line for each entry, its names apart by a blank, by a tab where a name holds one; return how many."""
    lines = []
    for names in entries:
        lines.append(("\t" if any(" " in name for name in names) else " ").join(names) + "\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), encoding="utf-8")
    return len(lines)


def scan(folder: Path, suffix: str | None) -> list[str]:
    """Return the names of the images below a folder, relative to it, in alphabetical order.

    Args:
        folder: Searched with all its subfolders; hidden files and folders count for nothing.
        suffix: End of the names; None takes every image (PNG, JPEG, BMP, WebP, TIFF, PPM, PGM).
    """
    ends = (suffix,) if suffix else IMAGE_SUFFIXES
    found = []
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        low = name if suffix else name.lower()
        if low.endswith(ends) and not any(part.startswith(".") for part in PurePosixPath(name).parts):
            found.append(name)
    return sorted(found)


def write_json_list(path: Path, entries: Iterable[tuple[str, str]]) -> int:
    """Write images and labels as IAST's list files hold them; return how many."""
    rows = [{"image_name": image, "mask_name": label, "has_target": True} for image, label in entries]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return len(rows)


def _read_json(path: Path) -> list[tuple[str, str | None]]:
    try:
        rows = json.loads("\n".join(_lines(path)))
        entries = [(row["image_name"], row.get("mask_name")) for row in rows]
    except (json.JSONDecodeError, RecursionError, TypeError, KeyError, AttributeError):
        raise UserError(f"{path}: not an array of {{\"image_name\": ..., \"mask_name\": ...}}") from None
    if not entries or not all(isinstance(image, str) and isinstance(label, str | None) for image, label in entries):
        raise UserError(f"{path}: the list is empty, or a name is no text")
    for number, names in enumerate(entries, 1):
        for name in names:
            _refuse_outside(name or "", f"{path}, entry {number}")
    return entries


def _lines(path: Path) -> list[str]:
    try:
        if path.stat().st_size > LARGEST_LIST:
            raise UserError(f"{path}: larger than {LARGEST_LIST >> 20} MiB, not a list file")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such list file") from None
    except (UnicodeDecodeError, IsADirectoryError):
        raise UserError(f"{path}: not a list file (one image name a line, UTF-8)") from None
    return text.splitlines()


def _refuse_outside(name: str, place: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise UserError(f"{place}: '{name}' leaves the dataset's folder; names are relative to it and hold no '..'")
