"""How many updates a parameter gets in a step: some official optimizers list parameters more than once."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase


def repeats_of(names: Iterable[str], patterns: Mapping[str, int]) -> list[int]:
    """Return the updates a step of every parameter.

    Args:
        names: Parameter names.
        patterns: Pattern of names, as file names are matched -> updates with the same gradient; the first that fits
            counts, and 1 where none does.
    """
    return [next((times for one, times in patterns.items() if fnmatchcase(name, one)), 1) for name in names]
