"""The train steps of AuG-KD on data (Tang et al., ICLR 2024): anchors, mixtures, and plain distillation.

Its stages are in ``common.methods.augkd``; learning without data is in ``augkd_datafree.py`` beside this file.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.methods.augkd_networks import networks
from common.networks import NetworkConfig
from torch_impl.datafree import anchor_loss, distillation_parts
from torch_impl.nets.training import set_mode
from torch_impl.objective import Objective


class LatentObjective(Objective):
    """What the stages share: networks by their role, and images in [0, 1]."""

    ROLES = ("teacher",)

    def role_config(self, role: str) -> NetworkConfig:
        """Return the description of the network in a role."""
        return networks(self.config)[role]

    def unit(self, images: Tensor) -> Tensor:
        """Return images (N, 3, H, W) uint8 RGB as float32 in [0, 1]."""
        return images.float() / 255.0


class AnchorLearning(LatentObjective):
    """Module 2: the anchor network moves a latent vector to where the teacher is sure of its label."""

    ROLES = ("teacher", "generator", "encoder")

    def __init__(self, config: Any, backend: Any, frozen: Mapping[str, Mapping[str, np.ndarray]] | None = None) -> None:
        """Arguments and errors as ``Objective``."""
        super().__init__(config, backend, frozen)
        anchor = config.method.anchor
        self.options = anchor.invariant, anchor.uncertainty, anchor.mask_budget, anchor.temperature
        self.normalises = anchor.val_normalize_encoder_input

    def names(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Return ``loss``, its three parts, and the mean of the mask."""
        return "loss", "uncertainty", "budget", "label", "mask"

    def network_config(self) -> NetworkConfig:
        """Return the description of the anchor network."""
        return networks(self.config)["anchor"]

    def forward(self, image: Tensor, label: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
        """Return the anchor loss, its parts, and the mean mask; sums over the batch, of each rank by itself.

        Args:
            image: (N, 3, H, W) uint8 RGB.
            label: (N,) int32.
            noise: (N, L) float32, the encoder's.
        """
        _, logits, mask = self.anchored(self.network, self.unit(image), label, noise)
        return (*anchor_loss(logits, label, mask, *self.options), mask.mean())

    def anchored(self, network: Any, images: Tensor, label: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return anchors (N, L), the teacher's logits of their images (N, K), and masks (N, L).

        Args:
            network: The anchor network in the mode that is wanted.
            images: (N, 3, H, W) float32, what the encoder sees.
            label: (N,) int32.
            noise: (N, L) float32.
        """
        with torch.no_grad():
            latent = self.encoder(images, label, noise)[0]
        anchor, mask = network(latent, label)
        return anchor, self.teacher(self.normalise_unit(self.generator(anchor, label)))[-1], mask

    def judge(self, image: np.ndarray, label: np.ndarray, noise: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the anchor loss of images in evaluation mode, a sum, and the teacher's logits of their anchors (N, K).

        Args:
            image: (N, 3, H, W) uint8 RGB.
            label: (N,) int32.
            noise: (N, L) float32.
        """
        image, label, noise = map(self.backend.tensor, (image, label, noise))
        seen = self.normalise(image) if self.normalises else self.unit(image)
        set_mode(self.network, False)
        with torch.no_grad():
            _, logits, mask = self.anchored(self.evaluated, seen, label, noise)
            losses = anchor_loss(logits, label, mask, *self.options)
        set_mode(self.network, True)
        return float(losses[0]), self.backend.numpy(logits)

    def masks(self, classes: int) -> np.ndarray:
        """Return the mask of each class, (classes, L) float32 in [0, 1/3), in evaluation mode; images play no part."""
        labels = np.arange(classes, dtype=np.int32)
        latent = np.zeros((classes, self.config.method.latent_size), np.float32)
        set_mode(self.network, False)
        with torch.no_grad():
            _, mask = self.evaluated(self.backend.tensor(latent), self.backend.tensor(labels))
        set_mode(self.network, True)
        return self.backend.numpy(mask)


class DistillingObjective(LatentObjective):
    """What the students share: cross entropy with the label, divergence from a target's logits."""

    def __init__(self, config: Any, backend: Any, frozen: Mapping[str, Mapping[str, np.ndarray]] | None = None) -> None:
        """Arguments and errors as ``Objective``."""
        super().__init__(config, backend, frozen)
        self.weight, self.temperature = config.method.distill.weight, config.method.distill.temperature

    def names(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Return ``loss``, ``ce``, ``kl``."""
        return "loss", "ce", "kl"

    def distillation(self, student: Tensor, target: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``u * ce + (1 - u) * kl``, and both means over the batch; the target is no constant here."""
        certainty, divergence = distillation_parts(student, target, label, self.temperature)
        ce, kl = certainty.mean(), divergence.mean()
        return self.weight * ce + (1 - self.weight) * kl, ce, kl


class Distilled(DistillingObjective):
    """Baselines ``raw_kd`` and ``kd``: the student imitates the teacher on the images of its own domain."""

    def forward(self, target_image: Tensor, target_label: Tensor, dropout: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return the distillation loss and its parts.

        Args:
            target_image: (N, 3, H, W) uint8 RGB.
            target_label: (N,) int32.
            dropout: (N, units) uint8, 1 for what is kept; None where the network has no dropout.
        """
        images = self.normalise(target_image)
        with torch.no_grad():
            target = self.teacher(images)[-1]
        return self.distillation(self.network(images, dropout)[-1], target, target_label)


class MixupLearning(DistillingObjective):
    """Module 3: the student learns from real images and from mixtures of them with the images of their anchors."""

    ROLES = ("teacher", "generator", "encoder", "anchor")

    def __init__(self, config: Any, backend: Any, frozen: Mapping[str, Mapping[str, np.ndarray]] | None = None) -> None:
        """Arguments and errors as ``Objective``."""
        super().__init__(config, backend, frozen)
        self.own_target = config.method.mixup.target == "student"
        self.normalises = config.method.mixup.normalize_real

    def forward(
        self,
        image: Tensor,
        label: Tensor,
        noise: Tensor,
        ratio: Tensor,
        dropout: Tensor | None = None,
        target_dropout: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Return the distillation loss of both halves together, and its parts.

        Args:
            image: (N, 3, H, W) uint8 RGB.
            label: (N,) int32.
            noise: (N, L) float32, the encoder's.
            ratio: () float32 in [0, 1]: share of the real image.
            dropout: (2 N, units) uint8, 1 for what is kept; None where the network has no dropout.
            target_dropout: The same of the second pass, where the student is its own target.
        """
        images = self.student_images(image, label, noise, ratio)
        student = self.network(images, dropout)[-1]
        if self.own_target:
            target = self.network(images, target_dropout)[-1]
        else:
            with torch.no_grad():
                target = self.teacher(images)[-1]
        return self.distillation(student, target, torch.cat([label, label]))

    def student_images(self, image: Tensor, label: Tensor, noise: Tensor, ratio: Tensor) -> Tensor:
        """Return what the student sees, (2 N, 3, H, W) float32: the real images, then their mixtures, normalised.

        The official code leaves the real half as it is, in [0, 1] (option ``mixup.normalize_real``).
        """
        real = self.unit(image)
        mixed = self.normalise_unit(self.mixture(real, label, noise, ratio)[-1])
        return torch.cat([self.normalise_unit(real) if self.normalises else real, mixed])

    def mixture(self, images: Tensor, label: Tensor, noise: Tensor, ratio: Tensor) -> tuple[Tensor, ...]:
        """Mix images with those of their anchors, twice: in the latent space, then pixel by pixel; without gradient.

        Args:
            images: (N, 3, H, W) float32 in [0, 1].
            label: (N,) int32.
            noise: (N, L) float32.
            ratio: () float32 in [0, 1]: share of the real image in either mixture.
        Returns:
            Latent vectors, their anchors, masks, and mixed latent vectors, (N, L) each; generated images and mixtures
            (N, 3, H, W) in [0, 1]. Without an anchor network an anchor is the latent vector itself.
        """
        with torch.no_grad():
            latent = self.encoder(images, label, noise)[0]
            anchor, mask = (latent, torch.zeros_like(latent)) if self.anchor is None else self.anchor(latent, label)
            mixed = (1 - ratio) * anchor + ratio * latent
            generated = self.generator(mixed, label)
            return latent, anchor, mask, mixed, generated, (1 - ratio) * generated + ratio * images

    def pictures(self, image: np.ndarray, label: np.ndarray, noise: np.ndarray, ratio: float) -> np.ndarray:
        """Return mixtures as pictures, uint8 (N, 3, H, W) RGB.

        Args:
            image: (N, 3, H, W) uint8 RGB.
            label: (N,) int32.
            noise: (N, L) float32.
            ratio: Share of the real image.
        """
        images, label, noise = map(self.backend.tensor, (image, label, noise))
        with torch.no_grad():
            mixed = self.mixture(self.unit(images), label, noise, self.backend.tensor(np.array(ratio, np.float32)))[-1]
        return np.rint(self.backend.numpy(mixed) * 255.0).astype(np.uint8)
