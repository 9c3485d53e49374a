"""Losses of DiGA's image translator: least-squares adversarial, perceptual, label edges (Shen et al., CVPR 2023)."""

from collections.abc import Sequence

import mindspore
from mindspore import Tensor, ops
from mindspore.nn import Cell as Network

_LEVELS = 5
_WIDEST = 1024
_HALVINGS = 4  # enough for images of 16384 pixels


def critic_loss(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Least-squares loss of a discriminator (LSGAN; Mao et al., ICCV 2017), summed over its scales.

    Args:
        real: Judgements of real images, one map a scale.
        fake: Judgements of translated images, one map a scale.
    Returns:
        () float32: sum of ``mean((real - 1) ** 2) + mean(fake ** 2)``.
    """
    return sum(((r - 1.0) ** 2).mean() + (f**2).mean() for r, f in zip(real, fake))


def generator_loss(fake: Sequence[Tensor]) -> Tensor:
    """Return the sum over scales of ``mean((fake - 1) ** 2)``, () float32."""
    return sum(((f - 1.0) ** 2).mean() for f in fake)


def mean_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean absolute difference, () float32."""
    return (a - b).abs().mean()


def perceptual_loss(features: Network, images: Tensor, like: Tensor) -> Tensor:
    """Weighted L1 distance of five levels of features (Johnson et al., ECCV 2016; weights of pix2pixHD).

    Args:
        features: Returns the five levels of images; not trained.
        images: (N, 3, H, W).
        like: (N, 3, H, W), a constant; both are halved while they are wider than 1024.
    Returns:
        () float32.
    """
    levels = perceptual_distances(features, images, like)
    return levels[0] / 32 + levels[1] / 16 + levels[2] / 8 + levels[3] / 4 + levels[4]


def perceptual_distances(features: Network, images: Tensor, like: Tensor) -> list[Tensor]:
    """Return the mean absolute difference of each level, () float32 each; arguments of ``perceptual_loss``."""
    for _ in range(_HALVINGS):
        if images.shape[3] > _WIDEST:
            images, like = ops.avg_pool2d(images, 2, 2), ops.avg_pool2d(like, 2, 2)
    wanted = features(like)
    found = features(images)
    return [mean_distance(found[index], ops.stop_gradient(wanted[index])) for index in range(_LEVELS)]


def edge_loss(translated: Tensor, images: Tensor, edges: Tensor) -> Tensor:
    """Mean over all pixels of what a translation changed at class boundaries.

    Args:
        translated: (N, 3, H, W).
        images: (N, 3, H, W), the originals.
        edges: (N, H, W), 1 at boundaries (``common.data.class_mixing.label_edges``), else 0.
    Returns:
        () float32.
    """
    edges = edges.astype(mindspore.float32).expand_dims(1)
    return mean_distance(images * edges, translated * edges)
