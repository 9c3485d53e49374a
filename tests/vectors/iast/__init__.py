"""Runners of IAST's reference vectors; see tests/reference/iast/README.md."""

from tests.vectors.iast import data, losses, methods, networks, steps

RUNNERS = {**data.RUNNERS, **losses.RUNNERS, **methods.RUNNERS, **networks.RUNNERS, **steps.RUNNERS}
