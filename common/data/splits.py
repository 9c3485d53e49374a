"""Labelled target images: which of them a semi-supervised method may see the labels of (DDM, section 2.5)."""

import random
from collections.abc import Sequence
from pathlib import Path

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


def labelled_split(config: SplitConfig | None, names: Sequence[str]) -> list[int]:
    """Return the positions of the labelled images within ``names``.

    Args:
        config: Count and seed, or the user's own list; None means that no image is labelled.
        names: Image names of the target training set, in its order.
    Returns:
        Positions in drawing order, or in the order of the user's list; empty for None.
    Raises:
        UserError: If neither or both of count and list are given, or the list names an image that is not there.
    """
    if config is None:
        return []
    if (config.count is None) == (config.list is None):
        raise UserError("data.labelled needs either count or list (a file with one image name a line)")
    if config.count is not None:
        return labelled_positions(len(names), config.count, config.seed)
    place = {name: i for i, name in enumerate(names)}
    wanted = list(dict.fromkeys(read_names(config.list)))
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
