"""Runners of IAST's reference vectors; see tests/reference/iast/README.md."""

from tests.vectors.iast import data, methods

RUNNERS = {**data.RUNNERS, **methods.RUNNERS}
