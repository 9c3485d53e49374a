"""The note: what a converted file's own format has no place for, as JSON beside the tensors.

Each format carries it where other readers pass over it: an entry of the ZIP archive, an unknown field of
the protobuf message, a line of the safetensors metadata.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from common.errors import UserError
from convert.formats.files import SourceFile

_BREAKS = (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, RecursionError)


def dump(note: Mapping) -> str:
    """Return the note as text, its keys in their order, which is that of a checkpoint's sections."""
    return json.dumps(note, separators=(",", ":"))


def parse(source: SourceFile, text: bytes) -> dict:
    """Return the note of a file; {} for empty text.

    Raises:
        UserError: If the text is no JSON object.
    """
    try:
        note = json.loads(text) if text else {}
    except (ValueError, RecursionError) as error:
        raise source.refuse(f"is damaged (its note: {str(error)[:80]})") from error
    if not isinstance(note, dict):
        raise source.refuse("is damaged (its note is no JSON object)")
    return note


@contextmanager
def obeyed(source: SourceFile, note: Mapping) -> Iterator[None]:
    """Follow a file's note inside the block: one whose values are not what we write is the file's fault.

    Raises:
        UserError: In place of the errors that a damaged or forged note leads to.
    """
    try:
        yield
    except UserError:
        raise
    except _BREAKS as error:
        if not note:
            raise
        reason = f"{type(error).__name__} {str(error)[:60]}".replace("\n", " ")
        raise source.refuse(f"is damaged (its note: {reason})") from error
