"""Which images of a set carry labels for a semi-supervised method, and which part of a set has which purpose."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from common.data.lists import read_names
from common.errors import UserError
from common.schema import SplitConfig

COUNTS = (100, 200, 500, 1000, 2975)  # the paper's
SEED = 1234


def labelled_positions(total: int, count: int, seed: int = SEED) -> list[int]:
    """Draw the labelled images as the official code does: ``random.seed(seed); random.sample(files, count)``.

    Args:
        total: Number of training images, in the order of the list (alphabetical).
        count: How many are labelled.
        seed: The paper's is 1234.
    Returns:
        ``count`` different positions within ``range(total)``, in drawing order; 200 of them begin with the 100,
        500 and 1000 do not (Python's sampling changes its algorithm).
    Raises:
        UserError: If more are asked for than there are.
    """
    if count > total:
        raise UserError(f"labelled.count is {count}, but the target has only {total} training images")
    return random.Random(seed).sample(range(total), count)


def shots_of_each(
    labels: Sequence[int], shots: int, seed: int = SEED, left_out: Sequence[int] = (), classes: Sequence[str] = ()
) -> list[int]:
    """Draw the same number of images of each class, class by class: ``random.Random(seed).sample``.

    Args:
        labels: Class of each image; -1 where it is not known, which is never drawn.
        shots: Images of each class.
        seed: Another seed draws others.
        left_out: Positions that are not drawn.
        classes: Their names, for the message.
    Returns:
        Positions within ``labels``, ascending within a class, classes ascending.
    Raises:
        UserError: If a class has fewer images.
    """
    taken, rng, drawn = set(left_out), random.Random(seed), []
    for label in sorted({one for one in labels if one >= 0}):
        pool = [i for i, one in enumerate(labels) if one == label and i not in taken]
        if len(pool) < shots:
            which = f"class {label}" + (f" ({classes[label]})" if label < len(classes) else "")
            raise UserError(f"{shots} images of each class are to be labelled, but {which} has only {len(pool)}")
        drawn += sorted(rng.sample(pool, shots))
    return drawn


def labelled_split(
    config: SplitConfig | Literal["all"] | None,
    names: Sequence[str],
    labels: Sequence[int] | None = None,
    classes: Sequence[str] = (),
) -> list[int]:
    """Return the positions of the labelled images within ``names``.

    Args:
        config: Count and seed, shots and seed, or the user's own list; None means that no image is labelled.
        names: Image names of the target training set, in its order.
        labels: Class of each image, for classification.
        classes: Names of the classes, for messages.
    Returns:
        Positions in drawing order, or in the order of the user's list; empty for None.
    Raises:
        UserError: If not exactly one of count, shots and list is given, or the list names an image that is not there.
    """
    if config is None:
        return []
    if config == "all":
        return list(range(len(names)))
    if sum(value is not None for value in (config.count, config.shots, config.list)) != 1:
        raise UserError("data.labelled needs one of count, shots and list (a file with one image name a line)")
    if config.shots is not None:
        if labels is None:
            raise UserError("data.labelled.shots is for classification; set count")
        return shots_of_each(labels, config.shots, config.seed, classes=classes)
    if config.count is not None:
        return labelled_positions(len(names), config.count, config.seed)
    place = {name: i for i, name in enumerate(names)}
    wanted = list(dict.fromkeys(read_names(config.list)))[:: config.every]
    missing = [name for name in wanted if name not in place]
    if missing:
        raise UserError(
            f"{config.list}: {len(missing)} of {len(wanted)} images are not in the target set, first '{missing[0]}'; "
            f"names look like '{names[0]}'"
        )
    return [place[name] for name in wanted]


def write_split(path: Path, names: Sequence[str], positions: Sequence[int]) -> None:
    """Write a split as a list file that ``data.labelled.list`` reads: one image name a line, in drawing order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{names[i]}\n" for i in positions), encoding="utf-8")


def parse_ratios(text: str) -> list[float]:
    """Return the shares that a text such as ``"8:1:1"`` states; they add up to 1 (AuG-KD's official code).

    Raises:
        UserError: If the text is not made of positive numbers with colons between them.
    """
    try:
        shares = [float(share) for share in text.split(":")]
    except ValueError:
        shares = []
    if not shares or not all(np.isfinite(shares)) or min(shares) < 0 or not sum(shares):
        raise UserError(f"ratios: '{text}' is not of the form 8:1:1")
    return [share / sum(shares) for share in shares]


def part_sizes(total: int, ratios: Sequence[float]) -> list[int]:
    """Return how many of ``total`` images fall to each part: shares cut to integers, the last part takes the rest."""
    sizes = [int(share * total) for share in ratios[:-1]]
    return [*sizes, total - sum(sizes)]


def split_domains(permutations: Sequence[Sequence[int]], ratios: Sequence[float]) -> list[list[tuple[int, int]]]:
    """Split every domain alike and put the parts of all domains together (AuG-KD's official code).

    Args:
        permutations: Of each domain, its images in random order.
        ratios: Shares of the parts, adding up to 1. The first part is for training, the others for scoring.
    Returns:
        Of each part, its (domain, image) in order.
    """
    parts: list[list[tuple[int, int]]] = [[] for _ in ratios]
    for domain, permutation in enumerate(permutations):
        stops = np.cumsum(part_sizes(len(permutation), ratios))
        for part, start, stop in zip(parts, [0, *stops], stops):
            part += [(domain, int(index)) for index in permutation[start:stop]]
    return parts
