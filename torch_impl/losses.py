"""Losses of dense prediction: cross entropy with ignored pixels, the two-level segmentation loss, distillation.

All take raw logits and compute at least in float32, whatever the precision of the network.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from torch_impl.numerics import exp, log_softmax, wide

IGNORED = 255


def upsample(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (N, C, h, w) to (N, C, H, W) = ``size``, bilinear with aligned corners, at least in float32."""
    return functional.interpolate(wide(logits), size=size, mode="bilinear", align_corners=True)


def cross_entropy(logits: Tensor, label: Tensor, over: str = "valid") -> Tensor:
    """Mean softmax cross entropy over the valid pixels of the whole batch (AdvEnt, CVPR 2019).

    Args:
        logits: (N, C, H, W).
        label: (N, H, W) integers in [0, C); 255 and negative numbers are ignored.
        over: What the sum is divided by: ``"valid"`` pixels, or ``"all"`` but the negative ones, so that 255 counts
            (the released code of DiGA, CVPR 2023).
    Returns:
        () float32; 0 with zero gradient when no pixel is valid.
    """
    return likelihood_loss(log_softmax(logits), label, over)


def likelihood_loss(log_p: Tensor, label: Tensor, over: str = "valid") -> Tensor:
    """Return ``cross_entropy`` of logarithms of probabilities (N, C, H, W), which several losses may share."""
    target = torch.where(label >= 0, label, IGNORED).long()
    total = functional.nll_loss(log_p, target, ignore_index=IGNORED, reduction="sum")
    pixels = (label >= 0).sum().float() if over == "all" else valid_pixels(label)
    return total / pixels.clamp(min=1)


def of_class(values: Tensor, label: Tensor) -> Tensor:
    """Return each item's value at its own class.

    Args:
        values: (N, C, ...).
        label: (N, ...) integers in [0, C).
    Returns:
        (N, ...).
    """
    return values.gather(1, label.long().unsqueeze(1)).squeeze(1)


def softmax(logits: Tensor) -> Tensor:
    """Return class probabilities of (N, C, ...) logits, at least in float32."""
    return functional.softmax(wide(logits), dim=1)


def valid_pixels(label: Tensor) -> Tensor:
    """Return how many pixels of (N, H, W) integers are neither 255 nor negative, as () float32."""
    return ((label >= 0) & (label != IGNORED)).sum().float()


def segmentation_loss(
    aux: Tensor | None, main: Tensor, label: Tensor, main_weight: float = 1.0, aux_weight: float = 0.1
) -> tuple[Tensor, Tensor, Tensor]:
    """Cross entropy of both classifiers after upsampling to the label's size: SEG of DDM, equations 2 and 3.

    Args:
        aux: (N, C, h, w) logits of the auxiliary classifier, or None: its part is then 0.
        main: (N, C, h, w) logits of the main classifier.
        label: (N, H, W) integers, 255 and negative numbers are ignored.
        main_weight: Factor of the main part.
        aux_weight: Factor of the auxiliary part.
    Returns:
        Three () float32: the weighted sum, the main part, the auxiliary part (both unweighted).
    """
    size = (label.shape[1], label.shape[2])
    main_part = cross_entropy(upsample(main, size), label)
    if aux is None:
        return main_weight * main_part, main_part, torch.zeros_like(main_part)
    aux_part = cross_entropy(upsample(aux, size), label)
    return main_weight * main_part + aux_weight * aux_part, main_part, aux_part


def distillation_kl(
    student: Tensor,
    teachers: tuple[Tensor, ...],
    size: tuple[int, int],
    temperature: float = 10.0,
    t2: bool = True,
    ensemble: str = "logits",
    reduction: str = "pixel_mean",
) -> Tensor:
    """KL(teachers || student) of tempered softmaxes: the first term of DDM's equation 4, without its factor lambda.

    Args:
        student: (N, C, h, w) logits.
        teachers: Logits of one shape, (N, C, h', w'); constants.
        size: (H, W) to which logits are upsampled before the softmax.
        temperature: T, divides the upsampled logits.
        t2: Multiply by T^2, so that gradients keep their size when T grows (Hinton et al., 2015).
        ensemble: ``"logits"``: softmax of the mean logits; ``"probs"``: mean of the softmaxes.
        reduction: ``"pixel_mean"``: sum over classes, mean over pixels and batch; ``"element_mean"``: that divided by
            C; ``"batch_mean"``: sum over classes and pixels, mean over the batch.
    Returns:
        () float32, not negative.
    """
    log_p = log_softmax(upsample(student, size) / temperature)
    q, log_q = _teacher(teachers, size, temperature, ensemble)
    factor = temperature * temperature if t2 else 1.0
    pixels = (q * (log_q - log_p)).sum(dim=1)
    if reduction == "batch_mean":
        return factor * pixels.sum(dim=(1, 2)).mean()
    if reduction == "element_mean":
        factor = factor / log_p.shape[1]
    return factor * pixels.mean()


def _teacher(
    teachers: tuple[Tensor, ...], size: tuple[int, int], temperature: float, ensemble: str
) -> tuple[Tensor, Tensor]:
    """Return the ensemble's probabilities and their logarithms, (N, C, H, W), without gradient."""
    with torch.no_grad():
        if ensemble == "logits":  # averaging commutes with upsampling
            log_q = log_softmax(upsample(sum(teachers) / len(teachers), size) / temperature)
        else:
            each = torch.stack([log_softmax(upsample(one, size) / temperature) for one in teachers])
            log_q = each.logsumexp(dim=0) - math.log(len(teachers))
    return exp(log_q), log_q
