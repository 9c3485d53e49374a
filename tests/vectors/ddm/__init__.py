"""Runners of DDM's reference vectors; see tests/reference/ddm/README.md."""

from tests.vectors.ddm import data, losses, methods, networks, steps

RUNNERS = {**data.RUNNERS, **losses.RUNNERS, **methods.RUNNERS, **networks.RUNNERS, **steps.RUNNERS}
