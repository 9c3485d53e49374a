"""What objectives of semantic segmentation share: the two-level cross entropy on a labelled batch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from mindspore import Tensor

from ms_impl.losses import segmentation_loss
from ms_impl.objective import Objective


class SegmentationObjective(Objective):
    """An objective whose network has a main and an auxiliary classifier."""

    def __init__(
        self, config: Any, backend: Any, frozen: Mapping[str, Mapping[str, np.ndarray]] | None = None
    ) -> None:
        """Arguments and errors as ``Objective``."""
        super().__init__(config, backend, frozen)
        self.lambda_main, self.lambda_aux = config.method.lambda_main, config.method.lambda_aux

    def segmentation(self, image: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return SEG: the weighted cross entropy of both classifiers, and its unweighted main and auxiliary parts.

        Args:
            image: (N, 3, H, W) uint8 RGB.
            label: (N, H, W) int32, 255 ignored.
        """
        aux, main = self.network(self.normalise(image))
        return segmentation_loss(aux, main, label, self.lambda_main, self.lambda_aux)
