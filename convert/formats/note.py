"""The note: what a converted file's own format has no place for, as JSON beside the tensors.

Each format carries it where other readers pass over it: an entry of the ZIP archive, an unknown field of
the protobuf message, a line of the safetensors metadata.
"""

import json
from collections.abc import Mapping

from convert.formats.files import SourceFile


def dump(note: Mapping) -> str:
    """Return the note as text; equal notes give equal text."""
    return json.dumps(note, sort_keys=True, separators=(",", ":"))


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
