"""Commands of ``prepare_data.py`` for classification: the embedded digits, K-shot lists, official lists, CIFAR."""

import argparse
from pathlib import Path

from common.data import digits, shots
from common.data.cifar import write_folders
from common.data.class_folders import ClassFolders
from common.data.labels import class_set
from common.data.lists import read_class_list
from common.data.official_lists import differing_lists
from common.data.roles import open_dataset
from common.data.splits import SEED
from common.schema import ClassesConfig, ClassificationDatasetConfig


def write_digits(options: argparse.Namespace) -> None:
    """Write the embedded benchmark "digits": handwritten digits of two origins, from installed packages."""
    for name, (train, test) in digits.write_digits(options.root, options.seed).items():
        print(f"{options.root}/{name}: {train} images for training, {test} for the test; lists in {options.root}/txt")


def digits_options(sub: argparse.ArgumentParser) -> None:
    """Add the options of ``write_digits``."""
    sub.add_argument("root", type=Path, help="folder that receives mnist/, optdigits/ and txt/")
    sub.add_argument("--seed", type=int, default=SEED, help="draws the labelled images (%(default)s)")


def write_shots(options: argparse.Namespace) -> None:
    """Draw K labelled images of each class of a domain and write the lists that S3D and MME read."""
    if options.images.is_dir():
        layout = ClassificationDatasetConfig(layout="class_folders", root=options.images, domains=(options.domain,))
        names = ClassFolders.class_names(layout)
        dataset = open_dataset(layout, class_set(ClassesConfig(set="custom", names=names)))
        entries = [(item.name, item.label) for item in dataset.items]
    else:
        entries = [entry for entry in read_class_list(options.images) if entry[1] is not None]
    for path in shots.write_lists(options.out, options.domain, entries, options.shots, options.seed):
        print(f"{path}: {len(path.read_text(encoding='utf-8').splitlines())} images")


def shots_options(sub: argparse.ArgumentParser) -> None:
    """Add the options of ``write_shots``."""
    sub.add_argument("images", type=Path, help="root above the domain's class folders, or a list 'image label'")
    sub.add_argument("--domain", required=True, help="folder of the domain below the root; part of the lists' names")
    sub.add_argument("--shots", type=int, nargs="+", default=(1, 3), help="labelled images a class (%(default)s)")
    sub.add_argument("--seed", type=int, default=SEED, help="another seed draws others (%(default)s)")
    sub.add_argument("--out", type=Path, required=True, help="folder for the lists")


def check_official(options: argparse.Namespace) -> int:
    """Compare copies of the official lists of DomainNet, Office-Home and Office-31 with the published ones."""
    found = list(differing_lists(options.folder))
    wrong = [(name, what) for name, what in found if what]
    for name, what in wrong:
        print(f"{options.folder / name}: {what}")
    print(f"{options.folder}: {len(found) - len(wrong)} of {len(found)} lists are the official ones")
    return 2 if wrong else 0


def official_options(sub: argparse.ArgumentParser) -> None:
    """Add the options of ``check_official``."""
    sub.add_argument("folder", type=Path, help="holds multi/, office_home/ or office/ with their lists")


def unpack_cifar(options: argparse.Namespace) -> None:
    """Write CIFAR-10 or CIFAR-100, as published in Python pickles, as class folders of PNG files."""
    from convert.formats.values import read_values  # reads pickles without executing them

    for line in write_folders(options.root, options.out, read_values):
        print(line)


def cifar_options(sub: argparse.ArgumentParser) -> None:
    """Add the options of ``unpack_cifar``."""
    sub.add_argument("root", type=Path, help="cifar-10-batches-py or cifar-100-python")
    sub.add_argument("--out", type=Path, required=True, help="folder that receives train/ and test/")
