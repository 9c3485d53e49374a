"""Tiny toy streets for short runs, and where a configuration finds its roles on them."""

from collections.abc import Iterable
from pathlib import Path

from common.data.toy_streets import ToyStreets, generate

ROLES = {"source": "gta5", "target": "cityscapes", "val": "cityscapes"}  # role -> its folder


def draw_streets(folder: Path, streets: ToyStreets) -> list[str]:
    """Draw streets into a folder and return the changes of a configuration that make it read them."""
    generate(folder, streets)
    return roots(folder)


def roots(folder: Path, roles: Iterable[str] = ROLES) -> list[str]:
    """Return the changes that make these roles read streets that were drawn into a folder."""
    return [f"data.{role}.root={folder / ROLES[role]}" for role in roles]
