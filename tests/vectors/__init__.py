"""Reference vectors: what a vector file is, what a check is. One package a system; see scripts/check_vectors.py."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Check:
    """One comparison.

    Attributes:
        case: Which case and array, for example ``"0 main"``.
        got: What this project computed.
        want: What the vector holds.
        tol: Largest error allowed, in the measure of ``kind``.
        kind: ``relative``: max|a-b| / max|b|; ``absolute``: max|a-b|; ``exact``: equal, NaN equal to NaN;
            ``norm``: ||a-b|| / ||b||.
    """

    case: str
    got: object
    want: object
    tol: float = 0.0
    kind: str = "relative"

    def error(self) -> float:
        """Return the error in the measure of ``kind``; infinity when shapes or NaN places differ."""
        got, want = np.asarray(self.got), np.asarray(self.want)
        if got.shape != want.shape:
            return float("inf")
        if want.dtype.kind in "USO":
            return 0.0 if np.array_equal(got, want) else float("inf")
        got, want = got.astype(np.float64), want.astype(np.float64)
        same = (got == want) | (np.isnan(got) & np.isnan(want))
        if same.all():
            return 0.0
        if not np.array_equal(np.isfinite(got), np.isfinite(want)):
            return float("inf")
        gap = np.where(same, 0.0, got - want)
        size = np.where(np.isfinite(want), want, 0.0)
        if self.kind == "norm":
            return float(np.linalg.norm(gap) / max(np.linalg.norm(size), 1e-30))
        scale = max(np.abs(size).max(), 1e-30) if self.kind == "relative" else 1.0
        return float(np.abs(gap).max() / scale)


@dataclass(frozen=True)
class Vector:
    """One file of reference vectors, read without executing anything."""

    path: Path

    @property
    def stem(self) -> str:
        """File name without ``.npz``, ``.json`` or ``.keys.json``."""
        return re.sub(r"(\.keys)?\.(npz|json)$", "", self.path.name)

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays of an ``.npz`` file but the JSON in ``params`` and ``shapes``."""
        with np.load(self.path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files if name not in ("params", "shapes")}

    @cached_property
    def params(self) -> dict:
        """The decoded JSON of the array ``params``; empty when the file has none."""
        with np.load(self.path, allow_pickle=False) as file:
            return json.loads(str(file["params"])) if "params" in file.files else {}

    @cached_property
    def shapes(self) -> dict[str, list[int]]:
        """The decoded JSON of the array ``shapes``, full shapes of what is stored in part; empty without one."""
        with np.load(self.path, allow_pickle=False) as file:
            return json.loads(str(file["shapes"])) if "shapes" in file.files else {}

    @cached_property
    def content(self) -> object:
        """The decoded content of a ``.json`` file."""
        return json.loads(self.path.read_text(encoding="utf-8"))

    @property
    def cases(self) -> list[str]:
        """Case numbers found behind array names (``logits_0``, ``logits_1``, ...), in numerical order."""
        found = {match[1] for name in self.arrays if (match := re.search(r"_(\d+)$", name))}
        return sorted(found, key=int)

    def stored(self, prefix: str) -> list[tuple[str, np.ndarray]]:
        """Return what the names of arrays say behind a prefix, with the arrays, in the file's order."""
        return [(name.removeprefix(prefix), array) for name, array in self.arrays.items() if name.startswith(prefix)]


Runner = Callable[[Vector, object], Iterator[Check]]
