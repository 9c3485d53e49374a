"""Scores over seeds: mean, spread, and the verdict of rung P4."""

from dataclasses import replace
from pathlib import Path

import pytest

from common.report import results
from common.report.collect import Row, Run
from common.report.seeds import seed_table


def run(backend: str, seed: int, score: float | None, name: str = "one") -> Run:
    """A finished run of one stage."""
    last = {"value": score, "summary": {"mIoU": score}, "iou": {}}
    row = Row("student", "student", last, None, 1.0, 10, Path("examples"))
    config = {"name": name, "seed": seed, "method": {"name": "ddm"}, "data": {}}
    return Run(Path("runs"), config, backend, {}, [row])


@pytest.mark.parametrize(
    ("ours", "theirs", "gap", "verdict"),
    [
        ([40.0, 43.0], [40.5, 44.0], "1.00", "agree"),  # one point at most, at each seed
        ([40.0, 43.0], [40.5, 44.1], "1.10", "needs more seeds"),
        ([40.0, 43.0, 45.0], [44.0, 44.1, 45.0], "4.00", "within the spread"),
        ([40.0, 41.0, 42.0], [43.0, 41.0, 42.0], "3.00", "apart"),  # a spread of 2 does not cover 3
        ([40.0, 41.0, 46.0], [43.0], "3.00", "within the spread"),
    ],
)
def test_verdict(ours: list[float], theirs: list[float], gap: str, verdict: str) -> None:
    """By the largest difference at one seed, against one point and against the spread over three seeds."""
    runs = [run("fake", seed, score) for seed, score in enumerate(ours)]
    runs += [run("other", seed, score) for seed, score in enumerate(theirs)]
    table = seed_table(runs)
    ((title, count, mean, *_),) = table.rows
    assert (title, count, mean) == ("DDM: student", str(len(ours)), f"{sum(ours) / len(ours):.2f}")
    assert table.rows[0][-2:] == (gap, verdict)


def test_one_framework_has_no_verdict() -> None:
    """Only its mean and spread; a stage without a score counts no seed."""
    table = seed_table([run("fake", 0, 10.0), run("fake", 1, 13.0), run("fake", 2, None)])
    assert table.header == ["row", "fake seeds", "fake mean", "fake spread"]
    assert table.rows == [("DDM: student", "2", "11.50", "3.00")]


def test_one_seed_is_no_table() -> None:
    """Nor are two frameworks of one seed each."""
    assert seed_table([run("fake", 0, 10.0), run("other", 0, 12.0)]) is None


def test_names_say_what_sets_runs_apart() -> None:
    """The framework, then the configuration's name, then the seed."""
    pair = [run("fake", 0, 1.0), run("other", 1, 1.0)]
    assert results.labels(pair) == ["fake", "other"]
    assert results.labels([*pair, run("fake", 1, 1.0)]) == ["fake seed 0", "other seed 1", "fake seed 1"]
    assert results.labels([run("fake", 0, 1.0), run("fake", 0, 1.0, "two")]) == ["one fake", "two fake"]
    both = [run("fake", 0, 1.0), run("fake", 1, 1.0, "two")]
    assert results.labels(both) == ["one fake seed 0", "two fake seed 1"]


@pytest.mark.parametrize(
    ("method", "title", "shown"),
    [("ddm", "student", "DDM: student"), ("s3d", "S3D", "S3D"), ("augkd", "AuG-KD", "AuG-KD")],
)
def test_the_last_row_says_once_which_method_it_is(method: str, title: str, shown: str) -> None:
    """Where its title does so already, nothing is put before it."""
    finished = run("fake", 0, 10.0)
    row = replace(finished.rows[0], title=title)
    config = {**finished.config, "method": {"name": method}}
    assert results.stages_of([replace(finished, config=config, rows=[row])]) == {"student": shown}
