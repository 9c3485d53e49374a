"""Every reference vector of the systems that exist, on both backends, as one test each."""

from pathlib import Path

import pytest

from common.backends import open_backend
from tests.vectors import Vector
from tests.vectors.tables import SYSTEMS, runner_for

REFERENCE = Path(__file__).parent / "reference"
SLOW = (
    *("net_", "step_", "train_", "assist_", "vgg16"),  # whole networks
    *("bn_hook", "mixup_build", "validate", "calib"),
    *("deeplab16", "deeplab19", "hrnet_ocr", "mit_b5"),
)
FILES = [
    pytest.param(system, file, id=f"{system}-{file.name}", marks=[pytest.mark.slow] * file.name.startswith(SLOW))
    for system in SYSTEMS
    for file in sorted((REFERENCE / system).glob("*"))
    if file.name != "README.md"
]


@pytest.mark.parametrize("backend", ["torch", "mindspore"])
@pytest.mark.parametrize(("system", "file"), FILES)
def test_vector(system: str, file: Path, backend: str) -> None:
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


def test_stem_is_the_longest_known_one() -> None:
    """A variant of a component goes to the runner of the longest stem that begins its name."""
    table = SYSTEMS["ddm"]
    assert runner_for("ddm", "net_torch_forward_r50_13classes") is table["net_torch_forward"]
    assert runner_for("ddm", "unheard_of") is None
    assert runner_for(None, "metrics") is None
