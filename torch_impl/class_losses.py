"""Losses of adaptation on logits (N, C) of whole images: entropy, pseudo-labels, distillation, alignment.

All take raw logits and compute at least in float32, whatever the precision of the network.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from torch_impl.numerics import exp, log_softmax, wide

SIGMAS = (1.0, 2.0, 5.0, 10.0)  # widths of APE's kernels
_LOG = 1e-5  # added to probabilities before the logarithm, as in SSDA_MME and APE
_COUNT = 1e-5  # added to the number of images that count


def cross_entropies(logits: Tensor, label: Tensor) -> Tensor:
    """Return the cross entropy of each image.

    Args:
        logits: (N, C).
        label: (N,) integers in [0, C).
    Returns:
        (N,), at least float32.
    """
    return functional.cross_entropy(wide(logits), label.long(), reduction="none")


def pseudo_targets(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the class of the largest logit, the first on ties, (N,) int64, and its probability (N,); no gradient."""
    probabilities = wide(logits.detach()).softmax(dim=1)
    label = probabilities.argmax(dim=1)
    return label, probabilities.amax(dim=1)


def confident_cross_entropy(logits: Tensor) -> Tensor:
    """Return the mean over images of ``max p * CE(logits, argmax p)``; target and weight are constants (S3D).

    Args:
        logits: (N, C).
    Returns:
        () not negative.
    """
    label, confidence = pseudo_targets(logits)
    return (confidence * cross_entropies(logits, label)).mean()


def distillation(student: Tensor, teacher: Tensor, temperature: float = 4.0) -> Tensor:
    """Return ``T^2 / N * sum KL(softmax(teacher / T) || softmax(student / T))``; the teacher is a constant (S3D).

    Args:
        student: (N, C).
        teacher: (N, C).
        temperature: T.
    Returns:
        () not negative.
    """
    log_q = log_softmax(wide(teacher.detach()) / temperature)
    log_p = log_softmax(wide(student) / temperature)
    return temperature**2 * (exp(log_q) * (log_q - log_p)).sum(dim=1).mean()


def entropies(logits: Tensor) -> Tensor:
    """Return ``-sum_c p log(p + 1e-5)`` of each image, (N,), at least float32."""
    p = wide(logits).softmax(dim=1)
    return -(p * (p + _LOG).log()).sum(dim=1)


def entropy(logits: Tensor) -> Tensor:
    """Return the mean entropy of images (N, C) (SSDA_MME: minimised by ENT, minimised and maximised by MME)."""
    return entropies(logits).mean()


def exploration(logits: Tensor, threshold: float) -> Tensor:
    """Return the mean cross entropy with their own predictions of the images whose entropy is below a threshold (APE).

    Args:
        logits: (N, C).
        threshold: In nats; 0.5 for ResNet, 0.3 for AlexNet and VGG.
    Returns:
        () not negative; 0 with zero gradient when no entropy is below the threshold.
    """
    label, _ = pseudo_targets(logits)
    counts = (entropies(logits.detach()) < threshold).to(torch.float32)
    return (counts * cross_entropies(logits, label)).sum() / (_COUNT + counts.sum())


def attraction(x: Tensor, y: Tensor, sigmas: Sequence[float] = SIGMAS) -> Tensor:
    """Return the squared maximum mean discrepancy of two sets of vectors: biased, Gaussian kernels (APE).

    The kernel is ``sum_sigma exp(-|a - b|^2 / (2 sigma^2))``.

    Args:
        x: (N, D).
        y: (N, D); as many.
        sigmas: Widths of the kernels.
    Returns:
        () not negative.
    """
    return _kernel(x, x, sigmas) + _kernel(y, y, sigmas) - 2.0 * _kernel(x, y, sigmas)


def consistency(perturbed: Tensor, clean: Tensor) -> Tensor:
    """Return ``KL(softmax(clean) || softmax(perturbed))``, mean over all N * D elements; both carry gradient (APE).

    Args:
        perturbed: (N, D).
        clean: (N, D).
    """
    log_q = log_softmax(clean)
    return (exp(log_q) * (log_q - log_softmax(perturbed))).mean()


def direction(x: Tensor) -> Tensor:
    """Return each item of (N, ...) divided by its length + 1e-8."""
    length = x.flatten(1).norm(dim=1).reshape(-1, *[1] * (x.dim() - 1))
    return x / (length + 1e-8)


def _kernel(a: Tensor, b: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Return the mean of the kernel over all pairs, less the number of kernels: constants cancel in the discrepancy."""
    distances = (wide(a)[:, None] - wide(b)[None]).square().sum(dim=2)
    return sum(torch.expm1(-distances / (2.0 * sigma**2)).mean() for sigma in sigmas)
