"""Class centroids in feature space and the labels that agree with them (bilateral consensus; DiGA, CVPR 2023).

Nothing here is differentiated; features and centroids are at least float32.
"""

import torch
from torch import Tensor

from common.data.nearest import nearest_places
from torch_impl.losses import IGNORED, softmax, upsample
from torch_impl.numerics import wide

_MOST = 3000.0  # a count that is not passed, so that a mean becomes a slow moving average
_FEWEST = 5  # pixels of a class that make a vector


def one_hot(label: Tensor, classes: int) -> Tensor:
    """Return (N, classes + 1, H, W) float32 of (N, H, W) labels; the last channel stands for what is no class.

    Args:
        label: Numbers from 0 on; those from ``classes`` on, such as 255, are no class.
        classes: Number of classes.
    """
    place = torch.where(label >= classes, classes, label).unsqueeze(1)
    return (place == torch.arange(classes + 1, device=label.device).reshape(1, -1, 1, 1)).float()


def nearest(label: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (N, h, w) labels of (N, H, W) as PyTorch resizes: row about ``floor(i * H / h)``, column likewise."""
    rows, columns = nearest_places(label.shape[1], size[0]), nearest_places(label.shape[2], size[1])
    return label[:, rows][:, :, columns]


def class_means(feature: Tensor, logits: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the mean feature of every class in every image, and which of them count.

    Args:
        feature: (N, D, h, w).
        logits: (N, K, h, w); a pixel belongs to the class of its largest logit, the first one on ties.
        label: (N, h, w) integers; a pixel counts only where its label is that class. None: every pixel counts.
    Returns:
        (N, K, D) float32 and (N, K) bool: whether at least 5 pixels show the class.
    """
    classes = logits.shape[1]
    mask = one_hot(logits.argmax(dim=1), classes)[:, :classes]
    if label is not None:
        mask = mask * one_hot(label, classes)[:, :classes]
    flat = wide(feature).flatten(2)
    mask = mask.flatten(2).to(flat.dtype)
    counts = mask.sum(dim=2)
    means = mask @ flat.transpose(1, 2) / counts.clamp(min=1.0).unsqueeze(2)
    return means, counts >= _FEWEST


def follow_centroids(
    centroids: Tensor, counts: Tensor, means: Tensor, valid: Tensor, momentum: float | None, mean_below: int = 0
) -> tuple[Tensor, Tensor]:
    """Return the centroids after one update an image and class, images in order.

    A vector whose elements sum to exactly 0 changes nothing, as in the official code.

    Args:
        centroids: (K, D).
        counts: (K,) float32, updates so far, at most 3000.
        means: (N, K, D), of ``class_means``.
        valid: (N, K) bool.
        momentum: m of the moving average ``(1 - m) * c + m * v``; None: the mean ``(c * n + v) / (n + 1)``.
        mean_below: A class with fewer updates takes the mean in any case.
    """
    for vectors, counted in zip(means.unbind(0), torch.logical_and(valid, means.sum(dim=2) != 0).unbind(0)):
        mean = (centroids * counts.unsqueeze(1) + vectors) / (counts.unsqueeze(1) + 1.0)
        moved = mean if momentum is None else (1.0 - momentum) * centroids + momentum * vectors
        moved = torch.where((counts < mean_below).unsqueeze(1), mean, moved)
        centroids = torch.where(counted.unsqueeze(1), moved, centroids)
        counts = torch.where(counted, (counts + 1.0).clamp(max=_MOST), counts)
    return centroids, counts


def centroid_distances(feature: Tensor, centroids: Tensor) -> Tensor:
    """Return the Euclidean distance (N, K, h, w) of features (N, D, h, w) from centroids (K, D)."""
    feature = wide(feature)
    each = [((feature - one.reshape(1, -1, 1, 1)) ** 2).sum(dim=1) for one in centroids.unbind(0)]
    return torch.stack(each, dim=1).sqrt()


def feature_weights(distances: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the softmax of the negative distances, then upsampled: (N, K, h, w) to (N, K, *size)."""
    return upsample(softmax(-distances), size)


def bilateral_consensus(feature: Tensor, centroids: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Return the label of the nearest centroid, and the label on which it and a given one agree.

    Args:
        feature: (N, D, h, w).
        centroids: (K, D).
        label: (N, H, W) integers, the labels of another source; 255 stays.
    Returns:
        Two (N, H, W): the feature's labels (the first class on ties), and ``label`` where both agree, else 255.
    """
    size = (label.shape[1], label.shape[2])
    found = feature_weights(centroid_distances(feature, centroids), size).argmax(dim=1).to(label.dtype)
    return found, torch.where(found == label, label, IGNORED)


def class_shares(label: Tensor, classes: int) -> Tensor:
    """Return (classes,) float32, the share of the pixels of (N, H, W) integers that shows each class."""
    numbers = torch.arange(classes, device=label.device).reshape(-1, 1)
    return (label.reshape(1, -1) == numbers).float().mean(dim=1)


def paste(mask: Tensor, above: Tensor, below: Tensor) -> Tensor:
    """Return ``above`` where a mask (N, H, W) is not 0, else ``below``; images (N, C, H, W) or labels (N, H, W)."""
    chosen = mask != 0
    return torch.where(chosen if above.ndim == 3 else chosen.unsqueeze(1), above, below)
