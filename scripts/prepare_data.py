"""Check datasets, and write what they lack.

    python scripts/prepare_data.py toy data/toy                          # draw the embedded benchmark of segmentation
    python scripts/prepare_data.py digits data/digits                    # unpack that of classification
    python scripts/prepare_data.py check ddm/toy                         # read every file that a configuration names
    python scripts/prepare_data.py trainids data/cityscapes              # write *_gtFine_labelTrainIds.png
    python scripts/prepare_data.py synthia data/RAND_CITYSCAPES          # write parsed_LABELS from 16 bit GT/LABELS
    python scripts/prepare_data.py lists cityscapes data/cityscapes --split train --out train.txt
    python scripts/prepare_data.py splits train.txt --counts 100 200 --out splits
    python scripts/prepare_data.py iast-lists --out data/lists           # the order of IAST's official runs
    python scripts/prepare_data.py iast-config code/config/NAME/run_task # IAST's official YAML files as one of ours
    python scripts/prepare_data.py shots data/mine --domain photos --shots 1 3 --out data/mine/txt
    python scripts/prepare_data.py official data/txt                     # are the lists of DomainNet the official ones?
    python scripts/prepare_data.py cifar data/cifar-100-python --out data/cifar100
    python scripts/prepare_data.py cache ddm/gta5_to_cityscapes_100 --folder data/cache
    python scripts/prepare_data.py translate ddm/gta5_to_cityscapes_100 --folder data/translated

CONFIG is a YAML file or the name of one below common/configs. Every command may be cut short and run again: what is
there already is left alone. 'COMMAND --help' explains the options.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402
from rich.progress import track  # noqa: E402

from common.cli import run  # noqa: E402
from common.config import Config, load_config  # noqa: E402
from common.data import prepare, toy_streets  # noqa: E402
from common.data.cache import Cache  # noqa: E402
from common.data.check import check_all  # noqa: E402
from common.data.dataset import ImageDataset  # noqa: E402
from common.data.lists import read_names, write_list  # noqa: E402
from common.data.roles import Roles, open_roles  # noqa: E402
from common.data.segmentation import SegmentationDataset  # noqa: E402
from common.data.splits import COUNTS, SEED, labelled_positions, write_split  # noqa: E402
from common.data.translation import translate  # noqa: E402
from common.errors import UserError  # noqa: E402
from common.schema import DatasetConfig, Size  # noqa: E402
from scripts.preparation import classes, iast  # noqa: E402

ROLES = ("source", "source_val", "target", "labelled", "val", "test")
SHOWN = 20  # problems that a check prints of each dataset


def main() -> int | None:
    """Parse the command line and run one command; return the exit status."""
    options = _parser().parse_args()
    return options.command(options)


def toy(options: argparse.Namespace) -> None:
    """Draw the embedded benchmark "toy streets"."""
    wanted = toy_streets.ToyStreets(options.source, options.train, options.val, tuple(options.size), options.seed)
    drawn = toy_streets.generate(options.root, wanted)
    counts = f"{wanted.source} game images, {wanted.train} + {wanted.val} camera images"
    print(f"{options.root}: {counts}, {'drawn' if drawn else 'there already'}")


def check(options: argparse.Namespace) -> int:
    """Read every image and label of a configuration and print all problems; exit status 2 if there is one."""
    config = load_config(options.config, options.set)
    roles, wrong = open_roles(config, checked=False), 0
    for role, dataset in _datasets(roles, options.role):
        report = check_all(dataset, roles.must_have_labels(role))
        print(f"data.{role}: {report.line()}")
        print(f"    {report.shares(roles.classes.names, dataset.ignored)}")
        for problem in report.problems[:SHOWN]:
            print(f"data.{role}: {problem}", file=sys.stderr)
        if len(report.problems) > SHOWN:
            print(f"data.{role}: and {len(report.problems) - SHOWN} more", file=sys.stderr)
        wrong += len(report.problems)
    return 2 if wrong else 0


def trainids(options: argparse.Namespace) -> None:
    """Write 19-class train ids beside the label ids of Cityscapes."""
    files = prepare.cityscapes_labels(options.root)
    _report(options.root, _in_threads(prepare.write_train_ids, files, options.workers), len(files))


def synthia(options: argparse.Namespace) -> None:
    """Write 8 bit labels from SYNTHIA's 16 bit ones."""
    files = prepare.synthia_labels(options.root)
    _report(
        options.root,
        _in_threads(partial(prepare.parse_synthia_label, options.root), files, options.workers),
        len(files),
    )


def lists(options: argparse.Namespace) -> None:
    """Write the list file of a dataset in an official layout."""
    config = DatasetConfig(layout=options.layout, root=options.root, split=options.split, label_ids=options.label_ids)
    out = options.out or options.root / f"{options.split or 'all'}.txt"
    print(f"{out}: {write_list(out, prepare.list_entries(config, options.pairs))} lines")


def splits(options: argparse.Namespace) -> None:
    """Draw which images of a list are labelled, one file for each count."""
    names = read_names(options.list)
    for count in options.counts:
        path = options.out / f"labelled_{count}.txt"
        write_split(path, names, labelled_positions(len(names), count, options.seed))
        print(f"{path}: {count} of {len(names)} images")


def cache(options: argparse.Namespace) -> None:
    """Write resized images and labels, for the key ``cache`` of a dataset."""
    config = load_config(options.config, options.set)
    if config.task == "classification":
        raise UserError(f"{config.name}: images of classification are small and read as they are; there is no cache")
    roles = open_roles(config, checked=False)
    for role, dataset in _datasets(roles, options.role):
        folder = options.folder or dataset.config.cache
        if folder is None:
            raise UserError(f"data.{role}.cache is not set: set it, or name the folder with --folder")
        sizes, label_sizes = _sizes(config, role, dataset)
        write = partial(Cache(folder).write, dataset, sizes=sizes, label_sizes=label_sizes)
        written = sum(_in_threads(write, range(len(dataset)), options.workers))
        print(f"data.{role}: {len(dataset)} images as {sizes or 'they are'}, {written} files written to {folder}")


def translate_source(options: argparse.Namespace) -> None:
    """Write the source images in the colours of target images, for ``data.colour: {mode: cached, cache: FOLDER}``."""
    config = load_config(options.config, options.set)
    roles, folder = open_roles(config, checked=False), options.folder or config.data.colour.cache
    if folder is None:
        raise UserError("data.colour.cache is not set: set it, or name the folder with --folder")
    if roles.source is None or roles.target is None:
        raise UserError(f"{config.name}: translation needs data.source and data.target")
    done = translate(roles.source, roles.target, folder, config.seed)
    count = sum(1 for _ in _shown(done, len(roles.source)))
    print(f"{folder}: {count} translated images")


def _sizes(config: Config, role: str, dataset: SegmentationDataset) -> tuple[list[Size], list[Size]]:
    """Sizes in which a configuration reads images and labels: the dataset's, and the region teacher's of the source."""
    own, labels = dataset.config.size, dataset.config.label_size or dataset.config.size
    images, maps = [own], [labels]
    if role == "source" and hasattr(config.method, "rl_source_size") and config.data.target:
        region = config.method.rl_source_size or config.data.target.size
        images, maps = [*images, region], [*maps, region]
    return list(dict.fromkeys(filter(None, images))), list(dict.fromkeys(filter(None, maps)))


def _datasets(roles: Roles, wanted: list[str]) -> list[tuple[str, ImageDataset]]:
    return [(role, dataset) for role, dataset in roles.named().items() if not wanted or role in wanted]


def _in_threads(work: Callable, items: Iterable, workers: int) -> list:
    """Do ``work`` on every item, in threads (Pillow and zlib leave Python's lock), with a progress bar."""
    items = list(items)
    with ThreadPoolExecutor(workers) as pool:
        try:
            return list(_shown(pool.map(work, items), len(items)))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _shown(items: Iterable, total: int) -> Iterator:
    """Pass items on under a progress bar, where a person is watching."""
    watched = sys.stderr.isatty()
    return iter(track(items, "files", total, transient=True, disable=not watched, console=Console(stderr=True)))


def _report(root: Path, written: list[bool], total: int) -> None:
    print(f"{root}: {total} labels, {sum(written)} written, {total - sum(written)} there already")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(work: Callable, name: str, example: str) -> argparse.ArgumentParser:
        text = f"{work.__doc__.splitlines()[0]}\n\n    python scripts/prepare_data.py {name} {example}"
        raw = argparse.RawDescriptionHelpFormatter
        sub = commands.add_parser(name, help=work.__doc__.splitlines()[0], description=text, formatter_class=raw)
        sub.set_defaults(command=work)
        return sub

    _toy_options(command(toy, "toy", "data/toy"))
    for work, name in ((check, "check"), (cache, "cache"), (translate_source, "translate")):
        _config_options(command(work, name, "ddm/gta5_to_cityscapes_100"), name)
    for work, name, root in ((trainids, "trainids", "data/cityscapes"), (synthia, "synthia", "data/RAND_CITYSCAPES")):
        sub = command(work, name, root)
        sub.add_argument("root", type=Path, help="root folder of the dataset")
        _workers(sub)
    _list_options(command(lists, "lists", "cityscapes data/cityscapes --split train --out train.txt"))
    classes.digits_options(command(classes.write_digits, "digits", "data/digits"))
    shots = "data/mine --domain photos --shots 1 3 --out data/mine/txt"
    classes.shots_options(command(classes.write_shots, "shots", shots))
    classes.official_options(command(classes.check_official, "official", "data/txt"))
    classes.cifar_options(command(classes.unpack_cifar, "cifar", "data/cifar-100-python --out data/cifar100"))
    _split_options(command(splits, "splits", "train.txt --counts 100 200 --out splits"))
    iast.list_options(command(iast.write_lists, "iast-lists", "--out data/lists"))
    iast.config_options(command(iast.write_config, "iast-config", "code/config/NAME/run_task --out mine.yaml"))
    return parser


def _toy_options(sub: argparse.ArgumentParser) -> None:
    default = toy_streets.ToyStreets()
    sub.add_argument("root", type=Path, help="folder to appear; holds gta5/ (the game) and cityscapes/ (the camera)")
    sub.add_argument("--source", type=int, default=default.source, help="game images (%(default)s)")
    sub.add_argument("--train", type=int, default=default.train, help="camera training images (%(default)s)")
    sub.add_argument("--val", type=int, default=default.val, help="camera validation images (%(default)s)")
    sub.add_argument("--size", type=int, nargs=2, default=default.size, metavar=("W", "H"), help="pixels (256 128)")
    sub.add_argument("--seed", type=int, default=default.seed, help="another seed draws other streets (%(default)s)")


def _config_options(sub: argparse.ArgumentParser, name: str) -> None:
    sub.add_argument("config", help="a YAML file, or the name of one below common/configs")
    sub.add_argument("--set", action="append", default=[], metavar="A.B=C", help="override a key; may be repeated")
    if name != "translate":
        sub.add_argument("--role", action="append", choices=ROLES, help="only this dataset; may be repeated")
    if name != "check":
        sub.add_argument("--folder", type=Path, help="folder to write to, where the configuration names none")
    if name == "cache":
        _workers(sub)


def _list_options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("layout", choices=("gta5", "synthia", "cityscapes"), help="how the folders are laid out")
    sub.add_argument("root", type=Path, help="root folder of the dataset")
    sub.add_argument("--split", help="cityscapes: train, val or test")
    sub.add_argument("--pairs", action="store_true", help="write image and label, both relative to the root")
    sub.add_argument("--label-ids", choices=("ids", "train_ids"), default="ids", help="which labels --pairs lists")
    sub.add_argument("--out", type=Path, help="file to write; ROOT/SPLIT.txt without it")


def _split_options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("list", type=Path, help="list file of the target training images, as 'lists' writes it")
    sub.add_argument("--counts", type=int, nargs="+", default=COUNTS, help="images with labels (%(default)s)")
    sub.add_argument("--seed", type=int, default=SEED, help="of random.sample (%(default)s)")
    sub.add_argument("--out", type=Path, default=Path(), help="folder for labelled_COUNT.txt")


def _workers(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="threads (%(default)s)")


if __name__ == "__main__":
    run(main)
