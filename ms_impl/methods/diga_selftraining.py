"""Self-training of DiGA (Shen et al., CVPR 2023): target labels by bilateral consensus, without a threshold."""

from collections.abc import Mapping, Sequence
from typing import Any

import mindspore
import numpy as np
from mindspore import Tensor, ops

from common.data.labels import class_set
from common.keys import check_keys
from ms_impl.centroids import bilateral_consensus, class_means, class_shares, follow_centroids, nearest, paste
from ms_impl.compiled import Compiled
from ms_impl.losses import valid_pixels
from ms_impl.methods.diga import Distillation
from ms_impl.weights import get_weights, set_weights

_NEAREST = ("target_image", "target_label", "centroids", "target_noise")
_CONSENSUS = (
    "source_image", "source_label", "target_mask", "target_strong", "teacher_feature", "teacher_logits", *_NEAREST,
)  # fmt: skip


class ConsensusTraining(Distillation):
    """Distillation, and cross entropy on target images with source classes pasted in, labelled by bilateral consensus.

    Attributes:
        centroids: (C, D) float32, the memory of the classes' features.
        counts: (C,) float32, its updates so far.
    """

    PHASE = "self_training"

    def __init__(
        self, config: Any, backend: Any, frozen: Mapping[str, Mapping[str, np.ndarray]] | None = None
    ) -> None:
        """Arguments and errors as ``Objective``; the memory is empty until a batch or a state fills it."""
        super().__init__(config, backend, frozen)
        self._classes = class_set(config.classes).names
        classes = len(self._classes)
        self.centroids = backend.tensor(np.zeros((classes, self.network.feature_channels), np.float32))
        self.counts = backend.tensor(np.zeros(classes, np.float32))
        self._agreed = Compiled(self._consensus_and_mix, backend.compile)

    def names(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Return ``loss``, the cross entropy on the source, the distillation, the cross entropy on mixed images."""
        return "loss", "seg", "distil", "mixed"

    def prepare(self, batches: Sequence[Mapping[str, np.ndarray]]) -> list[dict[str, np.ndarray | Tensor]]:
        """Return what ``construct`` takes; the memory is updated behind the consensus, which sees the old one.

        Args:
            batches: As for ``Distillation``, with ``target_image`` (N, 3, H, W) uint8 RGB, ``target_strong``
                (N, 3, H, W) float32, ``target_label`` (N, H, W) int32, the offline labels, and ``target_mask``
                (N, H, W) uint8, 1 where the source is pasted; in the first step ``centroids`` (C, D) float32 and
                ``counts`` (C,); optional ``mixed_noise`` and ``target_noise`` (N, draws).
        """
        if "centroids" in batches[0]:
            self.load_memory({name: batches[0][name] for name in ("centroids", "counts")})
        made = super().prepare(batches)
        self._remember([one.pop("vectors") for one in made])
        if len(made) == 1:
            return made
        count = sum(valid_pixels(one["mixed_label"]) for one in made) / len(made)
        return [{**one, "mixed_count": count} for one in made]

    def shares(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return which share of the target's pixels keeps a label: all together, and by class beside the offline ones.

        ``agreed/CLASS`` divided by ``offline/CLASS`` is how far feature and offline label agree on a class.
        """
        parts = {part: inputs[part] for part in ("agreed", "offline")}
        by_class = {f"{part}/{name}": all_[k] for part, all_ in parts.items() for k, name in enumerate(self._classes)}
        return {"kept": parts["agreed"].sum(), **by_class}

    def construct(
        self,
        views: Tensor,
        teacher_logits: Tensor,
        source_label: Tensor,
        mixed_image: Tensor,
        mixed_label: Tensor,
        teacher_auxiliary: Tensor | None = None,
        student_noise: Tensor | None = None,
        mixed_noise: Tensor | None = None,
        source_count: Tensor | None = None,
        mixed_count: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Return the loss and its parts; the mixed images pass behind the views.

        Args:
            views: (2 N, 3, H, W) float32: original views of the source, then mixed ones.
            teacher_logits: (2 N, C, h, w), constants.
            source_label: (N, H, W) int32, 255 ignored.
            mixed_image: (N, 3, H, W) float32, target images with source classes pasted in.
            mixed_label: (N, H, W) int32, 255 ignored.
            teacher_auxiliary: Logits of the teacher's auxiliary classifier.
            student_noise: (2 N, draws) float32 in [0, 1) for dropout; None drops nothing.
            mixed_noise: (N, draws) float32.
            source_count: () float32, labelled pixels of a micro-batch on average; None where a step has but one batch.
            mixed_count: The same of the mixed images.
        """
        outputs = self.network(views, student_noise)
        seg = self.segmentation(outputs, source_label, source_count)
        distil = self.distillation(outputs, teacher_logits, teacher_auxiliary, source_label, source_count)
        mixed = self.segmentation(self.network(mixed_image, mixed_noise), mixed_label, mixed_count)
        return self.options.lambda_main * (seg + mixed) + self.of_phase.lambda_distil * distil, seg, distil, mixed

    def consensus(self, batch: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return the labels of the nearest centroids and those of the consensus in a step, (N, H, W); trains nothing.

        Args:
            batch: ``momentum``, ``target_image`` and ``target_label``, optional ``target_noise``, as for a step.
        """
        before = get_weights(self.teacher)
        self._follow(batch)
        found = self._without_gradient(self._nearest, {**batch, "centroids": self.centroids}, _NEAREST)
        set_weights(self.teacher, before)
        return self.backend.numpy(found[0]), self.backend.numpy(found[1])

    def memory(self) -> dict[str, np.ndarray]:
        """Return the centroids (C, D) and the counts (C,)."""
        return {"centroids": self.backend.numpy(self.centroids), "counts": self.backend.numpy(self.counts)}

    def load_memory(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take over centroids and counts.

        Raises:
            UserError: If names or shapes differ.
        """
        want, found = ({name: np.shape(one) for name, one in some.items()} for some in (self.memory(), arrays))
        check_keys(want, found, "memory of the centroids")
        self.centroids, self.counts = (
            self.backend.tensor(np.array(arrays[name], np.float32)) for name in ("centroids", "counts")
        )

    def _prepared(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray | Tensor]:
        """Return what ``prepare`` does of one batch, and the ``vectors`` that will move the centroids."""
        inputs = super()._prepared(batch)
        given = {**batch, **inputs, "centroids": self.centroids}
        made = self._without_gradient(self._agreed, given, _CONSENSUS)
        noise = {"mixed_noise": batch["mixed_noise"]} if "mixed_noise" in batch else {}
        shares = {"agreed": made[6], "offline": made[7]}
        mixed = {"mixed_image": made[0], "mixed_label": made[1], "vectors": made[2:6]}
        return {**inputs, **noise, **shares, **mixed}

    def _nearest(
        self, target: Tensor, label: Tensor, centroids: Tensor, noise: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the feature's labels, the consensus, and the teacher's feature and logits."""
        outputs = self.teacher(self.normalise(target), noise)
        found, kept = bilateral_consensus(outputs[self._feature], centroids, label)
        return found, kept, outputs[self._feature], outputs[-1]

    def _consensus_and_mix(
        self,
        source: Tensor,
        source_label: Tensor,
        mask: Tensor,
        target_strong: Tensor,
        view_feature: Tensor,
        view_logits: Tensor,
        target: Tensor,
        label: Tensor,
        centroids: Tensor,
        noise: Tensor | None,
    ) -> tuple[Tensor, ...]:
        """Return mixed images and labels, class means (with what counts of them) of target and source, and shares."""
        _, kept, feature, logits = self._nearest(target, label, centroids, noise)
        image = paste(mask, self.normalise(source), target_strong)
        mixed, count = paste(mask, source_label, kept), source_label.shape[0]
        size = (logits.shape[2], logits.shape[3])
        of_target = class_means(feature, logits, nearest(kept, size))
        of_source = class_means(view_feature[count:], view_logits[count:], nearest(source_label, size))
        shares = (class_shares(one, centroids.shape[0]) for one in (kept, label))
        return image, mixed, *of_target, *of_source, *shares

    def _remember(self, vectors: Sequence[tuple[Tensor, ...]]) -> None:
        """Move the centroids, by the target's vectors first; those of all micro-batches and ranks count, in this order.

        Args:
            vectors: Of each micro-batch: class means and which of them count, of the target, then of the source.
        """
        memory = self.options.centroids
        for means, valid in [*(one[:2] for one in vectors), *(one[2:] for one in vectors)]:
            if not self.alone:
                means, valid = self._of_all_ranks(means), self._of_all_ranks(valid.astype(mindspore.float32)) > 0.5
            self.centroids, self.counts = follow_centroids(
                self.centroids, self.counts, means, valid, memory.momentum, memory.mean_below
            )

    def _of_all_ranks(self, values: Tensor) -> Tensor:
        """Return (ranks * N, ...) of every rank's (N, ...)."""
        world, rank = self.backend.world, self.backend.rank
        parts = [values * world if index == rank else ops.zeros_like(values) for index in range(world)]
        return self.backend.average_tensors([ops.concat(parts)])[0]
