"""Commands of ``prepare_data.py`` for what IAST's authors published beside their code: list files, configurations."""

import argparse
import tempfile
from pathlib import Path

import yaml

from common.config import load_config
from common.data.iast_lists import LISTS
from common.data.lists import write_json_list
from common.errors import UserError
from common.pseudo.folder import write_whole
from scripts.preparation.iast_official import imported


def write_lists(options: argparse.Namespace) -> None:
    """Write the shuffled list files of IAST's official code, for runs with method.fixed_order."""
    for name, entries in LISTS.items():
        print(f"{options.out / name}: {write_json_list(options.out / name, entries())} images")


def list_options(sub: argparse.ArgumentParser) -> None:
    """Add the options of ``write_lists``."""
    sub.add_argument("--out", type=Path, default=Path(), help="folder for the JSON files")


def write_config(options: argparse.Namespace) -> None:
    """Write one configuration that does what IAST's official YAML files say, one file a stage."""
    if options.out.exists():
        raise UserError(f"{options.out}: there already; remove it or name another file with --out")
    files = sorted(options.folder.glob("*.yaml")) if options.folder.is_dir() else [options.folder]
    tree = imported(files, options.out.stem, options.source_images)
    text = f"# IAST, from the official files {', '.join(file.name for file in files)}\n"
    text += yaml.safe_dump(tree, sort_keys=False, width=120)
    with tempfile.TemporaryDirectory() as scratch:  # read as a run will read it, before it stands where it is wanted
        trial = Path(scratch, options.out.name)
        trial.write_text(text, encoding="utf-8")
        try:
            config = load_config(trial)
        except UserError as error:
            told = str(error).replace(f"{scratch}/", "")
            raise UserError(f"{options.folder}: amounts to no valid run: {told}") from None
    write_whole(options.out, lambda file: file.write(text.encode()))
    print(f"{options.out}: {config.name}, begins with {config.method.begin}, {len(config.method.rounds)} rounds")


def config_options(sub: argparse.ArgumentParser) -> None:
    """Add the options of ``write_config``."""
    sub.add_argument("folder", type=Path, help="holds source_only.yaml, warmup_at.yaml, sl_1.yaml ...; or one file")
    sub.add_argument("--out", type=Path, default=Path("iast.yaml"), help="configuration to write (%(default)s)")
    sub.add_argument("--source-images", type=int, metavar="N", help="an epoch's length, where the list is not there")
