"""The train step of APE: attract, perturb, explore (Kim & Kim, ECCV 2020, arXiv 2007.09375)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torch_impl.class_losses import attraction, cross_entropies, exploration
from torch_impl.compiled import Compiled
from torch_impl.methods.entropy import RoundsObjective
from torch_impl.nets.training import keep_statistics, set_mode, share_parameters
from torch_impl.passes import Done
from torch_impl.perturbation import adversarial_perturbation, perturbed_consistency


class Ape(RoundsObjective):
    """Round 1: cross entropy, attraction and exploration. Round 2: consistency under adversarial perturbation.

    Attributes:
        still: The network once more; in training it leaves the running statistics alone.
    """

    def __init__(
        self, config: Any, backend: Any, frozen: Mapping[str, Mapping[str, np.ndarray]] | None = None
    ) -> None:
        """Arguments and errors as ``Objective``."""
        super().__init__(config, backend, frozen)
        ape = config.method.ape
        self.threshold, self.sigmas = ape.threshold(config.network.name), ape.sigmas
        self.xi, self.eps = ape.xi, ape.eps
        self.lambda_attraction, self.lambda_consistency = ape.lambda_attraction, ape.lambda_consistency
        self.consistency = ape.consistency
        self.still = keep_statistics(share_parameters(self.network, self._new_network(self.network_config())))
        set_mode(self.still, True)
        self._perturb = Compiled(self._perturbation, backend.compile)

    def names(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Return ``first_round`` and its parts: the unweighted ``supervised``, ``exploration`` and ``attraction``."""
        return "first_round", "supervised", "exploration", "attraction"

    def second_names(self) -> tuple[str, ...]:
        """Return ``consistency``, times its weight."""
        return ("consistency",)

    def forward(
        self,
        source_image: Tensor,
        source_label: Tensor,
        target_image: Tensor,
        target_label: Tensor,
        unlabelled_image: Tensor,
        dropout: Tensor | None = None,
        unlabelled_dropout: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Return the loss of round 1 and its parts; the labelled images pass first, in one pass.

        Args:
            source_image: (N, 3, H, W) uint8 RGB.
            source_label: (N,) int32.
            target_image: (M, 3, H, W).
            target_label: (M,).
            unlabelled_image: (N + M, 3, H, W).
            dropout: (N + M, units) uint8, of the labelled images; None where the network has no dropout.
            unlabelled_dropout: (N + M, units).
        """
        images = torch.cat([source_image, target_image])
        _, latent, logits = self.network(self.normalise(images), dropout)
        _, unlabelled, unlabelled_logits = self.network(self.normalise(unlabelled_image), unlabelled_dropout)
        supervised = cross_entropies(logits, torch.cat([source_label, target_label])).mean()
        explored = exploration(unlabelled_logits, self.threshold)
        attracted = attraction(latent, unlabelled, self.sigmas)
        loss = supervised + explored + self.lambda_attraction * attracted
        return loss, supervised, explored, attracted

    def second(
        self,
        target_image: Tensor,
        unlabelled_image: Tensor,
        perturbation: Tensor,
        clean_dropout: Tensor | None = None,
        perturbed_dropout: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Return the weighted consistency on labelled and unlabelled target images.

        Args:
            target_image: (M, 3, H, W) uint8 RGB.
            unlabelled_image: (U, 3, H, W).
            perturbation: (M + U, 3, H, W) float32, added to the normalised images.
            clean_dropout: (M + U, units) uint8, of the clean pass; None where the network has no dropout.
            perturbed_dropout: (M + U, units), of the perturbed pass.
        """
        images = self.normalise(torch.cat([target_image, unlabelled_image]))
        passes = clean_dropout, perturbed_dropout
        loss, _, _ = perturbed_consistency(self.network, self.still, images, perturbation, self.consistency, *passes)
        return (self.lambda_consistency * loss,)

    def second_round(self, batch: Mapping[str, np.ndarray]) -> Done:
        """Return what the second round finds on one batch, with the weights of this moment."""
        return super().second_round({**batch, "perturbation": self.perturbation(batch)})

    def perturbation(self, batch: Mapping[str, np.ndarray]) -> Tensor:
        """Return the perturbation of a batch's target images, (M + U, 3, H, W) float32, by the present weights.

        ``batch`` holds, beside the images, ``noise`` of that shape and, with dropout, ``probe_dropout`` (M + U, units).
        """
        keys = ("target_image", "unlabelled_image", "noise", "probe_dropout")
        return self._perturb(*(self.backend.tensor(batch[key]) if key in batch else None for key in keys))

    def _perturbation(
        self, target_image: Tensor, unlabelled_image: Tensor, noise: Tensor, probe_dropout: Tensor | None
    ) -> Tensor:
        images = self.normalise(torch.cat([target_image, unlabelled_image]))
        return adversarial_perturbation(self.still, images, noise, self.xi, self.eps, probe_dropout)
