"""Losses of data-free distillation, of anchors and of the student between them (AuG-KD, Tang et al., ICLR 2024).

All take raw logits (N, K) and integer labels (N,), and compute at least in float32. Sums run over the batch unless a
function says that it returns a mean.
"""

import math

import torch
from torch import Tensor

from torch_impl.class_losses import cross_entropies
from torch_impl.numerics import exp, log_softmax, wide

ENTROPY, PRIOR, LABEL = 20.0, 0.00025, 0.1  # weights: generator's entropy, encoder's prior, anchor's cross entropy
_LEAST = 1e-8  # probabilities of a target are at least this
_TINY = 1e-30


def kl_divergence(logits: Tensor, target: Tensor, temperature: float = 1.0) -> Tensor:
    """Return the elements (N, K) of T^2 * KL(target || prediction), both tempered; neither side is a constant.

    The target's probabilities are at least 1e-8, without gradient there.
    """
    log_q = log_softmax(target / temperature).clamp(min=math.log(_LEAST))
    return exp(log_q) * (log_q - log_softmax(logits / temperature)) * temperature**2


def js_divergence(logits: Tensor, target: Tensor, temperature: float = 1.0) -> Tensor:
    """Return the elements (N, K) of KL(mid || prediction) + KL(mid || target), mid the mean of both softmaxes.

    Only the target is tempered, as in the official code.
    """
    log_p, log_q = log_softmax(logits), log_softmax(target / temperature)
    middle = (exp(log_p) + exp(log_q)) / 2
    return middle * (2 * middle.clamp(min=_TINY).log() - log_p - log_q)


def distillation_parts(
    student: Tensor, target: Tensor, labels: Tensor, temperature: float = 10.0
) -> tuple[Tensor, Tensor]:
    """Return ``CE(student, label)`` and ``T^2 KL(target || student)`` of every sample, (N,) each.

    Args:
        student: (N, K) logits.
        target: (N, K) logits; the gradient flows into them too.
        labels: (N,) integers.
        temperature: T.
    """
    return cross_entropies(student, labels), kl_divergence(student, target, temperature).sum(1)


def distillation_loss(
    student: Tensor, target: Tensor, labels: Tensor, weight: float | Tensor = 0.5, temperature: float = 10.0
) -> Tensor:
    """Return the mean over samples of ``u * CE(student, label) + (1 - u) * T^2 KL(target || student)``.

    Args:
        student: (N, K) logits.
        target: (N, K) logits; the gradient flows into them too.
        labels: (N,) integers.
        weight: u, one number or (N,).
        temperature: T.
    """
    certainty, divergence = distillation_parts(student, target, labels, temperature)
    return (weight * certainty + (1 - weight) * divergence).mean()


def generator_loss(teacher: Tensor, student: Tensor, gap: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Loss of the data-free generator: the teacher is sure, the student disagrees, classes are even, statistics fit.

    Args:
        teacher: (N, K) logits of generated images; its own argmax is the label.
        student: (N, K) logits of the same images.
        gap: Means and variances of the teacher's BatchNorm inputs minus its running ones, (channels,) each.
    Returns:
        Five (): the loss ``ce - kl + 20 * entropy + statistics``, and these four: mean cross entropy, mean
        KL(teacher || student), ``sum p log10 p`` of the batch's mean prediction, the two norms of the gap together.
    """
    entropy = _negative_entropy(exp(log_softmax(teacher)).mean(0))
    certainty = cross_entropies(teacher, teacher.argmax(1)).mean()
    divergence, statistics = kl_divergence(student, teacher).sum(1).mean(), norm(gap[0]) + norm(gap[1])
    return certainty - divergence + ENTROPY * entropy + statistics, certainty, divergence, entropy, statistics


def conditional_generator_loss(teacher: Tensor, student: Tensor, labels: Tensor, gap: tuple[Tensor, Tensor]) -> Tensor:
    """Return the loss of a generator that is told the label: entropies are those of single samples.

    ``(-KL + CE(teacher, label) + 20 * sum p log10 p + norms) / N``, with sums over the batch but one pair of norms.
    """
    entropy = _negative_entropy(exp(log_softmax(teacher)))
    total = cross_entropies(teacher, labels).sum() - kl_divergence(student, teacher).sum() + ENTROPY * entropy
    return (total + norm(gap[0]) + norm(gap[1])) / teacher.shape[0]


def encoder_loss(
    restored: Tensor, latent: Tensor, mean: Tensor, log_variance: Tensor, realness: Tensor | None = None
) -> Tensor:
    """Return the mean over samples of the squared distance of latent vectors plus 0.00025 KL to the standard normal.

    Args:
        restored: (N, L) latent vector that the encoder found.
        latent: (N, L) from which the image was made.
        mean: (N, L) of the encoder.
        log_variance: (N, L) of the encoder.
        realness: (N, 1) probabilities of a discriminator, whose cross entropy with "real" is added; or None.
    """
    prior = -0.5 * (log_variance - mean.square() - log_variance.expm1()).sum()
    total = (restored - latent).square().sum() + PRIOR * prior
    if realness is not None:
        total = total - realness.clamp(min=_TINY).log().sum()
    return total / latent.shape[0]


def uncertainty(logits: Tensor, temperature: float = 1.0, mode: str = "energy") -> Tensor:
    """Return how unsure a classifier is of each sample, (N,); small means sure.

    Args:
        logits: (N, K).
        temperature: T, of the energy only.
        mode: ``"energy"``: ``-T logsumexp(logits / T)`` (Liu et al., NeurIPS 2020); ``"max_softmax"``: 1 minus the
            largest probability, not tempered.
    """
    if mode == "energy":
        return -temperature * torch.logsumexp(wide(logits) / temperature, 1)
    return 1.0 - exp(log_softmax(logits)).amax(1)


def anchor_loss(
    logits: Tensor,
    labels: Tensor,
    mask: Tensor,
    invariant: float,
    mode: str = "energy",
    budget: str = "batch",
    temperature: float = 1.0,
) -> tuple[Tensor, ...]:
    """Loss of the anchor network: the teacher is sure of the anchor and of its label, and not all of it is replaced.

    Args:
        logits: (N, K) of the teacher on the anchors' images.
        labels: (N,) integers.
        mask: (N, L) in [0, 1/3): how much of each number of the latent vector is replaced.
        invariant: Share of the latent vector that stays, in [0, 1].
        mode: Of ``uncertainty``.
        budget: ``"batch"``: the whole batch's mask is held to the budget of one sample, ``L (1 - invariant)``, as in
            the official code; ``"sample"``: each sample's to a third of it, the most a mask can reach.
        temperature: Of ``uncertainty``.
    Returns:
        Four (): the loss, and its parts: sum of the uncertainty, distance from the budget, sum of the cross entropy.
    """
    room = mask.shape[1] * (1.0 - invariant)
    distance = (mask.sum() - room).abs() if budget == "batch" else (mask.sum(1) - room / 3.0).abs().sum()
    unsure, wrong = uncertainty(logits, temperature, mode).sum(), cross_entropies(logits, labels).sum()
    return unsure + distance + LABEL * wrong, unsure, distance, wrong


def norm(x: Tensor) -> Tensor:
    """Return the Euclidean length of a vector, (); its gradient at the origin is 0."""
    return x.square().sum().clamp(min=_TINY).sqrt()


def _negative_entropy(p: Tensor) -> Tensor:
    """Return the sum of ``p log10 p``; 0 for a probability of 0."""
    return (p * p.clamp(min=_TINY).log()).sum() / math.log(10.0)
