"""Draw the batches that a stage would be trained on: images, labels, and the mixing of domains.

    python scripts/show_batches.py ddm/toy --stage round1/region --out batches
    python scripts/show_batches.py ddm/toy --stage round2/sample --run runs/ddm/toy/torch --out batches

Writes STAGE-STEP.png, one picture a step. Stages that read pseudo-labels need the run that made them (--run).
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from common.accumulate import micro_batches  # noqa: E402
from common.cli import run  # noqa: E402
from common.config import load_config  # noqa: E402
from common.data.roles import open_roles  # noqa: E402
from common.errors import UserError  # noqa: E402
from common.methods import stages  # noqa: E402
from common.pictures import write_png  # noqa: E402
from common.preview import batch_sheet  # noqa: E402
from common.run_folder import RunFolder  # noqa: E402
from common.stage import StageContext  # noqa: E402


def main() -> None:
    """Parse the command line, build the batches, write their pictures."""
    options = _parser().parse_args()
    config = load_config(options.config, options.set)
    plan = {stage.name: stage for stage in stages(config) if stage.batches}
    if options.stage not in plan:
        raise UserError(f"--stage {options.stage}: no such stage with batches; there are: {', '.join(plan)}")
    stage, data = plan[options.stage], open_roles(config, checked=False)
    if stage.reads and options.run is None:
        raise UserError(f"{stage.name} reads the files of {', '.join(stage.reads)}: name their run with --run")
    folders = {name: RunFolder(options.run).stage(name).files for name in stage.reads}
    context = StageContext(stage.configured(config), data, stage.name, options.out, folders)
    build, each = micro_batches(stage, stage.rehearsed(context)), context.config.train.accumulate
    for number in range(options.step * each, (options.step + options.count) * each):
        path = options.out / f"{stage.name.replace('/', '-')}-{number:06d}.png"
        write_png(path, batch_sheet(build(number), data.classes))
        print(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a YAML file, or the name of one below common/configs")
    parser.add_argument("--stage", required=True, help="for example round1/region")
    parser.add_argument("--out", type=Path, required=True, help="folder that receives the pictures")
    parser.add_argument("--step", type=int, default=0, help="first step to draw")
    parser.add_argument("--count", type=int, default=4, help="number of steps")
    parser.add_argument("--run", type=Path, help="run folder that holds the pseudo-labels a stage reads")
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="override a key; may be repeated")
    return parser


if __name__ == "__main__":
    run(main)
