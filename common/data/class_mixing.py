"""Class-wise mixing (ClassMix and DACS, WACV 2021; CrDoMix of DiGA, CVPR 2023), and label edges."""

from collections.abc import Sequence

import numpy as np

IGNORED = 255
_EDGE = 0.1  # threshold of the filter's answer


def half_of_classes(label: np.ndarray, rng: np.random.Generator) -> tuple[int, ...]:
    """Draw half of the classes of a label, rounded down; 255 counts as a class.

    Args:
        label: (H, W) integers.
        rng: Generator of this image's position.
    """
    present = np.unique(label)
    return tuple(int(one) for one in rng.choice(present, present.size // 2, replace=False))


def paste_mask(label: np.ndarray, chosen: Sequence[int]) -> np.ndarray:
    """Return (H, W) uint8, 1 where a label is one of the chosen classes or 255: ignored pixels always go along."""
    return np.isin(label, (*chosen, IGNORED)).astype(np.uint8)


def paste_masks(labels: Sequence[np.ndarray], chosen: Sequence[Sequence[int]]) -> np.ndarray:
    """Return (N, H, W) uint8, ``paste_mask`` of each label; 0 everywhere where no label of the batch shows a class.

    The official code leaves that case undefined: images of which nothing is known are not worth pasting.

    Args:
        labels: N of (H, W) integers.
        chosen: Classes of each.
    """
    masks = np.stack([paste_mask(label, some) for label, some in zip(labels, chosen)])
    known = any((label != IGNORED).any() for label in labels)
    return masks if known else np.zeros_like(masks)


def label_edges(label: np.ndarray) -> np.ndarray:
    """Return (..., H, W) uint8, 1 near the boundary of two classes (the structure loss of DiGA's translator).

    The label map, 255 included, is filtered with a 5x5 Laplacian (24 times the centre minus the sum around it,
    divided by 48), mirrored at the border; an edge is where the answer's magnitude exceeds 0.1.

    Args:
        label: (..., H, W) integers, sides of at least 3.
    """
    value = label.astype(np.int32)
    pad = [(0, 0)] * (value.ndim - 2) + [(2, 2), (2, 2)]
    padded = np.pad(value, pad, mode="reflect")
    height, width = value.shape[-2:]
    around = sum(padded[..., i : i + height, j : j + width] for i in range(5) for j in range(5))
    return (np.abs(around - 25 * value) > 48 * _EDGE).astype(np.uint8)
