"""Which runner a vector file belongs to: by system (folder) and by the longest known stem of its name."""

from pathlib import Path

from tests.vectors import Runner, augkd, ddm, diga, iast, s3d

SYSTEMS: dict[str, dict[str, Runner]] = {
    "augkd": augkd.RUNNERS,
    "ddm": ddm.RUNNERS,
    "diga": diga.RUNNERS,
    "iast": iast.RUNNERS,
    "s3d": s3d.RUNNERS,
}


def system_of(file: Path, top: Path) -> str | None:
    """Return the system named by the nearest folder above ``file``; None when no folder tells."""
    return next((part for part in reversed(file.resolve().parts[:-1]) if part in SYSTEMS), None)


def runner_for(system: str | None, stem: str) -> Runner | None:
    """Return the runner whose stem is the longest that begins ``stem``; None when there is none."""
    table = SYSTEMS.get(system or "", {})
    known = [name for name in table if stem.startswith(name)]
    return table[max(known, key=len)] if known else None
