"""Class centroids in feature space and the labels that agree with them (bilateral consensus; DiGA, CVPR 2023).

Nothing here is differentiated; features and centroids are float32.
"""

import mindspore
from mindspore import Tensor, ops

from common.data.nearest import nearest_places
from ms_impl.losses import IGNORED, softmax, upsample
from ms_impl.numerics import wide

_MOST = 3000.0  # a count that is not passed, so that a mean becomes a slow moving average
_FEWEST = 5  # pixels of a class that make a vector


def one_hot(label: Tensor, classes: int) -> Tensor:
    """Return (N, classes + 1, H, W) float32 of (N, H, W) labels; the last channel stands for what is no class.

    Args:
        label: Numbers from 0 on; those from ``classes`` on, such as 255, are no class.
        classes: Number of classes.
    """
    place = ops.where(label >= classes, ops.full_like(label, classes), label).expand_dims(1)
    return (place == ops.arange(classes + 1).reshape(1, -1, 1, 1)).astype(mindspore.float32)


def nearest(label: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (N, h, w) labels of (N, H, W) as PyTorch resizes: row about ``floor(i * H / h)``, column likewise."""
    rows, columns = nearest_places(label.shape[1], size[0]), nearest_places(label.shape[2], size[1])
    return ops.gather(ops.gather(label, Tensor(rows), 1), Tensor(columns), 2)


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
    mask = one_hot(logits.argmax(axis=1), classes)[:, :classes]
    if label is not None:
        mask = mask * one_hot(label, classes)[:, :classes]
    mask, flat = _flattened(mask), _flattened(feature.astype(mindspore.float32))
    counts = mask.sum(axis=2)
    means = ops.matmul(mask, flat.swapaxes(1, 2)) / ops.maximum(counts, 1.0).expand_dims(2)
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
    some = ops.logical_and(valid, means.sum(axis=2) != 0)
    for index in range(means.shape[0]):
        vectors, counted = means[index], some[index]
        mean = (centroids * counts.expand_dims(1) + vectors) / (counts.expand_dims(1) + 1.0)
        moved = mean if momentum is None else (1.0 - momentum) * centroids + momentum * vectors
        moved = ops.where((counts < mean_below).expand_dims(1), mean, moved)
        centroids = ops.where(counted.expand_dims(1), moved, centroids)
        counts = ops.where(counted, ops.minimum(counts + 1.0, _MOST), counts)
    return centroids, counts


def centroid_distances(feature: Tensor, centroids: Tensor) -> Tensor:
    """Return the Euclidean distance (N, K, h, w) of features (N, D, h, w) from centroids (K, D)."""
    feature = wide(feature)
    each = [ops.square(feature - one.reshape(1, -1, 1, 1)).sum(axis=1) for one in ops.unbind(centroids, 0)]
    return ops.sqrt(ops.stack(each, axis=1))


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
    found = feature_weights(centroid_distances(feature, centroids), size).argmax(axis=1).astype(label.dtype)
    return found, ops.where(found == label, label, ops.full_like(label, IGNORED))


def class_shares(label: Tensor, classes: int) -> Tensor:
    """Return (classes,) float32, the share of the pixels of (N, H, W) integers that shows each class."""
    numbers = ops.arange(classes).reshape(-1, 1)
    return (label.reshape(1, -1) == numbers).astype(mindspore.float32).mean(axis=1)


def paste(mask: Tensor, above: Tensor, below: Tensor) -> Tensor:
    """Return ``above`` where a mask (N, H, W) is not 0, else ``below``; images (N, C, H, W) or labels (N, H, W)."""
    chosen = mask != 0
    return ops.where(chosen if above.ndim == 3 else chosen.expand_dims(1), above, below)


def _flattened(x: Tensor) -> Tensor:
    return x.reshape(x.shape[0], x.shape[1], -1)
