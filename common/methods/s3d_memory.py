"""What S3D's second stage remembers beside weights; a part of every checkpoint."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Self

import numpy as np

from common.keys import check_keys


@dataclass(frozen=True)
class Memory:
    """Pseudo-labels and what is fixed when the stage begins.

    Attributes:
        labels: (U,) int64 pseudo-labels of the unlabelled images in file order, -1 for none; empty before the first.
        threshold: () float32, the mean margin of the network that the stage began with.
        ramp_start: () int64, place on the ramp of the distillation's weight at which the stage began.
        refreshed: () int64, the step at which the labels were made.
    """

    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    threshold: np.ndarray = field(default_factory=lambda: np.zeros((), np.float32))
    ramp_start: np.ndarray = field(default_factory=lambda: np.zeros((), np.int64))
    refreshed: np.ndarray = field(default_factory=lambda: np.zeros((), np.int64))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything by name."""
        return {name: np.array(value) for name, value in asdict(self).items()}

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Return the memory that ``arrays`` describes.

        Raises:
            UserError: If a name is missing or unknown.
        """
        check_keys(dict.fromkeys(cls().arrays(), ()), dict.fromkeys(arrays, ()), "the memory of S3D")
        return cls(**{name: np.array(value) for name, value in arrays.items()})
