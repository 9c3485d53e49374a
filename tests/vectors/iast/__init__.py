"""Runners of IAST's reference vectors; see tests/reference/iast/README.md."""

from tests.vectors.iast import data, losses, methods, networks

RUNNERS = {**data.RUNNERS, **losses.RUNNERS, **methods.RUNNERS, **networks.RUNNERS}
