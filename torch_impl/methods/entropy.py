"""The train steps of ENT and MME (Saito et al., ICCV 2019, arXiv 1904.06487); batches: ``common.methods.ssda``."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.accumulate import Step, parts
from torch_impl.class_losses import entropy
from torch_impl.methods.classification import ClassificationObjective
from torch_impl.passes import Done


class RoundsObjective(ClassificationObjective):
    """A step of two rounds: labelled images, then unlabelled ones with the updated weights.

    Each round is an update of its own, with weight decay; both share the momentum. The authors' numbers come from two
    rounds, not from one joint step. The first round is ``forward``.
    """

    def __init__(
        self, config: Any, backend: Any, frozen: Mapping[str, Mapping[str, np.ndarray]] | None = None
    ) -> None:
        """Arguments and errors as ``Objective``."""
        super().__init__(config, backend, frozen)
        self._second = self.differentiated(self.second, self.main)

    def names(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Return the names of the first round's losses."""
        return ("supervised",)

    def second_names(self) -> tuple[str, ...]:
        """Return the names of the second round's losses."""
        raise NotImplementedError

    def forward(
        self,
        source_image: Tensor,
        source_label: Tensor,
        target_image: Tensor,
        target_label: Tensor,
        dropout: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Return the cross entropy of S+T, source and labelled target images in one pass.

        Args:
            source_image: (N, 3, H, W) uint8 RGB.
            source_label: (N,) int32.
            target_image: (M, 3, H, W).
            target_label: (M,).
            dropout: (N + M, units) uint8; None where the network has no dropout.
        """
        image, label = torch.cat([source_image, target_image]), torch.cat([source_label, target_label])
        return (self.classification(image, label, dropout),)

    def second(self, unlabelled_image: Tensor, unlabelled_dropout: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return the losses of the second round, the differentiated one first."""
        raise NotImplementedError

    def rounds(self, batch: Step) -> Iterator[Done]:
        """Yield what each round found; the second is computed when it is asked for, with the weights of that moment."""
        yield self.mean(self._forward(one, self.names(tuple(one))) for one in parts(batch))
        yield self.mean(map(self.second_round, parts(batch)))

    def second_round(self, batch: Mapping[str, np.ndarray]) -> Done:
        """Return what the second round finds on one batch, with the weights of this moment."""
        return self._second(batch, self.second_names())

    def step(self, batch: Step, lr: float) -> dict[str, Tensor]:
        """Train on one batch in two rounds; arguments as ``Objective.step``.

        Returns:
            ``loss``, the sum of what the rounds differentiated, and the losses of both.
        """
        total, losses = 0.0, {}
        for done in self.rounds(batch):
            self.update(self.main, done.gradients, lr)
            total, losses = total + next(iter(done.losses.values())), losses | done.losses
        return {"loss": total, **losses}


class Ent(RoundsObjective):
    """ENT: the whole network minimises the entropy of unlabelled predictions (Grandvalet & Bengio, NeurIPS 2004)."""

    def __init__(
        self, config: Any, backend: Any, frozen: Mapping[str, Mapping[str, np.ndarray]] | None = None
    ) -> None:
        """Arguments and errors as ``Objective``."""
        super().__init__(config, backend, frozen)
        self.lambda_entropy = config.method.lambda_entropy

    def second_names(self) -> tuple[str, ...]:
        """Return ``entropy``, times its weight."""
        return ("entropy",)

    def second(self, unlabelled_image: Tensor, unlabelled_dropout: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return ``lambda * H``.

        Args:
            unlabelled_image: (U, 3, H, W) uint8 RGB.
            unlabelled_dropout: (U, units) uint8; None where the network has no dropout.
        """
        logits = self.network(self.normalise(unlabelled_image), unlabelled_dropout)[-1]
        return (self.lambda_entropy * entropy(logits),)


class Mme(RoundsObjective):
    """MME: what lies before the gradient reversal minimises the entropy, the last layer maximises it."""

    def __init__(
        self, config: Any, backend: Any, frozen: Mapping[str, Mapping[str, np.ndarray]] | None = None
    ) -> None:
        """Arguments and errors as ``Objective``."""
        super().__init__(config, backend, frozen)
        self.lambda_entropy = config.method.lambda_entropy

    def second_names(self) -> tuple[str, ...]:
        """Return ``adversarial``."""
        return ("adversarial",)

    def second(self, unlabelled_image: Tensor, unlabelled_dropout: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return ``-lambda * H``, whose gradient is reversed in the head; negative numbers are as it should be.

        Args:
            unlabelled_image: (U, 3, H, W) uint8 RGB.
            unlabelled_dropout: (U, units) uint8; None where the network has no dropout.
        """
        features, _ = self.network.embed(self.normalise(unlabelled_image), 0, unlabelled_dropout)
        _, logits = self.network.classify(features, 1.0)
        return (-self.lambda_entropy * entropy(logits),)
