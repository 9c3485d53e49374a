"""The train steps of IAST (Mei et al., ECCV 2020, arXiv 2008.12197); its stages are in ``common.methods.iast``."""

from collections.abc import Mapping, Sequence
from typing import Any

import mindspore
import numpy as np
from mindspore import Tensor

from common.accumulate import Step, parts
from common.data.labels import class_set
from common.schedules import group_rate
from ms_impl.adversarial import discriminator_loss, fooling_loss
from ms_impl.execution import lower_precision
from ms_impl.losses import IGNORED, cross_entropy, softmax, upsample, valid_pixels
from ms_impl.methods.segmentation import SegmentationObjective
from ms_impl.nets import build_network
from ms_impl.passes import Done
from ms_impl.regions import ignored_consistency, region_losses


class AdversarialWarmUp(SegmentationObjective):
    """Cross entropy on the source, while the target's probabilities learn to look like the source's (section 4.4).

    The discriminator learns from the same pass, from the maps before the segmentation network moves.
    """

    def __init__(
        self, config: Any, backend: Any, frozen: Mapping[str, Mapping[str, np.ndarray]] | None = None
    ) -> None:
        """Arguments and errors as ``Objective``."""
        super().__init__(config, backend, frozen)
        warmup = config.method.warmup
        self.lambda_source, self.lambda_adversarial = warmup.lambda_source, warmup.lambda_adversarial
        self.kind, self._rate = warmup.loss, warmup.discriminator_lr
        network = build_network(warmup.discriminator, len(class_set(config.classes)), config.seed)
        lower_precision(network, config.train.precision, backend.device)
        self._critic = self.further("discriminator", network, warmup.discriminator_optim(config.optim))
        self._discriminate = self.differentiated(self.discriminate, self._critic)

    def names(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Return ``loss``, the source's cross entropies, and the adversarial part."""
        return "loss", "main", "aux", "adversarial"

    def construct(
        self, source_image: Tensor, source_label: Tensor, target_image: Tensor, source_count: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Return the loss of the segmentation network, its parts, and both domains' maps; source passes first.

        Args:
            source_image: (N, 3, H, W) uint8 RGB.
            source_label: (N, H, W) int32, 255 ignored.
            target_image: (M, 3, H', W').
            source_count: () float32, labelled pixels of a micro-batch on average; None where a step has but one batch.
        """
        aux, main = self.classifiers(self.normalise(source_image))
        source, main_part, aux_part = self.mean_over_ranks(aux, main, source_label, source_count)
        maps = softmax(upsample(main, (source_label.shape[1], source_label.shape[2])))
        _, other = self.classifiers(self.normalise(target_image))
        target_maps = softmax(upsample(other, (target_image.shape[2], target_image.shape[3])))
        adversarial = fooling_loss(self.discriminator(target_maps), self.kind)
        loss = self.lambda_source * source + self.lambda_adversarial * adversarial
        return loss, main_part, aux_part, adversarial, maps, target_maps

    def discriminate(self, source_maps: Tensor, target_maps: Tensor) -> tuple[Tensor]:
        """Return the discriminator's loss on probabilities (N, C, H, W) of either domain, which are constants."""
        return (discriminator_loss(self.discriminator(source_maps), self.discriminator(target_maps), self.kind),)

    def step(self, batch: Step, lr: float) -> dict[str, Tensor]:
        """Train both players on one batch; arguments and result as ``Objective.step``.

        The discriminator rests in steps whose batch says so (``update_discriminator`` false).
        """
        each = parts(batch)
        done, own = self.mean(map(self._both, each)), len(self.main.optimizer.parameters)
        self.update(self.main, done.gradients[:own], lr)
        if each[0].get("update_discriminator", True):
            self.update(self._critic, done.gradients[own:], group_rate(self.config.optim, lr, 1.0, self._rate))
        return done.losses

    def _both(self, batch: Mapping[str, np.ndarray]) -> Done:
        """Return what the passes of both players found, the discriminator behind."""
        done = self._forward(batch, self.names(tuple(batch)))
        maps = dict(zip(("source_maps", "target_maps"), done.extras))
        return done.beside(self._discriminate(maps, ("discriminator",)))


class SelfTraining(SegmentationObjective):
    """``L_ce + lambda_c R_c + lambda_i R_i`` on pseudo-labelled target images (section 4.2); source images if asked.

    A batch with a strong view adds HIAST's consistency: the averaged network sees the images, this one the strong view.
    """

    def __init__(
        self, config: Any, backend: Any, frozen: Mapping[str, Mapping[str, np.ndarray]] | None = None
    ) -> None:
        """Arguments and errors as ``Objective``."""
        super().__init__(config, backend, frozen)
        training = config.method.self_training
        self.lambda_pseudo, self.lambda_source = training.lambda_pseudo, training.lambda_source
        self.lambda_confident, self.lambda_ignored = training.lambda_confident, training.lambda_ignored
        self.empty, self.lambda_consistency = training.empty_region, training.lambda_consistency

    def names(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Return ``loss``, cross entropy, regularisers, share of labelled pixels; what else counts of the batch."""
        further = {"target_strong": "consistency", "source_image": "source"}
        names = tuple(name for key, name in further.items() if key in keys)
        return ("loss", "pseudo", "uniform", "entropy", "kept", *names)

    def step(self, batch: Step, lr: float) -> dict[str, Tensor]:
        """Train on one batch; arguments and result as ``Objective.step``."""
        return super().step([self.taught(one) for one in parts(batch)], lr)

    def gradients(self, batch: Mapping[str, np.ndarray]) -> tuple[dict[str, Tensor], dict[str, np.ndarray]]:
        """Return the losses of a batch and the gradient of each trained parameter by name; trains nothing."""
        return super().gradients(self.taught(batch))

    def taught(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray | Tensor]:
        """Return a batch with what the averaged network says of its target images, where there is a strong view."""
        if "target_strong" not in batch:
            return dict(batch)
        assert self.average is not None, "consistency needs train.ema"
        return {**batch, "teacher_logits": self.predict(batch["target_image"])}

    def construct(
        self,
        target_image: Tensor,
        target_label: Tensor,
        source_image: Tensor | None = None,
        source_label: Tensor | None = None,
        target_strong: Tensor | None = None,
        teacher_logits: Tensor | None = None,
        target_count: Tensor | None = None,
        source_count: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Return the total, its unweighted parts, and the share of pixels with a label; a source image passes first.

        Args:
            target_image: (N, 3, H, W) uint8 RGB.
            target_label: (N, H, W) int32 pseudo-labels, 255 where there is none.
            source_image: (M, 3, H', W'), or None.
            source_label: (M, H', W').
            target_strong: (N, 3, H, W) uint8 RGB, the target images in other colours, which the network sees instead.
            teacher_logits: (N, C, h, w), what the averaged network says of the target images.
            target_count: () float32, labelled pixels of a micro-batch on average; None where a step has but one batch.
            source_count: The same of the source.
        """
        source = None if source_image is None else self.segmentation(source_image, source_label, source_count)[0]
        aux, main = self.classifiers(self.normalise(target_image if target_strong is None else target_strong))
        size = (target_label.shape[1], target_label.shape[2])
        logits = upsample(main, size)
        pseudo, uniform, entropy = region_losses(logits, target_label, self.empty)
        if aux is not None and self.lambda_aux:
            pseudo = pseudo + self.lambda_aux * cross_entropy(upsample(aux, size), target_label)
        labelled = valid_pixels(target_label)
        kept = labelled / target_label.size
        ignored = 1.0
        if not self.alone or target_count is not None:
            labelled = self.share(labelled, target_count)
            mean = None if target_count is None else target_label.size - target_count
            ignored = self.share((target_label == IGNORED).astype(mindspore.float32).sum(), mean)
            pseudo, uniform, entropy = pseudo * labelled, uniform * labelled, entropy * ignored
        loss = self.lambda_pseudo * pseudo + self.lambda_confident * uniform + self.lambda_ignored * entropy
        found = (pseudo, uniform, entropy, kept)
        if target_strong is not None:
            taught = ignored_consistency(logits, upsample(teacher_logits, size), target_label, self.empty) * ignored
            loss, found = loss + self.lambda_consistency * taught, (*found, taught)
        if source is not None:
            loss, found = loss + self.lambda_source * source, (*found, source)
        return (loss, *found)
