"""The framework-free half of every method: its options, its stages, and the batches of a stage.

A method is a list of stages; rounds are loops over them. The tensor half is in ``torch_impl/methods``
and ``ms_impl/methods``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from common.methods.augkd import AugKD
from common.methods.baselines import baseline_stages
from common.methods.ddm import DDM
from common.methods.diga import DiGA
from common.methods.iast import IAST
from common.methods.s3d import S3D
from common.methods.ssda import Ape, Ent, Mme
from common.methods.supervised import Supervised
from common.stage import Stage

if TYPE_CHECKING:
    from common.config import Config

METHODS = {
    "augkd": AugKD,
    "ddm": DDM,
    "diga": DiGA,
    "iast": IAST,
    "supervised": Supervised,
    "ent": Ent,
    "mme": Mme,
    "ape": Ape,
    "s3d": S3D,
}


def stages(config: Config) -> list[Stage]:
    """Return all stages of a run in order: the comparison rows of ``baselines``, then those of the method.

    Raises:
        UserError: If the method needs data that the configuration does not name.
    """
    return [*baseline_stages(config), *METHODS[config.method.name].stages(config)]


def of_stage(config: Config, weights: Path) -> Config:
    """Return the configuration of the stage in whose folder a file lies, which may have a network of its own.

    The section ``evaluate`` stays the run's: what a stage has otherwise there is for the scores while it trains.

    Args:
        config: Of the run.
        weights: A file of the run, below ``stages/NAME``; for any other file ``config`` itself is returned.
    """
    place = weights.resolve().as_posix()
    found = (stage for stage in stages(config) if f"/stages/{stage.name}/" in place)
    own = next((stage.configured(config) for stage in found), config)
    return own.model_copy(update={"evaluate": config.evaluate})
