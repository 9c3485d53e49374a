"""DiGA's image translator (Shen et al., CVPR 2023), trained with cycles, discriminators and a perceptual loss."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.accumulate import Step, parts
from common.networks.translator import CriticsConfig, TranslatorConfig, Vgg19Config
from torch_impl.nets import build_network
from torch_impl.nets.training import set_mode
from torch_impl.nets.vgg19 import Vgg19
from torch_impl.objective import Objective
from torch_impl.translation import critic_loss, edge_loss, generator_loss, mean_distance, perceptual_loss
from torch_impl.weights import set_weights

_CRITICS = ("critics", "critic_s2t", "critic_t2s")
_PARTS = ("loss", "adversarial", "cycle", "edge", "perceptual", "reconstruction")


class TranslatorTraining(Objective):
    """Discriminators first, then the generators against the discriminators as they are then.

    Attributes:
        critics: The discriminators of both directions.
        features: VGG-19 of the perceptual loss; None where that has no weight.
    """

    def __init__(
        self, config: Any, backend: Any, frozen: Mapping[str, Mapping[str, np.ndarray]] | None = None
    ) -> None:
        """Arguments and errors as ``Objective``; ``config.optim`` serves both sides."""
        super().__init__(config, backend, frozen)
        self.options = config.method.translator
        critics = build_network(CriticsConfig(width=self.options.width), 0, config.seed)
        self._critics = self.further("critics", critics, config.optim)
        self.features = self._perceptual_network() if self.options.lambda_perceptual else None
        self._judge = self.differentiated(self.judge, self._critics)

    def network_config(self) -> TranslatorConfig:
        """Return the description of the generators."""
        return TranslatorConfig(width=self.config.method.translator.width)

    def names(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Return ``loss`` and the five parts, unweighted."""
        return _PARTS

    def step(self, batch: Step, lr: float) -> dict[str, Tensor]:
        """Train both sides on one batch; arguments and result as ``Objective``, the critics' losses behind."""
        each = parts(batch)
        judged = self.mean(self._judge(one, _CRITICS) for one in each)
        self.update(self._critics, judged.gradients, lr)
        done = self.mean(self._forward(one, self.names(tuple(one))) for one in each)
        self.update(self.main, done.gradients, lr)
        return {**done.losses, **judged.losses}

    def judge(self, source_image: Tensor, target_image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the discriminators' least-squares losses: their sum, and that of either.

        Args:
            source_image: (N, 3, H, W) uint8 RGB, sides of at least 64 that are divisible by 4.
            target_image: (N, 3, H, W).
        """
        source, target = self.normalise(source_image), self.normalise(target_image)
        net = self.network
        as_target = net.dec_s2t(net.enc_s(source)).detach()
        as_source = net.dec_t2s(net.enc_t(target)).detach()
        real, fake = self.critics(target, source), self.critics(as_target, as_source)
        s2t, t2s = critic_loss(real[0], fake[0]), critic_loss(real[1], fake[1])
        return s2t + t2s, s2t, t2s

    def forward(self, source_image: Tensor, target_image: Tensor, source_edge: Tensor) -> tuple[Tensor, ...]:
        """Return the generators' loss and its parts.

        Args:
            source_image: (N, 3, H, W) uint8 RGB, sides of at least 64 that are divisible by 4.
            target_image: (N, 3, H, W).
            source_edge: (N, H, W) uint8, 1 at the boundaries of the source's labels.
        """
        source, target, net = self.normalise(source_image), self.normalise(target_image), self.network
        content_s, content_t = net.enc_s(source), net.enc_t(target)
        s2t, t2s = net.dec_s2t(content_s), net.dec_t2s(content_t)
        again = mean_distance(net.dec_t2s(content_s), source) + mean_distance(net.dec_s2t(content_t), target)
        cycle_s = mean_distance(net.dec_t2s(net.enc_t(s2t)), source)
        cycle = cycle_s + mean_distance(net.dec_s2t(net.enc_s(t2s)), target)
        judged = self.critics(s2t, t2s)
        fooled = generator_loss(judged[0]) + generator_loss(judged[1])
        edge, options, looks = edge_loss(s2t, source, source_edge), self.options, torch.zeros_like(again)
        if options.lambda_perceptual:
            looks = perceptual_loss(self.features, s2t, source) + perceptual_loss(self.features, t2s, target)
        total = options.lambda_adversarial * fooled + options.lambda_cycle * cycle + options.lambda_edge * edge
        total = total + options.lambda_perceptual * looks + options.lambda_self * again
        return total, fooled, cycle, edge, looks, again

    def _perceptual_network(self) -> Vgg19:
        features = build_network(Vgg19Config(), 0, self.config.seed).to(self.backend.device).requires_grad_(False)
        if self.options.vgg:
            set_weights(features, self.backend.load(self.options.vgg), str(self.options.vgg))
        set_mode(features, False)
        return features
