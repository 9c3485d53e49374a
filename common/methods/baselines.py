"""The rows that every method is compared with: ``baselines: [source_only, joint, mme]``, one stage each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from common.methods.ssda import ssda_stage
from common.methods.supervised import Domains, supervised_stage
from common.stage import Stage

if TYPE_CHECKING:
    from common.config import Config

Baseline = Literal["source_only", "target_only", "joint", "ent", "mme", "ape"]


def baseline_stages(config: Config) -> list[Stage]:
    """Return the comparison rows that ``baselines`` lists, under the method's loss weights.

    They see the images as they are: translating the source's colours is a part of the methods they are compared with.

    Raises:
        UserError: If a row does not belong to the configuration's method or needs data that it does not name.
    """
    return [_stage(config, row, f"baselines/{row}") for row in config.baselines]


def _stage(config: Config, row: Baseline, name: str) -> Stage:
    if row in get_args(Domains):
        return supervised_stage(config, row, name, colour=False)
    return ssda_stage(config, row, name)
