"""Runners of AuG-KD's reference vectors; see tests/reference/augkd/README.md."""

from tests.vectors.augkd import losses, networks, rules, steps

RUNNERS = {**losses.RUNNERS, **networks.RUNNERS, **rules.RUNNERS, **steps.RUNNERS}
