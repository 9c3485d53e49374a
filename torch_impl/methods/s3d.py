"""The train step of S3D's second stage (Yoon, Kang & Cho, WACV 2022, arXiv 2111.14353)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from common.methods.s3d_memory import Memory
from torch_impl.class_losses import confident_cross_entropy, cross_entropies, distillation
from torch_impl.methods.classification import ClassificationObjective
from torch_impl.nets.training import keep_statistics, set_mode, share_parameters


class S3D(ClassificationObjective):
    """``L_lab + w * KL(assistant || student) + L_unl`` on pairs of a labelled and an unlabelled image of its class."""

    def __init__(
        self, config: Any, backend: Any, frozen: Mapping[str, Mapping[str, np.ndarray]] | None = None
    ) -> None:
        """Arguments and errors as ``Objective``."""
        super().__init__(config, backend, frozen)
        s3d, self._memory = config.method, Memory()
        own = s3d.own_statistics
        self.own = self.network.OWN_STATISTICS if own == "official" else own
        self.points, self.temperature, self.still = s3d.points(), s3d.temperature, None
        if not s3d.assistant_counts:
            self.still = keep_statistics(share_parameters(self.network, self._new_network(self.network_config())))
            set_mode(self.still, True)

    def names(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Return ``loss``, and its unweighted parts of labelled images, distillation and unlabelled images."""
        return "loss", "labelled", "distillation", "unlabelled"

    def forward(
        self,
        labelled_image: Tensor,
        labelled_label: Tensor,
        unlabelled_image: Tensor,
        style_mix: Tensor,
        weight: Tensor,
        labelled_dropout: Tensor | None = None,
        unlabelled_dropout: Tensor | None = None,
        assistant_dropout: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Return the loss and its parts; the labelled images pass first, then the unlabelled and their assistants.

        Args:
            labelled_image: (N, 3, H, W) uint8 RGB, source and target.
            labelled_label: (N,) int32.
            unlabelled_image: (N, 3, H, W); partner i has the pseudo-label of labelled image i.
            style_mix: (points, N) float32: share of the labelled style at each style point.
            weight: () float32, of the distillation.
            labelled_dropout: (N, units) uint8; None where the network has no dropout.
            unlabelled_dropout: (N, units).
            assistant_dropout: (N, units).
        """
        network = self.network
        features, styles = network.embed(self.normalise(labelled_image), self.points, labelled_dropout)
        labelled = cross_entropies(network.classify(features)[1], labelled_label).mean()
        features, assistants = network.assist(
            self.normalise(unlabelled_image),
            styles,
            style_mix,
            self.own,
            unlabelled_dropout,
            assistant_dropout,
            self.still,
        )
        logits = network.classify(features)[1]
        distilled = distillation(logits, network.classify(assistants)[1], self.temperature)
        unlabelled = confident_cross_entropy(logits)
        return labelled + weight * distilled + unlabelled, labelled, distilled, unlabelled

    def memory(self) -> dict[str, np.ndarray]:
        """Return pseudo-labels, threshold, start of the ramp and the step at which the labels were made."""
        return self._memory.arrays()

    def load_memory(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take over what ``memory`` returned, of any number of images.

        Raises:
            UserError: If names differ.
        """
        self._memory = Memory.of(arrays)
