"""Supervised training on labelled images of one domain, or of two."""

from collections.abc import Sequence

import torch
from torch import Tensor

from torch_impl.methods.classification import ClassificationObjective
from torch_impl.methods.segmentation import SegmentationObjective


class Supervised(SegmentationObjective):
    """Cross entropy on source images, on target images, or on both: the batch tells which."""

    def names(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Return ``loss`` and the parts, which carry their domain when there are two."""
        domains = [domain for domain in ("source", "target") if f"{domain}_image" in keys]
        prefixes = [f"{domain}_" for domain in domains] if len(domains) > 1 else [""]
        return ("loss", *(f"{prefix}{part}" for prefix in prefixes for part in ("main", "aux")))

    def forward(
        self,
        source_image: Tensor | None = None,
        source_label: Tensor | None = None,
        target_image: Tensor | None = None,
        target_label: Tensor | None = None,
        source_count: Tensor | None = None,
        target_count: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Return the sum of the domains' SEG, then main and auxiliary part of each; source passes first.

        Args:
            source_image: (N, 3, H, W) uint8 RGB, or None.
            source_label: (N, H, W) int32, 255 ignored.
            target_image: (M, 3, H', W'), or None.
            target_label: (M, H', W').
            source_count: () float32, labelled pixels of a micro-batch on average; None where a step has but one batch.
            target_count: The same of the target.
        """
        if target_image is None:
            return self.segmentation(source_image, source_label, source_count)
        if source_image is None:
            return self.segmentation(target_image, target_label, target_count)
        source, source_main, source_aux = self.segmentation(source_image, source_label, source_count)
        target, target_main, target_aux = self.segmentation(target_image, target_label, target_count)
        return source + target, source_main, source_aux, target_main, target_aux


class SupervisedClasses(ClassificationObjective):
    """Cross entropy on whole images of the source, of the target, or of both in one pass: S+T of MME and S3D."""

    def names(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Return ``loss``."""
        return ("loss",)

    def forward(
        self,
        source_image: Tensor | None = None,
        source_label: Tensor | None = None,
        target_image: Tensor | None = None,
        target_label: Tensor | None = None,
        dropout: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Return the mean over all images of both domains, which BatchNorm sees mixed; source first.

        Args:
            source_image: (N, 3, H, W) uint8 RGB, or None.
            source_label: (N,) int32.
            target_image: (M, 3, H, W), or None.
            target_label: (M,).
            dropout: (N + M, units) uint8, 1 for what is kept; None where the network has no dropout.
        """
        if target_image is None:
            return (self.classification(source_image, source_label, dropout),)
        if source_image is None:
            return (self.classification(target_image, target_label, dropout),)
        image, label = torch.cat([source_image, target_image]), torch.cat([source_label, target_label])
        return (self.classification(image, label, dropout),)
