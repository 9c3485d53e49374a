"""What objectives of semantic segmentation share: the two-level cross entropy on a labelled batch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from torch_impl.losses import segmentation_loss, valid_pixels
from torch_impl.objective import Objective


class SegmentationObjective(Objective):
    """An objective whose network has a main and, perhaps, an auxiliary classifier."""

    def __init__(
        self, config: Any, backend: Any, frozen: Mapping[str, Mapping[str, np.ndarray]] | None = None
    ) -> None:
        """Arguments and errors as ``Objective``."""
        super().__init__(config, backend, frozen)
        self._auxiliary = type(self.network).AUXILIARY
        self.lambda_main, self.lambda_aux = config.method.lambda_main, config.method.lambda_aux

    def segmentation(
        self, image: Tensor, label: Tensor, count: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return SEG: the weighted cross entropy of both classifiers, and its unweighted main and auxiliary parts.

        Means are over the valid pixels of the step: their mean over ranks and micro-batches is what one rank with all
        images computes.

        Args:
            image: (N, 3, H, W) uint8 RGB.
            label: (N, H, W) int32, 255 ignored.
            count: () float32, valid pixels of a batch on average where the step has several; see ``share``.
        """
        aux, main = self.classifiers(self.normalise(image))
        return self.mean_over_ranks(aux, main, label, count)

    def mean_over_ranks(
        self, aux: Tensor | None, main: Tensor, label: Tensor, count: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what ``segmentation`` does of raw logits (N, C, h, w) that are there already."""
        losses = segmentation_loss(aux, main, label, self.lambda_main, self.lambda_aux)
        if self.alone and count is None:
            return losses
        share = self.share(valid_pixels(label), count)
        return losses[0] * share, losses[1] * share, losses[2] * share

    def classifiers(self, images: Tensor) -> tuple[Tensor | None, Tensor]:
        """Return auxiliary (None without one) and main logits of normalised images (N, 3, H, W)."""
        outputs = self.network(images)
        return None if self._auxiliary is None else outputs[self._auxiliary], outputs[-1]
