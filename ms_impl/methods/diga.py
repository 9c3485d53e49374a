"""Warm-up of DiGA (Shen et al., CVPR 2023, arXiv 2304.02222); its stages are in ``common.methods.diga``."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import mindspore
import numpy as np
from mindspore import Tensor, ops

from common.accumulate import Step, parts
from common.networks.translator import TranslatorConfig
from ms_impl.averaging import Follower
from ms_impl.centroids import paste
from ms_impl.compiled import Compiled
from ms_impl.consistency import masked_symmetric_distillation, ohem_cross_entropy, symmetric_distillation
from ms_impl.losses import IGNORED, cross_entropy, upsample, valid_pixels
from ms_impl.nets.training import set_mode
from ms_impl.objective import Objective
from ms_impl.passes import Done
from ms_impl.weights import get_weights, set_weights


class Distillation(Objective):
    """Warm-up: a student and its mean teacher distil between an image's original and its mixed view, both ways.

    Attributes:
        teacher: Follows the student's parameters. Its BatchNorm statistics are its own; where ``teacher_mode`` puts it
            into evaluation, which is in self-training alone, they follow the student's.
        translator: Gives source images the target's style, or None: then the augmented view itself is distilled.
    """

    ROLES = ("translator", "teacher")
    PHASE = "warmup"

    def __init__(
        self, config: Any, backend: Any, frozen: Mapping[str, Mapping[str, np.ndarray]] | None = None
    ) -> None:
        """Arguments and errors as ``Objective``."""
        super().__init__(config, backend, frozen)
        self.options, self.of_phase = config.method, getattr(config.method, self.PHASE)
        self._auxiliary, self._feature = type(self.network).AUXILIARY, type(self.network).FEATURE
        if not self.options.lambda_aux or not getattr(config.network, "aux", True):
            self._auxiliary = None
        if self.teacher is None:
            self.teacher = self._new_network(self.network_config())
            set_weights(self.teacher, get_weights(self.network))
        trains = self.PHASE == "warmup" or self.options.teacher_mode == "train"
        set_mode(self.teacher, trains)  # in evaluation it finds no statistics; the student's follow with the rest
        self.moving.append(self.teacher)
        self._mean_teacher = Follower(self.teacher, self.network, backend.compile, statistics=not trains)
        paths = self.options.translator.weights
        if self.translator is None and paths:
            self.translator = self._new_network(self.role_config("translator"))
            given = {name: value for path in paths for name, value in backend.load(path).items()}
            set_weights(self.translator, given, " and ".join(map(str, paths)), may_miss=("enc_t.", "dec_t2s."))
        self._teach = Compiled(self._views_and_targets, backend.compile)
        self._adapt = Compiled(self._seen, backend.compile)
        self._describe = Compiled(self._evaluated_feature, backend.compile)

    def role_config(self, role: str) -> Any:
        """Return the description of the fixed network in a role."""
        width = self.config.method.translator.width
        return TranslatorConfig(width=width) if role == "translator" else self.network_config()

    def names(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Return ``loss``, the cross entropy, the distillation."""
        return "loss", "seg", "distil"

    def step(self, batch: Step, lr: float) -> dict[str, Tensor]:
        """Let the teacher follow, then train the student; arguments and result as ``Objective``."""
        each = parts(batch)
        self._follow(each[0])
        done = self.mean(map(self._learn, each, self.prepare(each)))
        self.update(self.main, done.gradients, lr)
        return done.losses

    def shares(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what is logged beside the losses, device scalars in [0, 1], of what ``prepare`` returned."""
        return {}

    def gradients(self, batch: Mapping[str, np.ndarray]) -> tuple[dict[str, Tensor], dict[str, np.ndarray]]:
        """Return the losses of a batch and the gradient of each trained parameter by name; trains nothing."""
        before = self.state()
        self._follow(batch)
        result = super().gradients(self.prepare([batch])[0])
        self.load_state(before)
        return result

    def prepare(self, batches: Sequence[Mapping[str, np.ndarray]]) -> list[dict[str, np.ndarray | Tensor]]:
        """Return what ``construct`` takes, made without gradient: both views, and what the teacher says of them.

        Args:
            batches: The micro-batches of a step, each with ``source_image`` (N, 3, H, W) uint8 RGB, ``source_label``
                (N, H, W) int32, ``source_strong`` (N, 3, H, W) float32, the augmented images as the network sees them;
                with a translator ``source_mask`` (N, H, W) uint8, 1 where the mixed view shows the augmented image;
                optional ``teacher_noise`` and ``student_noise`` (2 N, draws) float32.
        """
        return [self._prepared(batch) for batch in batches]

    def construct(
        self,
        views: Tensor,
        teacher_logits: Tensor,
        source_label: Tensor,
        teacher_auxiliary: Tensor | None = None,
        student_noise: Tensor | None = None,
        source_count: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Return the loss, cross entropy on the original views and distillation between the views.

        Args:
            views: (2 N, 3, H, W) float32: original views, then mixed ones.
            teacher_logits: (2 N, C, h, w), constants.
            source_label: (N, H, W) int32, 255 ignored.
            teacher_auxiliary: Logits of the teacher's auxiliary classifier.
            student_noise: (2 N, draws) float32 in [0, 1) for dropout; None drops nothing.
            source_count: () float32, labelled pixels of a micro-batch on average; None where a step has but one batch.
        """
        outputs = self.network(views, student_noise)
        seg = self.segmentation(outputs, source_label, source_count)
        distil = self.distillation(outputs, teacher_logits, teacher_auxiliary, source_label, source_count)
        return self.options.lambda_main * seg + self.of_phase.lambda_distil * distil, seg, distil

    def segmentation(self, outputs: tuple[Tensor, ...], label: Tensor, count: Tensor | None = None) -> Tensor:
        """Return the cross entropy, () float32, of the first N images; the auxiliary part has its weight in it.

        Args:
            outputs: Of the network, for at least N images.
            label: (N, H, W) int32, 255 ignored.
            count: () float32, valid pixels of a batch on average where the step has several; see ``share``.
        """
        loss = self._cross_entropy(outputs[-1][: label.shape[0]], label, count)
        if self._auxiliary is None:
            return loss
        auxiliary = self._cross_entropy(outputs[self._auxiliary][: label.shape[0]], label, count)
        return loss + self.options.lambda_aux * auxiliary

    def distillation(
        self,
        outputs: tuple[Tensor, ...],
        teacher: Tensor,
        teacher_auxiliary: Tensor | None,
        label: Tensor,
        count: Tensor | None = None,
    ) -> Tensor:
        """Return the symmetric distillation, () float32; the auxiliary part has its weight in it.

        Args:
            outputs: Of the student, for 2 N views.
            teacher: (2 N, C, h, w) logits of the teacher.
            teacher_auxiliary: Those of its auxiliary classifier, or None.
            label: (N, H, W) int32; gives the size, and the mask where ``distil_mask`` asks for one.
            count: () float32, labelled pixels of a batch on average where the step has several; for the mask alone.
        """
        loss = self._distil(teacher, outputs[-1], label, count)
        if self._auxiliary is None:
            return loss
        auxiliary = self._distil(teacher_auxiliary, outputs[self._auxiliary], label, count)
        return loss + self.options.lambda_aux * auxiliary

    def features(self, images: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return feature and logits, (N, D, h, w) and (N, C, h, w), of images uint8 RGB in evaluation mode."""
        return self._describe(self.normalise(self.backend.tensor(images)))

    def state(self) -> dict[str, dict[str, np.ndarray]]:
        """Return the parts of ``Objective`` and the teacher's weights."""
        return {**super().state(), "teacher": get_weights(self.teacher)}

    def load_state(self, state: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        """Go on from a saved state; errors as ``Objective``."""
        super().load_state(state)
        set_weights(self.teacher, state["teacher"], "teacher")

    def _learn(self, batch: Mapping[str, np.ndarray], inputs: Mapping[str, np.ndarray | Tensor]) -> Done:
        """Return what the pass on a batch found, of what ``prepare`` returned for it."""
        done = self._forward(inputs, self.names(tuple(inputs)))
        if "target_seen" in batch:  # moves the student's running statistics towards the target, nothing else
            self._without_gradient(self._adapt, batch, ("target_seen",))
        return replace(done, losses={**done.losses, **self.shares(inputs)})

    def _prepared(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray | Tensor]:
        """Return what ``prepare`` does of one batch."""
        keys = ("source_image", "source_strong", "source_mask", "teacher_noise")
        made = self._without_gradient(self._teach, batch, keys)
        kept = {key: batch[key] for key in ("source_label", "source_count", "student_noise") if key in batch}
        return {**kept, **dict(zip(("views", "teacher_feature", "teacher_logits", "teacher_auxiliary"), made))}

    def _follow(self, batch: Mapping[str, np.ndarray]) -> None:
        self._mean_teacher.follow(float(batch["momentum"]))

    def _without_gradient(self, function: Compiled, batch: Mapping[str, Any], keys: Sequence[str]) -> Any:
        """Call a function with tensors of the batch's arrays; None for those that are not there."""
        given = (batch.get(key) for key in keys)
        return function(*(self.backend.tensor(one) if isinstance(one, np.ndarray) else one for one in given))

    def _views_and_targets(
        self, image: Tensor, strong: Tensor, mask: Tensor | None, noise: Tensor | None
    ) -> tuple[Tensor, ...]:
        """Return both views, and the teacher's feature, logits and, where they count, auxiliary logits of them."""
        original, mixed = self.normalise(image), strong
        if self.translator is not None:
            mixed = paste(mask, strong, self.translator(original))
        views = ops.concat((original, mixed))
        outputs = self.teacher(views, noise)
        found = views, outputs[self._feature], outputs[-1]
        return found if self._auxiliary is None else (*found, outputs[self._auxiliary])

    def _seen(self, image: Tensor) -> Tensor:
        return self.network(self.normalise(image))[-1]

    def _evaluated_feature(self, images: Tensor) -> tuple[Tensor, Tensor]:
        outputs = self.evaluated(images)
        return outputs[self._feature], outputs[-1]

    def _cross_entropy(self, logits: Tensor, label: Tensor, count: Tensor | None) -> Tensor:
        """Return one classifier's loss; only OHEM takes every batch of a step by itself."""
        options, size = self.options, (label.shape[1], label.shape[2])
        if options.seg_loss == "ohem":
            return ohem_cross_entropy(logits, label, options.ohem_threshold, options.ohem_min_kept)
        loss = cross_entropy(upsample(logits, size), label, options.ce_normalise)
        return loss if options.ce_normalise == "all" else self._of_step(loss, label, count)

    def _distil(self, teacher: Tensor, student: Tensor, label: Tensor, count: Tensor | None) -> Tensor:
        size = (label.shape[1], label.shape[2])
        teacher, student = upsample(teacher, size), upsample(student, size)
        if self.options.distil_mask:
            mask = (label != IGNORED).astype(mindspore.float32)
            loss = masked_symmetric_distillation(teacher, student, mask, self.options.lambda_reverse)
            return self._of_step(loss, label, count)
        return symmetric_distillation(teacher, student, self.options.lambda_reverse)

    def _of_step(self, loss: Tensor, label: Tensor, count: Tensor | None) -> Tensor:
        """Return a mean over labelled pixels, weighted so that those of all the step's batches and ranks make one."""
        return loss if self.alone and count is None else loss * self.share(valid_pixels(label), count)
