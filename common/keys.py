"""What a set of weights lacks, has too many of, or has in another shape: three lists, then stop."""

from collections.abc import Mapping, Sequence

from common.errors import UserError

_SHOWN = 8


def check_keys(
    want: Mapping[str, tuple[int, ...]],
    got: Mapping[str, tuple[int, ...]],
    place: str,
    may_miss: Sequence[str] = (),
    may_exceed: Sequence[str] = (),
) -> None:
    """Compare the names and shapes of given weights with those that are needed.

    Args:
        want: Name -> shape of every parameter and buffer that is needed.
        got: Name -> shape of what is there.
        place: File or part that holds ``got``; begins the message.
        may_miss: Beginnings of names that ``got`` need not hold.
        may_exceed: Beginnings of names in ``got`` that are ignored when nothing needs them.
    Raises:
        UserError: With the missing, the unexpected and the misshapen names.
    """
    missing = [name for name in want if name not in got and not name.startswith(tuple(may_miss))]
    unexpected = [name for name in got if name not in want and not name.startswith(tuple(may_exceed))]
    misshapen = [
        f"{name} {tuple(got[name])}, want {tuple(want[name])}"
        for name in want
        if name in got and tuple(got[name]) != tuple(want[name])
    ]
    lists = {"missing": missing, "unexpected": unexpected, "other shape": misshapen}
    parts = [f"{title} ({len(names)}): {_list(names)}" for title, names in lists.items() if names]
    if parts:
        raise UserError(f"{place} does not fit the network: {'; '.join(parts)}")


def _list(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
