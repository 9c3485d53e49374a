"""The order of IAST's list files (Mei et al., ECCV 2020, official repository): GTA5 and SYNTHIA, shuffled once.

Training with ``fixed_order`` walks through a list in an order that depends on it, so runs that are to see what the
official code saw need these very lists. Those of Cityscapes are sorted by name, as a folder scan is.
"""

from functools import cache
from pathlib import Path

import numpy as np

_ORDERS = Path(__file__).with_name("iast_orders.npz")  # uint16 image numbers; no seed of theirs is known


def gta5_order() -> np.ndarray:
    """Return the numbers of the 24,941 GTA5 images of ``gtav_train.json`` in order, uint16; 25 are left out."""
    return _orders()["gta5"]


def synthia_order() -> np.ndarray:
    """Return the numbers of the 9,400 images of ``SYNTHIA_train.json`` in order, uint16."""
    return _orders()["synthia"]


def gta5_entries() -> list[tuple[str, str]]:
    """Return (image, label) of ``gtav_train.json``, relative to the dataset's root."""
    return [(f"images/{number:05d}.png", f"labels/{number:05d}.png") for number in gta5_order()]


def synthia_entries() -> list[tuple[str, str]]:
    """Return (image, label) of ``SYNTHIA_train.json``, relative to the dataset's root."""
    return [(f"RGB/{number:07d}.png", f"GT/LABELS/{number:07d}.png") for number in synthia_order()]


LISTS = {"gtav_train.json": gta5_entries, "SYNTHIA_train.json": synthia_entries}


@cache
def _orders() -> dict[str, np.ndarray]:
    with np.load(_ORDERS, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
