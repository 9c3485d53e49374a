"""The official image lists of semi-supervised adaptation: whether a user's copies are the published ones.

``official_lists.json`` holds number of lines and SHA-256 of the 66 lists of MME (Saito et al., ICCV 2019), which APE
and S3D share: DomainNet's 126 classes ("multi"), Office-Home ("office_home") and Office-31 ("office").
"""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from common.errors import UserError

_TABLE = Path(__file__).with_suffix(".json")


def official_lists() -> dict[str, tuple[int, str]]:
    """Return ``dataset/file.txt`` -> (lines, SHA-256) of every official list."""
    return {name: (lines, digest) for name, (lines, digest) in json.loads(_TABLE.read_text(encoding="ascii")).items()}


def differing_lists(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield (``dataset/file.txt``, what is wrong with it or "") for each official list that lies below a folder.

    Args:
        folder: Holds ``multi/``, ``office_home/`` or ``office/``, as ``data/txt`` does in the official code.
    Raises:
        UserError: If it holds none of the lists.
    """
    found = 0
    for name, (lines, digest) in official_lists().items():
        path = folder / name
        if not path.is_file():
            continue
        found += 1
        content = path.read_bytes()
        own = content.count(b"\n")
        if sha256(content).hexdigest() == digest:
            yield name, ""
        elif own != lines:
            yield name, f"{own} lines, the official list has {lines}"
        else:
            yield name, "as many lines as the official list, but other ones"
    if not found:
        raise UserError(f"{folder}: holds no official list, such as multi/labeled_source_images_real.txt")
