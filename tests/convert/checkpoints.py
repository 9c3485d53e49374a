"""Checkpoints for the tests: generated contents, official manifests filled with numbers, exact comparison."""

import json
import os
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np

from common.draws import generator
from convert import formats
from convert.formats import ckpt, pth_writer
from convert.layouts import LAYOUTS
from convert.reading import Reading
from convert.report import Report
from convert.transfer import export_layout, import_layout
from tests.compare import MEASURED, Measured

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "tests" / "reference"
DTYPES = [
    np.float32, np.float64, np.float16, ml_dtypes.bfloat16, np.bool_, np.int8, np.uint8, np.int16, np.uint16,
    np.int32, np.uint32, np.int64, np.uint64,
]  # fmt: skip


def numbers(shape: tuple[int, ...], dtype=np.float32, seed: int = 0) -> np.ndarray:
    """Return random bits of a dtype, NaN and infinities among them; bools are 0 or 1."""
    dtype = np.dtype(dtype)
    count = int(np.prod(shape, dtype=np.int64))
    raw = generator(seed, "bits", dtype.name, *shape).integers(0, 256, count * dtype.itemsize, dtype=np.uint8)
    return (raw & 1 if dtype == np.bool_ else raw).view(dtype).reshape(shape)


def peak(afresh: bool = False) -> int:
    """Return the largest memory of this process so far, in bytes; Linux.

    Not getrusage's ru_maxrss, which begins with the peak of the process that started this one.

    Args:
        afresh: Forget earlier peaks first: return what it has now.
    """
    if afresh:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def odd_tensors() -> dict[str, np.ndarray]:
    """Return tensors of every dtype with odd shapes, strides and names; no name takes part in a renaming."""
    result: dict[str, np.ndarray] = {}
    for dtype in DTYPES:
        name = np.dtype(dtype).name
        base = numbers((5, 4, 6), dtype)
        result |= {
            f"{name}.plain": base,
            f"{name}.transposed": base.T,
            f"{name}.strided": base[::2, 1:, ::3],
            f"{name}.scalar": base[0, 0, 0, ...].reshape(()) if base.ndim else base,
            f"{name}.empty": np.empty((0, 3), dtype),
            f"{name}.deep.est.path": numbers((1, 2, 1, 3, 1), dtype),
        }
    result |= {"": numbers((2,)), "x" * 300: numbers((1,)), "spaces and / slashes": numbers((3,))}
    result |= {
        "na\u00efve.\u91cd\u307f..dots.": numbers((2, 2)),
        "none": np.empty((0,), np.float32),
        "0.1.2": numbers((7,)),
    }
    return result


def manifest(stem: str, seed: int = 0) -> dict[str, np.ndarray]:
    """Return an official manifest of tests/reference filled with numbers, in its order; BatchNorm's counters count.

    All but MobileNet and AuG-KD's networks are an eighth as wide as the official ones, so that the files stay small.
    """
    entries = json.loads((REFERENCE / f"{stem}.keys.json").read_text())
    rng = generator(seed, stem)
    return {
        name: np.array(17, np.int64) if dtype == "int64" else rng.standard_normal(_thin(stem, shape), np.float32)
        for name, shape, dtype in entries
    }


def _thin(stem: str, shape: list[int]) -> tuple[int, ...]:
    narrowest = 32 if "ibn" in stem else 64  # halves of a norm
    if "mobilenet" in stem or "augkd" in stem:
        return tuple(shape)
    return tuple(size // 8 if size % narrowest == 0 else size for size in shape)


def write_pth(path: Path, tree) -> Path:
    """Write a .pth file with our writer."""
    with path.open("w+b") as file:
        pth_writer.write(file, tree, {})
    return path


def write_ckpt(path: Path, tensors) -> Path:
    """Write a .ckpt file with our writer, without a note."""
    with path.open("w+b") as file:
        ckpt.write(file, tensors, {})
    return path


def bring_in(layout: str, source: Path, target: Path, **options) -> Report:
    """Import an official file."""
    return import_layout(LAYOUTS[layout], source, target, Reading(), **options)


def take_out(layout: str, source: Path, target: Path, beside: Path | None = None) -> Report:
    """Export one of our files under official names."""
    return export_layout(LAYOUTS[layout], source, target, Reading(), beside)


def content(path: Path):
    """Return what a file holds, read by our readers."""
    return formats.load(path).content


def assert_same(got, want, path: str = "") -> None:
    """Fail unless two nested contents are equal to the bit: types, keys, dtypes, shapes, bytes."""
    if isinstance(want, np.ndarray):
        assert isinstance(got, np.ndarray), f"{path}: {type(got).__name__}, want an array"
        assert (got.dtype, got.shape) == (want.dtype, want.shape), (
            f"{path}: {got.dtype}{got.shape}, want {want.dtype}{want.shape}"
        )
        assert got.tobytes() == want.tobytes(), f"{path}: other bytes"
        MEASURED.append(Measured(0.0, 0.0))
    elif isinstance(want, dict):
        assert isinstance(got, dict), f"{path}: {type(got).__name__}, want a dict"
        assert set(got) == set(want), f"{path}: keys {set(map(str, got)) ^ set(map(str, want))}"
        for key in want:
            assert_same(got[key], want[key], f"{path}/{key}")
    elif isinstance(want, (list, tuple)):
        assert type(got) is type(want) and len(got) == len(want), f"{path}: {got!r}, want {want!r}"
        for index, (a, b) in enumerate(zip(got, want)):
            assert_same(a, b, f"{path}/{index}")
    else:
        assert type(got) is type(want) and (got == want or (got != got and want != want)), (
            f"{path}: {got!r}, want {want!r}"
        )


def cli(*arguments, blocked: tuple[str, ...] = (), **kwargs) -> subprocess.CompletedProcess:
    """Run ``python -m convert`` in a process of its own, in which some packages cannot be imported."""
    code = (
        "import sys\n"
        "class Blocked:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] in {blocked!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Blocked())\n"
        "from common.cli import run\n"
        "from convert.__main__ import main\n"
        "run(main)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=120, **kwargs)
