"""Run reference vectors through the public functions of both twins.

    python scripts/check_vectors.py tests/reference
    python scripts/check_vectors.py tests/reference/ddm --backend torch

One line a vector and backend: component, case with the worst error, backend, error, tolerance, verdict; then a total.
Exits 1 on any miss and on any file that has no runner. The system of a file is the nearest folder above it that
carries a system's name; the runner is the one with the longest known stem that begins the file's name.
"""

import argparse
import sys
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from common.backends import open_backend  # noqa: E402
from common.cli import run  # noqa: E402
from common.errors import UserError  # noqa: E402
from tests.vectors import Check, Vector  # noqa: E402
from tests.vectors.tables import SYSTEMS, runner_for, system_of  # noqa: E402

NOT_VECTORS = {"README.md", "fill.py"}  # documentation, and the weights that runners import


def main() -> int:
    """Parse the command line, run everything, return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with vectors, searched recursively")
    parser.add_argument("--backend", choices=("torch", "mindspore", "both"), default="both")
    parser.add_argument("--system", choices=sorted(SYSTEMS), help="system of files that no folder name tells")
    parser.add_argument("--only", default="", help="run only files whose name begins with this")
    parser.add_argument("--verbose", action="store_true", help="print every check, not only the worst of a vector")
    options = parser.parse_args()
    if not options.folder.exists():
        raise UserError(f"{options.folder}: no such folder")
    found = [options.folder] if options.folder.is_file() else sorted(options.folder.rglob("*"))
    files = [p for p in found if p.is_file() and p.name not in NOT_VECTORS and "__pycache__" not in p.parts]
    files = [p for p in files if p.name.startswith(options.only)]
    if not files:
        raise UserError(f"{options.folder}: holds no vectors")
    names = ("torch", "mindspore") if options.backend == "both" else (options.backend,)
    backends = [open_backend(name, device="cpu") for name in names]
    misses = sum(_report(file, backend, options) for file in files for backend in backends)
    total = len(files) * len(backends)
    print(f"{total - misses} passed, {misses} failed")
    return 1 if misses else 0


def _report(file: Path, backend, options: argparse.Namespace) -> bool:
    """Run one file on one backend, print its line, return whether it missed."""
    started, vector = time.monotonic(), Vector(file)
    system = system_of(file, options.folder) or options.system
    component = f"{system or '?'}/{vector.stem}"
    runner = runner_for(system, vector.stem)
    if runner is None:
        print(f"{component:34} {'-':28} {backend.name:9} no runner for this file  MISS")
        return True
    try:
        checks = list(runner(vector, backend))
        backend.release()  # compiled graphs of one vector would stay beside those of the next
    except Exception:
        reason = traceback.format_exc().strip().splitlines()
        print(f"{component:34} {'-':28} {backend.name:9} {reason[-1][:90]}  MISS")
        if options.verbose:
            print("\n".join(reason))
        return True
    return _print_checks(component, backend.name, checks, time.monotonic() - started, options.verbose)


def _print_checks(component: str, backend: str, checks: list[Check], seconds: float, verbose: bool) -> bool:
    """Print the worst check of a vector (or all), return whether any missed; no checks at all is a miss."""
    if not checks:
        print(f"{component:34} {'-':28} {backend:9} the runner compared nothing  MISS")
        return True
    rated = [(check, check.error()) for check in checks]
    worst = max(rated, key=lambda pair: (pair[1] > pair[0].tol, pair[1] / pair[0].tol if pair[0].tol else pair[1]))
    for check, error in rated if verbose else [worst]:
        verdict = "ok" if error <= check.tol else "MISS"
        tail = f"  ({len(checks)} checks, {seconds:.1f} s)" if check is worst[0] else ""
        place = f"{component:34} {check.case[:28]:28} {backend:9}"
        print(f"{place} {error:8.1e} <= {check.tol:7.0e} {check.kind:8} {verdict}{tail}")
    return any(not error <= check.tol for check, error in rated)


if __name__ == "__main__":
    run(main)
