"""Runners of AuG-KD's reference vectors; see tests/reference/augkd/README.md."""

from tests.vectors.augkd import datafree, judging, losses, networks, rules, steps

_FILES = (losses, networks, rules, judging, steps, datafree)
RUNNERS = {stem: runner for file in _FILES for stem, runner in file.RUNNERS.items()}
