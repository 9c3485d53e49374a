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
# Whole trainings that differ from another file in the network, the baseline or one option, and those of large networks,
# whose smaller twins are in ``tests/parity``. ``scripts/check_vectors.py tests/reference`` and ``pytest -m exhaustive``
# check all, in the time that they take.
EXHAUSTIVE = (
    *("train_ape_resnet34", "train_ent_resnet34", "train_mme_resnet34", "train_stage1_resnet34"),
    *("train_stage2_alexnet", "train_stage2_resnet34"),
    *("step_mixup_dropout", "step_mixup_no_anchor", "step_mixup_normalize_only", "step_mixup_teacher_only"),
    *("step_df.", "step_kd", "step_selftrain_gta", "step_translator_gta", "step_warmup_gta", "deeplab16.npz"),
    "step_sl_r101",
)
# These cost MindSpore minutes and PyTorch seconds.
EXHAUSTIVE_ON_MINDSPORE = (
    *("step_df_dlr0", "step_mixup", "step_rl", "step_sl", "step_source", "step_student", "step_warmup_semi"),
)


def vector_test(system: str, compile: bool | None = None) -> Callable[..., None]:
    """Return the test of all vectors of a system.

    Args:
        system: Its folder of vectors.
        compile: None compiles where the backend does by itself. False trains op by op: graphs of whole networks cost
            more than the few steps of a file; compiled steps are those of ``tests/parity`` and of
            ``scripts/check_vectors.py``.
    """
    files = (file for file in sorted((REFERENCE / system).glob("*")) if file.name != "README.md")
    cases = [
        pytest.param(file, backend, id=f"{file.name}-{backend}", marks=marks(file.name, backend))
        for file in files
        for backend in ("torch", "mindspore")
    ]

    @pytest.mark.parametrize(("file", "backend"), cases)
    def test_vector(file: Path, backend: str) -> None:
        """The public functions reproduce the official outputs within the tolerance of the vectors' README."""
        vector = Vector(file)
        runner = runner_for(system, vector.stem)
        assert runner is not None, f"{file.name} has no runner"
        opened = open_backend(backend, device="cpu", compile=compile)
        checks = list(runner(vector, opened))
        if file.name.startswith(SLOW):
            opened.release()  # compiled graphs of one whole network would stay beside those of the next
        assert checks, f"{file.name}: the runner compared nothing"
        misses = [f"{c.case}: {c.error():.2e} > {c.tol:.0e} ({c.kind})" for c in checks if not c.error() <= c.tol]
        assert not misses, "; ".join(misses)

    return test_vector


def marks(name: str, backend: str) -> list[pytest.MarkDecorator]:
    """Return the marks of a file by its name: none, slow, or slow and exhaustive."""
    exhaustive = EXHAUSTIVE + EXHAUSTIVE_ON_MINDSPORE * (backend == "mindspore")
    found = {"slow": name.startswith(SLOW), "exhaustive": name.startswith(exhaustive)}
    return [getattr(pytest.mark, mark) for mark, holds in found.items() if holds]
