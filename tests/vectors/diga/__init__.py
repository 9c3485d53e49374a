"""Runners of DiGA's reference vectors; see tests/reference/diga/README.md."""

from tests.vectors.diga import data, losses, mechanics, memory, networks, steps

RUNNERS = {
    **data.RUNNERS, **losses.RUNNERS, **mechanics.RUNNERS, **memory.RUNNERS, **networks.RUNNERS, **steps.RUNNERS,
}  # fmt: skip
