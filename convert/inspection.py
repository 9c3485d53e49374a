"""What is in a checkpoint file: keys, shapes, dtypes, sizes, digests. Safe on any file, for nothing in it runs."""

import json
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np

from common.checkpoint import sha256 as file_sha256
from convert import formats, layouts
from convert.checkpoint import Checkpoint
from convert.formats.chunks import chunks
from convert.formats.note import obeyed
from convert.formats.pickle_machine import printable
from convert.reading import Reading, read
from convert.report import Report
from convert.translation import Stated, translate

_COUNTER = "num_batches_tracked"


@dataclass
class Inspection:
    """What ``inspect`` prints; ``tensors`` are rows of (part, name, dtype, shape, bytes)."""

    path: str
    size: int
    sha256: str
    format: str
    framework: str
    weights_digest: str
    layouts: list[str]
    tensors: list[tuple[str, str, str, list[int], int]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def json(self) -> str:
        """Return everything as JSON."""
        return json.dumps(asdict(self), indent=1)

    def lines(self) -> list[str]:
        """Return everything for people; names are escaped where a terminal would stumble."""
        width = max((len(printable(name, 60)) for _, name, *_ in self.tensors), default=4)
        rows = [
            f"  {part:9} {printable(name, 60):{width}}  {dtype:10} {size:>12}  {shape}"
            for part, name, dtype, shape, size in self.tensors
        ]
        total = sum(row[-1] for row in self.tensors)
        return [
            f"{self.path}: {self.format}, {self.size} bytes, names as {self.framework} spells them",
            f"sha256          {self.sha256}",
            f"weights digest  {self.weights_digest}  (equal for equal weights in any format)",
            f"layout          {', '.join(self.layouts) or 'none that is known'}",
            *[f"remark          {line}" for line in self.remarks],
            f"{len(self.tensors)} tensors, {total} bytes",
            *rows,
        ]


def inspect(path: Path, section: str | None = None) -> Inspection:
    """Look into a checkpoint file.

    Raises:
        UserError: If the file is none, or damaged; the message says what is wrong.
    """
    checkpoint = read(path, Reading(section=section, any_name=True))
    source = checkpoint.source
    kind, variant = formats.detect(source)
    remarks = [*checkpoint.remarks, *_name_remark(path, kind)]
    with obeyed(source, checkpoint.note):
        canonical = canonical_weights(checkpoint)
    state = checkpoint.state.flat(checkpoint.framework)
    parts = {"weights": checkpoint.weights, "optimizer": state, "other": checkpoint.loose}
    rows = [
        (part, name, str(array.dtype), list(array.shape), array.nbytes)
        for part, arrays in parts.items()
        for name, array in arrays.items()
    ]
    title = formats.TITLES[kind] + {"zip": " (ZIP)", "legacy": " (before torch 1.6)"}.get(variant, "")
    found = layouts.guess({name: array.shape for name, array in canonical.items()})
    digest = weights_digest(canonical)
    return Inspection(
        str(path), source.size, file_sha256(path), title, checkpoint.framework, digest, found, rows, remarks
    )


def canonical_weights(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """Return a checkpoint's weights under PyTorch's names."""
    report = Report("", "")
    return translate(checkpoint, "torch", Stated(), report)[0].weights


def weights_digest(weights: dict[str, np.ndarray]) -> str:
    """Return the SHA-256 digest of weights by canonical name, whatever their order; step counters do not count."""
    digest = sha256()
    for name in sorted(weights):
        if name.rpartition(".")[2] == _COUNTER:
            continue
        array = weights[name]
        digest.update(f"{name}\0{array.dtype}\0{array.shape}\0".encode("utf-8", "surrogatepass"))
        for piece in chunks(array):
            digest.update(piece)
    return digest.hexdigest()


def _name_remark(path: Path, kind: str) -> list[str]:
    suffixes = [suffix for suffix, named in formats.SUFFIXES.items() if named == kind]
    return [] if path.name.lower().endswith(tuple(suffixes)) else [f"by its content it should be named {suffixes[0]}"]
