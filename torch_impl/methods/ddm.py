"""The three train steps of DDM (Chen et al., CVPR 2021, arXiv 2103.04705); its stages are in ``common.methods.ddm``."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.errors import UserError
from torch_impl.losses import distillation_kl
from torch_impl.methods.segmentation import SegmentationObjective


class RegionTeacher(SegmentationObjective):
    """Eq. 2: ``L_RL = SEG(M_RL(x_rl), y_rl)`` on target images with a rectangle of a source image pasted in."""

    def names(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Return ``loss``, ``main``, ``aux``."""
        return "loss", "main", "aux"

    def forward(
        self, mixed_image: Tensor, mixed_label: Tensor, mixed_count: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Return L_RL and its main and auxiliary cross entropy.

        Args:
            mixed_image: (N, 3, H, W) uint8 RGB, x_rl of eq. 1.
            mixed_label: (N, H, W) int32, y_rl of eq. 1, 255 ignored.
            mixed_count: () float32, labelled pixels of a micro-batch on average; None where a step has but one batch.
        """
        return self.segmentation(mixed_image, mixed_label, mixed_count)


class SampleTeacher(SegmentationObjective):
    """Eq. 3: ``L_SL = SEG(M_SL(x_s), y_s) + SEG(M_SL(x_t), y_t)``; BatchNorm sees one domain at a time."""

    def names(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Return ``loss`` and the main and auxiliary parts of either domain."""
        return "loss", "source_main", "source_aux", "target_main", "target_aux"

    def forward(
        self,
        source_image: Tensor,
        source_label: Tensor,
        target_image: Tensor,
        target_label: Tensor,
        source_count: Tensor | None = None,
        target_count: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Return L_SL and the cross entropies of source and target, main and auxiliary; source passes first.

        Args:
            source_image: (N, 3, H, W) uint8 RGB.
            source_label: (N, H, W) int32, 255 ignored.
            target_image: (M, 3, H', W').
            target_label: (M, H', W').
            source_count: () float32, labelled pixels of a micro-batch on average; None where a step has but one batch.
            target_count: The same of the target.
        """
        source, source_main, source_aux = self.segmentation(source_image, source_label, source_count)
        target, target_main, target_aux = self.segmentation(target_image, target_label, target_count)
        return source + target, source_main, source_aux, target_main, target_aux


class Student(SegmentationObjective):
    """Eq. 4: ``L_S = lambda_kl * KL(E(M_RL(x_u), M_SL(x_u)), M_S(x_u)) + lambda_ce * SEG(M_S(x_t), y_t)``."""

    ROLES = ("region_teacher", "sample_teacher")

    def __init__(
        self, config: Any, backend: Any, frozen: Mapping[str, Mapping[str, np.ndarray]] | None = None
    ) -> None:
        """Arguments and errors as ``Objective``; without teachers every batch must carry their logits."""
        super().__init__(config, backend, frozen)
        ddm = config.method
        self.lambda_kl, self.lambda_kl_aux, self.lambda_ce = ddm.lambda_kl, ddm.lambda_kl_aux, ddm.lambda_ce
        self.temperature, self.kl_t2 = ddm.temperature, ddm.kl_t2
        if self.lambda_kl_aux and self._auxiliary is None:
            raise UserError(f"method.lambda_kl_aux: network '{config.network.name}' has no auxiliary classifier; set 0")
        self.ensemble, self.kl_reduction = ddm.ensemble, ddm.kl_reduction

    def names(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Return ``loss``, the distillation term(s), and the cross entropy with its parts."""
        return ("loss", "kl", *(("kl_aux",) if self.lambda_kl_aux else ()), "ce", "main", "aux")

    def forward(
        self,
        unlabelled_image: Tensor,
        target_image: Tensor,
        target_label: Tensor,
        teacher_logits: Tensor | None = None,
        target_count: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Return L_S, KL with its factor T^2, and SEG with its parts; the unlabelled image passes first.

        Args:
            unlabelled_image: (N, 3, H, W) uint8 RGB, x_u.
            target_image: (M, 3, H', W'), x_t.
            target_label: (M, H', W') int32, 255 ignored, y_t.
            teacher_logits: (N, 2, C, h, w) main logits of both teachers on x_u, region level first, from an earlier
                pass; None lets the teachers predict.
            target_count: () float32, labelled pixels of a micro-batch on average; None where a step has but one batch.
        """
        unlabelled = self.normalise(unlabelled_image)
        teachers = self._predict_teachers(unlabelled) if teacher_logits is None else _pair(teacher_logits)
        aux, main = self.classifiers(unlabelled)
        kl = self._distillation(main, teachers, unlabelled)
        ce, ce_main, ce_aux = self.segmentation(target_image, target_label, target_count)
        loss = self.lambda_kl * kl + self.lambda_ce * ce
        if not self.lambda_kl_aux:
            return loss, kl, ce, ce_main, ce_aux
        kl_aux = self._distillation(aux, teachers, unlabelled)  # the teachers' evaluated classifiers, as labels are
        return loss + self.lambda_kl_aux * kl_aux, kl, kl_aux, ce, ce_main, ce_aux

    def _predict_teachers(self, images: Tensor) -> tuple[Tensor, Tensor]:
        if self.region_teacher is None or self.sample_teacher is None:
            raise UserError("the student needs both teachers, or batches that hold teacher_logits")
        with torch.no_grad():
            return self.region_teacher(images)[-1], self.sample_teacher(images)[-1]

    def _distillation(self, student: Tensor, teachers: tuple[Tensor, Tensor], images: Tensor) -> Tensor:
        size = (images.shape[2], images.shape[3])
        return distillation_kl(
            student, teachers, size, self.temperature, self.kl_t2, self.ensemble, self.kl_reduction
        )


def _pair(teacher_logits: Tensor) -> tuple[Tensor, Tensor]:
    """Split stored logits (N, 2, C, h, w), of any precision, by teacher."""
    return teacher_logits[:, 0].float(), teacher_logits[:, 1].float()
