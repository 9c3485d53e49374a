"""Every reference vector of a system, on both backends, as one test each: what ``test_SYSTEM.py`` here runs.

One file a system, because the tests of one file share a process, and its memory.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from common.backends import open_backend
from tests.vectors import Vector
from tests.vectors.tables import runner_for

REFERENCE = Path(__file__).parents[1] / "reference"
SLOW = (
    *("net_", "step_", "train_", "assist_", "vgg16"),  # whole networks
    *("bn_hook", "mixup_build", "validate", "calib"),
    *("deeplab16", "deeplab19", "hrnet_ocr", "mit_b5"),
)


def vector_test(system: str) -> Callable[..., None]:
    """Return the test of all vectors of a system."""
    files = (file for file in sorted((REFERENCE / system).glob("*")) if file.name != "README.md")
    cases = [pytest.param(f, id=f.name, marks=[pytest.mark.slow] * f.name.startswith(SLOW)) for f in files]

    @pytest.mark.parametrize("backend", ["torch", "mindspore"])
    @pytest.mark.parametrize("file", cases)
    def test_vector(file: Path, backend: str) -> None:
        """The public functions reproduce the official outputs within the tolerance of the vectors' README."""
        vector = Vector(file)
        runner = runner_for(system, vector.stem)
        assert runner is not None, f"{file.name} has no runner"
        opened = open_backend(backend, device="cpu")
        checks = list(runner(vector, opened))
        if file.name.startswith(SLOW):
            opened.release()  # compiled graphs of one whole network would stay beside those of the next
        assert checks, f"{file.name}: the runner compared nothing"
        misses = [f"{c.case}: {c.error():.2e} > {c.tol:.0e} ({c.kind})" for c in checks if not c.error() <= c.tol]
        assert not misses, "; ".join(misses)

    return test_vector
