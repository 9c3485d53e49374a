"""Measure speed and memory as ratios within one run, and print one table.

    python scripts/benchmark.py                 # all rows
    python scripts/benchmark.py train_step      # one part: train_step, conversion, instance_selector, memory
    python scripts/benchmark.py --threads 1     # CPU threads of either framework
"""

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from common.cli import run  # noqa: E402

PARTS = ("train_step", "conversion", "instance_selector", "memory")


def main() -> int:
    """Run the parts that were asked for and print their rows; 1 when a row misses what is wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help="all without it")
    parser.add_argument("--threads", type=int, help="CPU threads; the frameworks' choice without it")
    options = parser.parse_args()
    if options.threads:
        os.environ["OMP_NUM_THREADS"] = str(options.threads)
    rows = [row for part in options.parts or PARTS for row in _rows(part)]
    table = Table("what", "ours", "theirs", "wanted", "verdict")
    for row in rows:
        table.add_row(*(row[column.header] for column in table.columns))
    Console(width=120).print(table)
    return int(any(row["verdict"] != "ok" for row in rows))


def _rows(part: str) -> list[dict[str, str]]:
    """Run one part; its modules, and the frameworks behind them, are imported only then."""
    if part == "train_step":
        from scripts.benchmarks import train_step

        return train_step.rows()
    if part == "instance_selector":
        from scripts.benchmarks import instance_selector

        return [instance_selector.row()]
    if part == "memory":
        from scripts.benchmarks import memory

        return memory.rows()
    from scripts.benchmarks import conversion

    return [conversion.row()]


if __name__ == "__main__":
    run(main)
