"""Learning without data (AuG-KD, module 1; Tang et al., ICLR 2024): generator, student and encoder in turn."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.accumulate import Step, parts
from common.methods.augkd_networks import networks
from torch_impl.compiled import Compiled
from torch_impl.datafree import encoder_loss, generator_loss, kl_divergence
from torch_impl.methods.augkd import LatentObjective
from torch_impl.nets.statistics import InputStatistics
from torch_impl.passes import Done

GENERATOR = ("generator", "certainty", "divergence", "entropy", "statistics")  # its loss and the parts of it


class DataFree(LatentObjective):
    """One iteration: a step of the generator against the student, then ``inner`` steps of student and encoder.

    The main network is the student. Statistics and entropies are those of each rank's own batch.
    """

    def __init__(self, config: Any, backend: Any, frozen: Mapping[str, Mapping[str, np.ndarray]] | None = None) -> None:
        """Arguments and errors as ``Objective``."""
        super().__init__(config, backend, frozen)
        described, self.settings = networks(config), config.method.datafree
        optim = config.optim.model_copy(update={"weight_decay": 0.0})
        self.inverting = self.further("generator", self._new_network(described["generator"], trains=True), optim)
        self.restoring = self.further("encoder", self._new_network(described["encoder"], trains=True), optim)
        self.still_generator, self.still_encoder = (
            self.unmoved(getattr(self, name), described[name]) for name in ("generator", "encoder")
        )
        if self.teacher is not None:  # without one there is but a state
            self.watch = InputStatistics(self.unmoved(self.teacher, self.role_config("teacher")))
            self.stored = self.watch.running()
        self._invert = self.differentiated(self.invert, self.inverting)
        self._generate = Compiled(self.generate, backend.compile)
        self._observe = Compiled(self.observe, backend.compile)
        self._restore = self.differentiated(self.restore, self.restoring)

    def names(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Return ``loss``, the student's."""
        return ("loss",)

    def forward(self, images: Tensor, target: Tensor, dropout: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return the student's divergence from the teacher.

        Args:
            images: (N, 3, H, W) float32 in [0, 1], generated.
            target: (N, K) logits of the teacher.
            dropout: (N, units) uint8, 1 for what is kept.
        """
        student = self.network(self.normalise_unit(images), dropout)[-1]
        return (kl_divergence(student, target).sum(1).mean(),)

    def step(self, batch: Step, lr: float) -> dict[str, Tensor]:
        """Do one iteration.

        Args:
            batch: ``latent`` (1 + inner, N, L) and ``noise`` (inner, N, L) float32; ``dropout`` (1 + inner, N, units)
                uint8, 1 for what is kept, where the student has dropout. Or several such.
            lr: Rate of the student; that of the generator moves with it, the encoder's stays.
        Returns:
            Device scalars: the student's mean ``loss``, the encoder's mean, and the generator's with its parts.
        """
        first, *rest = zip(*map(_turns, parts(batch)))
        losses = self.generator_step(first, lr)
        done = [self.student_step(turn, lr) for turn in rest]
        means = {name: sum(one[name] for one in done) / len(done) for name in ("loss", "encoder")}
        return {**means, **losses}

    def generator_step(self, batch: Step, lr: float) -> dict[str, Tensor]:
        """Let the generator learn from one batch; returns its loss and the parts of it."""
        done = self.mean(self._invert(one, GENERATOR) for one in parts(batch))
        self.update(self.inverting, done.gradients, lr * self.settings.generator_lr / self.config.optim.lr)
        return done.losses

    def student_step(self, batch: Step, lr: float) -> dict[str, Tensor]:
        """Let student and encoder learn from one batch of generated images; returns ``loss`` and ``encoder``."""
        done = self.mean(student.beside(encoder) for student, encoder in map(self._learn, parts(batch)))
        own = len(self.main.optimizer.parameters)
        self.update(self.main, done.gradients[:own], lr)
        self.update(self.restoring, done.gradients[own:], self.settings.encoder_lr)
        return done.losses

    def generator_gradients(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the generator's gradients of a batch by name; trains nothing, but BatchNorm counts the batch."""
        return self.inverting.named(self.backend, self._invert(batch, GENERATOR).gradients)

    def student_gradients(self, batch: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Return the gradients of student and encoder of a batch by name; as ``generator_gradients``."""
        student, encoder = self._learn(batch)
        return (
            self.main.named(self.backend, student.gradients),
            self.restoring.named(self.backend, encoder.gradients),
        )

    def invert(self, latent: Tensor, dropout: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return the generator's loss and its parts.

        Args:
            latent: (N, L) float32.
            dropout: (N, units) of the student.
        """
        images = self.normalise_unit(self.generator(latent))
        teacher, mean, variance = self.watched(images)
        return generator_loss(teacher, self.network(images, dropout)[-1], (mean, variance))

    def watched(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the teacher's logits of normalised images, and what its BatchNorm sees minus what it remembers.

        Returns:
            (N, K); means and variances of all channels, (channels,) each.
        """
        teacher, mean, variance = self.watch(images)
        return teacher, mean - self.stored[0], variance - self.stored[1]

    def generate(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return images (N, 3, H, W) in [0, 1], the teacher's logits (N, K) and classes (N,) of them.

        Nothing carries a gradient, but the generator's BatchNorm counts the batch.
        """
        with torch.no_grad():
            images = self.generator(latent)
            target = self.teacher(self.normalise_unit(images))[-1]
            return images, target, target.argmax(1).to(torch.int32)

    def restore(self, images: Tensor, labels: Tensor, latent: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
        """Return the encoder's loss.

        Args:
            images: (N, 3, H, W) float32 in [0, 1], generated.
            labels: (N,) int32, the teacher's classes.
            latent: (N, L) from which they were generated.
            noise: (N, L) float32.
        """
        restored, mean, log_variance = self.encoder(images, labels, noise)
        return (encoder_loss(restored, latent, mean, log_variance),)

    def observe(self, latent: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
        """Return what ``judge`` needs of a batch but the student's logits, in evaluation mode, without gradient.

        Args:
            latent: (N, L) float32.
            noise: (N, L) float32.
        Returns:
            Normalised images (N, 3, H, W), what ``watched`` returns of them, and the encoder's loss ().
        """
        with torch.no_grad():
            images = self.still_generator(latent)
            seen = self.normalise_unit(images)
            watched = self.watched(seen)
            labels = watched[0].argmax(1).to(torch.int32)
            restored, mean, log_variance = self.still_encoder(images, labels, noise)
            return (seen, *watched, encoder_loss(restored, latent, mean, log_variance))

    def judge(self, latent: np.ndarray, noise: np.ndarray) -> tuple[float, float]:
        """Return the losses of generator and encoder in evaluation mode, means over batches.

        Args:
            latent: (batches, N, L) float32, the same whenever weights are compared.
            noise: (batches, N, L) float32.
        """
        found = [self._judge(*map(self.backend.tensor, pair)) for pair in zip(latent, noise)]
        means = np.mean([[float(value) for value in one] for one in found], axis=0)
        return float(means[0]), float(means[1])

    def pictures(self, latent: np.ndarray) -> np.ndarray:
        """Return what the generator makes, uint8 (N, 3, H, W) RGB, in evaluation mode."""
        with torch.no_grad():
            images = self.still_generator(self.backend.tensor(latent))
        return np.rint(self.backend.numpy(images) * 255.0).astype(np.uint8)

    def _learn(self, batch: Mapping[str, np.ndarray]) -> tuple[Done, Done]:
        """Return what the passes of student and encoder found on the same generated images."""
        images, target, labels = self._generate(self.backend.tensor(batch["latent"]))
        student = self._forward({**batch, "images": images, "target": target}, ("loss",))
        return student, self._restore({**batch, "images": images, "labels": labels}, ("encoder",))

    def _judge(self, latent: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            images, teacher, *gap, encoder = self._observe(latent, noise)
            return generator_loss(teacher, self.logits(images), gap)[0], encoder


def _turns(batch: Mapping[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """Return the batches of a step's updates, one after another: the generator's, then those of the student."""
    turns = [{"latent": latent} for latent in batch["latent"]]
    for key, first in (("dropout", 0), ("noise", 1)):
        for turn, array in zip(turns[first:], batch.get(key, ())):
            turn[key] = array
    return turns
