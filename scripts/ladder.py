"""Climb the parity ladder and print what was measured: how near to its tolerance each rung came.

    python scripts/ladder.py               # rungs P0 to P3, without the slow tests
    python scripts/ladder.py --slow        # all of P0 to P3 and P5: whole networks, ONNX, hand-over in mid-stage
    python scripts/ladder.py --rungs P2a P3

The tests of a rung are run as they stand; every comparison in them is recorded. A row shows how many there were, and
the one nearest to its tolerance: its error, max |a - b| / max |b|, beside what is allowed. P4 compares whole runs:
python scripts/report.py RUN RUN prints it. Exit status 1 when a test fails.
"""

import argparse
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import pytest  # noqa: E402

from common.cli import run  # noqa: E402
from tests import compare  # noqa: E402


@dataclass(frozen=True)
class Rung:
    """Tests that prove one thing: those whose identifiers match ``tests``, of these files and folders."""

    name: str
    what: str
    files: tuple[str, ...]
    tests: str = "."


LADDER = (
    Rung("P0", "contents of files after a way through `convert` and back", ("tests/convert/test_roundtrip.py",)),
    Rung(
        "P1",
        "logits and features of every network, evaluation",
        ("tests/parity",),
        r"test_logits_agree|test_features_latent|test_outputs_(agree|and)|test_networks_with_options|test_imported",
    ),
    Rung("P1", "the same of ONNX files against both", ("tests/parity",), "test_onnx_equals"),
    Rung("P2a", "losses and their gradients", ("tests/parity",), "test_value_and_gradient_agree"),
    Rung(
        "P2b",
        "gradients of every parameter, whole networks",
        ("tests/parity",),
        r"gradients(_and_statistics)?_of_the_smooth|test_gradients_of_the_statistics|test_running_statistics",
    ),
    Rung("P3", "ten optimizer steps on given gradients", ("tests/parity",), "test_ten_steps_agree"),
    Rung(
        "P3",
        "changes over three steps of every objective",
        ("tests/parity",),
        r"test_three_(compiled_)?steps|test_two_ranks_equal",
    ),
    Rung(
        "P5",
        "changes of a run handed over in mid-stage",
        ("tests/e2e",),
        r"goes_on_with_the_other|test_begun_on_one",
    ),
)


class Recorder:
    """Attributes every comparison of ``tests.compare`` to the rungs of the test that made it."""

    def __init__(self, rungs: list[Rung]):
        self.rungs = rungs
        self.found: dict[Rung, list[compare.Measured]] = {rung: [] for rung in rungs}
        self.ran: dict[Rung, int] = dict.fromkeys(rungs, 0)

    def of(self, test: str) -> list[Rung]:
        """Return the rungs to which a test belongs."""
        return [one for one in self.rungs if test.startswith(one.files) and re.search(one.tests, test)]

    def pytest_collection_modifyitems(self, config, items) -> None:
        """Leave out what belongs to no rung."""
        kept = [item for item in items if self.of(item.nodeid)]
        config.hook.pytest_deselected(items=[item for item in items if not self.of(item.nodeid)])
        items[:] = kept

    def pytest_runtest_setup(self, item) -> None:
        """Begin a test with an empty list."""
        compare.MEASURED.clear()

    def pytest_runtest_teardown(self, item) -> None:
        """Take what the test has measured."""
        for rung in self.of(item.nodeid):
            self.found[rung] += compare.MEASURED
            self.ran[rung] += 1


def main() -> int:
    """Run the tests and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slow", action="store_true", help="also the slow tests, and rung P5")
    parser.add_argument("--rungs", nargs="+", choices=sorted({one.name for one in LADDER}), help="only these")
    options = parser.parse_args()
    if options.rungs == ["P5"] and not options.slow:
        parser.error("all tests of P5 are slow: add --slow")
    rungs = [one for one in LADDER if not options.rungs or one.name in options.rungs]
    recorder = Recorder(rungs)
    marked = [] if options.slow else ["-m", "not slow"]
    files = sorted({str(ROOT / file) for one in rungs for file in one.files})
    status = pytest.main([*files, *marked, "-q", f"--rootdir={ROOT}", "-p", "no:cacheprovider"], plugins=[recorder])
    print("\n".join(table(recorder)))
    return int(status != 0)


def table(recorder: Recorder) -> list[str]:
    """Return the lines of the table, in Markdown."""
    lines = ["| rung | what | tests | comparisons | nearest: error | allowed |", "|---|---|---|---|---|---|"]
    for rung, found in recorder.found.items():
        if recorder.ran[rung]:
            nearest = max(found, key=compare.Measured.nearness, default=None)
            equal = nearest is None or not nearest.tolerance
            numbers = "equal to the bit | 0" if equal else f"{nearest} | {nearest.tolerance:.0e}"
            lines.append(f"| {rung.name} | {rung.what} | {recorder.ran[rung]} | {len(found)} | {numbers} |")
    return lines


if __name__ == "__main__":
    run(main)
