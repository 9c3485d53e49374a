"""Runners of AuG-KD's reference vectors; see tests/reference/augkd/README.md."""

from tests.vectors.augkd import losses, networks

RUNNERS = {**losses.RUNNERS, **networks.RUNNERS}
