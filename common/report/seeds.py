"""Scores over seeds: mean and spread of each framework, and whether the frameworks agree (rung P4 of the README)."""

from collections.abc import Sequence

from common.report import results
from common.report.collect import Run
from common.report.tables import NOTHING, Table, number
from common.tolerances import MIOU_POINTS

SEEDS = 3  # of one framework, before their spread counts as that of the training


def seed_table(runs: Sequence[Run]) -> Table | None:
    """Return one line a stage: scores over the seeds of each framework, and how far the frameworks are apart.

    Two frameworks agree on a stage when their scores differ by at most one point at every seed that both have run, or
    by no more than the spread (largest less smallest score) over three or more seeds of one of them.

    Args:
        runs: Runs of one configuration, of one or two frameworks.
    Returns:
        The table, scores in percent of the last weights; None when no framework has run more than one seed.
    """
    found = by_seed(runs)
    if max(len(seeds) for seeds in found.values()) < 2:
        return None
    header = ["row", *(f"{name} {what}" for name in found for what in ("seeds", "mean", "spread"))]
    pair = len(found) == 2
    table = Table("Scores in percent over seeds, last weights", header + ["gap", "verdict"] * pair)
    for stage, title in results.stages_of(runs).items():
        scores = [_scores(seeds, stage) for seeds in found.values()]
        cells = [cell for one in scores for cell in (str(len(one)), number(_mean(one)), number(_spread(one)))]
        table.add(title, *cells, *(_verdict(*scores) if pair else []))
    return table


def by_seed(runs: Sequence[Run]) -> dict[str, dict[int, Run]]:
    """Return framework -> seed -> run; of two runs of one seed the later one counts."""
    found: dict[str, dict[int, Run]] = {}
    for run in runs:
        found.setdefault(run.backend, {})[run.config["seed"]] = run
    return found


def _scores(seeds: dict[int, Run], stage: str) -> dict[int, float]:
    """Return seed -> score of a stage, for the runs that have it."""
    rows = {seed: run.row(stage) for seed, run in seeds.items()}
    return {seed: row.last["value"] for seed, row in rows.items() if row and row.last["value"] is not None}


def _mean(scores: dict[int, float]) -> float | None:
    return sum(scores.values()) / len(scores) if scores else None


def _spread(scores: dict[int, float]) -> float | None:
    return max(scores.values()) - min(scores.values()) if len(scores) > 1 else None


def _verdict(one: dict[int, float], other: dict[int, float]) -> tuple[str, str]:
    """Return the largest difference at one seed, and what it means."""
    common = one.keys() & other.keys()
    if not common:
        return NOTHING, NOTHING
    gap = max(abs(one[seed] - other[seed]) for seed in common)
    spreads = [_spread(scores) for scores in (one, other) if len(scores) >= SEEDS]
    if gap <= MIOU_POINTS:
        return number(gap), "agree"
    if spreads and gap <= max(spreads):
        return number(gap), "within the spread"
    return number(gap), "apart" if spreads else "needs more seeds"
