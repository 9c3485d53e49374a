"""Join finished runs, for example of both frameworks, in one report and print their scores side by side.

    python scripts/report.py runs/ddm/toy/mindspore runs/ddm/toy/torch --out runs/ddm/toy/report

Writes report.md, index.html (self-contained) and pictures/ to OUT, and prints the IoU of each class for the rows that
the method is compared with and for its last row, with the difference between two runs. Runs that differ in their seed
(scripts/train.py --seed N) are also joined over seeds: mean and spread, and whether the frameworks agree.
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402

from common.cli import run  # noqa: E402
from common.report import results  # noqa: E402
from common.report.collect import read_run  # noqa: E402
from common.report.page import main_stages, write_report  # noqa: E402
from common.report.seeds import seed_table  # noqa: E402


def main() -> int:
    """Parse the command line, write the report, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run folder, runs/NAME/BACKEND")
    parser.add_argument("--out", type=Path, help="report folder; without it, that of the first run")
    options = parser.parse_args()
    runs = [read_run(path) for path in options.runs]
    folder = options.out or options.runs[0] / "report"
    write_report(runs, folder)
    console = Console(highlight=False, width=max(Console().width, 120, 20 + 36 * len(main_stages(runs))))
    shown = [results.summary_table(runs), results.published_table(runs)] if results.stages_of(runs) else []
    if shown:
        console.print(results.short_table(runs, main_stages(runs)).rich())
    for table in filter(None, [*shown, shown and seed_table(runs), results.pseudo_table(runs)]):
        console.print(table.rich())
    console.print(f"report: {folder}/index.html")
    return 0


if __name__ == "__main__":
    run(main)
