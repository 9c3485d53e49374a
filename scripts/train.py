"""Train a method, all its stages and the rows it is compared with, on one framework.

    python scripts/train.py ddm/toy --backend torch
    python scripts/train.py ddm/toy --backend mindspore --set optim.lr=1e-4 --out runs/trial
    python scripts/train.py ddm/toy --backend torch --resume            # go on where the run was cut
    python scripts/train.py ddm/toy --backend torch --dry-run           # check everything, save nothing
    python scripts/train.py ddm/toy --backend torch --seed 2            # beside the others: runs/ddm/toy/torch-seed2

CONFIG is a YAML file or the name of one below common/configs. The run is written to OUT/NAME/BACKEND: config.yaml,
command.txt, metrics.jsonl, tensorboard/, stages/, report/. Ctrl-C and SIGTERM save a checkpoint and stop.
Several devices: scripts/train_gpu.sh and scripts/train_ascend.sh.
"""

import argparse
import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from common.backends import BACKENDS, open_backend  # noqa: E402
from common.cli import run  # noqa: E402
from common.config import Config, dump, load_config  # noqa: E402
from common.data.roles import open_roles  # noqa: E402
from common.engine import Engine  # noqa: E402
from common.errors import UserError  # noqa: E402
from common.log import RunLog  # noqa: E402
from common.methods import stages  # noqa: E402
from common.plan import plan_table, rehearse  # noqa: E402
from common.report.collect import read_run  # noqa: E402
from common.report.page import write_report  # noqa: E402
from common.report.results import summary_table  # noqa: E402
from common.run_folder import RunFolder  # noqa: E402
from common.stop import Stopped  # noqa: E402


def main() -> int:
    """Parse the command line, train, write the report; return the exit status."""
    options = _parser().parse_args()
    config = load_config(options.config, [*options.set, *_overrides(options)])
    plan = stages(config)
    compiled = {"auto": None, "on": True, "off": False}[options.compile]
    backend = open_backend(options.backend, device=options.device, compile=compiled, threads=options.threads)
    folder = RunFolder(config.run_folder(backend.name, options.seed))
    try:
        if options.dry_run:
            return _dry_run(config, backend, plan, folder)
        return _train(config, backend, plan, folder, options)
    except Stopped as stopped:
        again = " ".join([*(word for word in _command() if word not in ("--resume", "--overwrite")), "--resume"])
        print(f"{stopped}; go on with: {again}", file=sys.stderr)
        return stopped.status
    finally:
        folder.close()
        backend.close()


def _train(config: Config, backend, plan: list, folder: RunFolder, options: argparse.Namespace) -> int:
    roles, writer = open_roles(config), backend.rank == 0
    if config.network.weights and not config.network.weights.is_file():
        raise UserError(f"network.weights: {config.network.weights}: no such file")
    if writer:  # what can be seen to fail has failed by now: no old run is overwritten in vain
        folder.open(dump(config), " ".join(_command()), options.resume, options.overwrite)
    backend.barrier()
    log = RunLog(folder if writer else None)
    log.note(f"{config.name} on {backend.name}, {backend.world} x {backend.device}: {folder.path}")
    Engine(config, backend, plan, roles, folder, log).run(options.stages)
    if writer:
        found = [read_run(folder.path)]
        write_report(found, folder.report)
        log.console.print(summary_table(found).rich())
        log.note(f"report: {folder.report}/index.html")
    return 0


def _dry_run(config: Config, backend, plan: list, folder: RunFolder) -> int:
    log = RunLog(None)
    log.console.print(dump(config), soft_wrap=True)
    log.console.print(plan_table(plan).rich())
    roles = open_roles(config, checked=False)  # the rehearsal checks, and tells what it saw
    rehearse(Engine(config, backend, plan, roles, folder, log), log.console)
    return 0


def _overrides(options: argparse.Namespace) -> list[str]:
    """Return what the options of their own override in the configuration."""
    return [f"{key}={value}" for key in ("out", "seed") if (value := getattr(options, key)) is not None]


def _command() -> list[str]:
    return ["python", *map(shlex.quote, sys.argv)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a YAML file, or the name of one below common/configs")
    parser.add_argument("--backend", required=True, choices=BACKENDS, help="the framework that trains")
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="override a key; may be repeated")
    parser.add_argument("--out", help="folder of all runs, instead of the configuration's 'out'")
    parser.add_argument("--seed", type=int, help="another seed; the run goes to OUT/NAME/BACKEND-seedN")
    parser.add_argument("--resume", action="store_true", help="go on with the run in its folder")
    parser.add_argument("--overwrite", action="store_true", help="remove the run in its folder and begin anew")
    parser.add_argument("--stages", default="*", metavar="PATTERN,...", help="only these stages, as 'round1/*'")
    parser.add_argument("--dry-run", action="store_true", help="print config and plan, check data, do one step")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ascend")
    parser.add_argument("--compile", default="auto", choices=("auto", "on", "off"), help="compile steps to graphs")
    parser.add_argument("--threads", type=int, help="CPU threads; the framework's choice without it")
    return parser


if __name__ == "__main__":
    run(main)
