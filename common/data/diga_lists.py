"""The image lists of DiGA's experiments (Shen et al., CVPR 2023)."""

from collections.abc import Sequence
from pathlib import Path

from common.data.lists import read_names, read_numbers

FOLDER = Path(__file__).parent / "lists"
HALF = FOLDER / "cityscapes_half.txt"  # 1,488 of Cityscapes' 2,975 training images, in order
REMOVED = FOLDER / "gta5_removed.txt"  # numbers of GTA5's images that the list leaves out
GTA5_IMAGES, SYNTHIA_IMAGES = 24_966, 9_400


def semi_split(share: int) -> list[str]:
    """Return the labelled images of one part in ``share``: every (share / 2)-th of the half.

    Args:
        share: 2, 4, 8 or 16.
    Returns:
        Names below ``leftImg8bit/train``, ``CITY/ID_leftImg8bit.png``: 1488, 744, 372 or 186.
    """
    return read_names(HALF)[:: share // 2]


def gta5_names() -> list[str]:
    """Return the 18,111 images of GTA5 that are used, ``00001.png`` and so on."""
    removed = read_numbers(REMOVED)
    return [f"{number:05d}.png" for number in range(1, GTA5_IMAGES + 1) if number not in removed]


def synthia_names() -> list[str]:
    """Return the 9,400 images of SYNTHIA, ``0000000.png`` and so on."""
    return [f"{number:07d}.png" for number in range(SYNTHIA_IMAGES)]


def unlabelled(names: Sequence[str], labelled: Sequence[str]) -> list[str]:
    """Return the names that are not labelled, in order."""
    known = set(labelled)
    return [name for name in names if name not in known]
