"""Losses of DiGA's training stages (Shen et al., CVPR 2023) beside the cross entropy: OHEM and symmetric distillation.

All take raw logits and compute at least in float32.
"""

import mindspore
from mindspore import Tensor, ops

from ms_impl.losses import IGNORED, of_class, softmax, upsample
from ms_impl.numerics import log_softmax


def ohem_cross_entropy(logits: Tensor, label: Tensor, threshold: float = 0.7, min_kept: int = 100_000) -> Tensor:
    """Cross entropy of the hardest pixels (online hard example mining; Shrivastava et al., CVPR 2016).

    A pixel is hard when the probability p of its class is below a bound: the larger of ``threshold`` and the
    ``min_kept``-th smallest p (counted from 0; the largest when there are fewer pixels) of the whole batch.

    Args:
        logits: (N, C, h, w); upsampled to the label's size where it differs.
        label: (N, H, W) integers in [0, C); 255 is ignored.
        threshold: In [0, 1].
        min_kept: About how many pixels are kept at least. Of these images: where a step has several micro-batches or
            ranks, of each one's.
    Returns:
        () float32, the mean over the hard pixels; 0 with zero gradient when there is none.
    """
    valid = label != IGNORED
    log_p = log_softmax(upsample(logits, tuple(label.shape[1:])))
    picked = of_class(log_p, ops.where(valid, label, ops.zeros_like(label)))
    p = ops.where(valid, 1.0 + ops.expm1(ops.stop_gradient(picked)), 2.0)
    last = ops.clamp(valid.astype(mindspore.int32).sum() - 1, 0, min_kept)
    bound = ops.clamp(ops.gather_elements(ops.sort(p.reshape(-1))[0], 0, last.reshape(1)), threshold)
    hard = ops.stop_gradient(ops.logical_and(valid, p < bound).astype(mindspore.float32))
    return -(picked * hard).sum() / ops.maximum(hard.sum(), 1.0)


def symmetric_distillation(teacher: Tensor, student: Tensor, scale: float = 0.5) -> Tensor:
    """Cross entropy between the two views of every image in both directions: DiGA's pixel-wise distillation.

    Args:
        teacher: (2 N, C, H, W) logits: the original views, then the mixed ones; a constant.
        student: (2 N, C, H, W) logits of the same views.
        scale: Weight of the reverse direction, from the teacher's mixed view to the student's original one.
    Returns:
        () float32: mean over images and pixels, summed over classes.
    """
    original, mixed = _crossed(teacher, student)
    return original.mean() + scale * mixed.mean()


def masked_symmetric_distillation(teacher: Tensor, student: Tensor, mask: Tensor, scale: float = 1.0) -> Tensor:
    """Return ``symmetric_distillation`` over some of the pixels.

    Args:
        teacher: (2 N, C, H, W) logits.
        student: (2 N, C, H, W) logits.
        mask: (N, H, W) float32, 1 for pixels that count in both directions.
        scale: Weight of the reverse direction.
    Returns:
        () float32: each direction is a sum over the pixels that count, divided by their number plus 1e-6.
    """
    original, mixed = _crossed(teacher, student)
    return ((original + scale * mixed) * mask).sum() / (mask.sum() + 1e-6)


def masked_distillation(teacher: Tensor, student: Tensor, mask: Tensor) -> Tensor:
    """Cross entropy of a student under its teacher's probabilities over some of the pixels.

    Args:
        teacher: (N, C, H, W) logits, a constant.
        student: (N, C, H, W) logits.
        mask: (N, H, W) float32, 1 for pixels that count.
    Returns:
        () float32: sum over the pixels that count, divided by their number plus 1e-6.
    """
    return (_soft_cross_entropy(teacher, student) * mask).sum() / (mask.sum() + 1e-6)


def _crossed(teacher: Tensor, student: Tensor) -> tuple[Tensor, Tensor]:
    """Return (N, H, W) of the student's mixed views under the teacher's original ones, and of the reverse."""
    count = teacher.shape[0] // 2
    original = _soft_cross_entropy(teacher[:count], student[count:])
    return original, _soft_cross_entropy(teacher[count:], student[:count])


def _soft_cross_entropy(teacher: Tensor, student: Tensor) -> Tensor:
    return -(ops.stop_gradient(softmax(teacher)) * log_softmax(student)).sum(axis=1)
