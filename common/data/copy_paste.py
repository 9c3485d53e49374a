"""Hard-class copy-paste: pixels of classes that the network is unsure of are laid over training images.

Zhu et al., "Hard-aware Instance Adaptive Self-training", TPAMI 2025, in the form of the official code (HIAST).
"""

from collections.abc import Callable

import numpy as np
from pydantic import PositiveInt

from common.data.opencv import resize_linear, resize_nearest
from common.pseudo.class_bank import Bank
from common.schema import Strict

Rng = np.random.Generator
Pair = tuple[np.ndarray, np.ndarray]  # image (H, W, 3) uint8, label (H, W) uint8


class CopyPasteConfig(Strict):
    """Options of copy-paste; what is drawn is drawn anew for every image."""

    classes: PositiveInt = 14  # the hard classes: so many of the least confident
    # Most images that are copied from, until half of the hard classes were found. The official code counts a class as
    # found whether the image shows it or not, and so stops after the first image: 1.
    images: PositiveInt = 3


def copy_paste(pair: Pair, bank: Bank, load: Callable[[str], Pair], config: CopyPasteConfig, rng: Rng) -> Pair:
    """Return a pair with all pixels of hard classes of one image or more laid over it, at the places they have there.

    A hard class is drawn with probability proportional to ``(1 - confidence) ** 2``, then one of its images; the next
    class is drawn among those that no image has shown yet.

    Args:
        pair: Image and label; they are not changed.
        bank: Which images show which class.
        load: Gives image and label of a name; they are resized to the pair's size.
        config: How many classes and images.
        rng: Generator of this pair's position.
    Returns:
        Copies of image and label; equal to them where the bank is empty.
    """
    hard = bank.hard(config.classes)
    image, label = (np.array(one) for one in pair)
    left = hard
    for _ in range(config.images):
        if 2 * len(left) <= len(hard):  # half were found, or there is none
            break
        doubt = (1 - bank.confidence[left]) ** 2
        names = bank.images[left[_drawn(doubt, rng)]]
        other, theirs = load(names[int(rng.integers(len(names)))])
        if other.shape[:2] != image.shape[:2]:
            size = image.shape[1], image.shape[0]
            other, theirs = resize_linear(other, size), resize_nearest(theirs, size)
        mask = np.isin(theirs, hard)
        image[mask], label[mask] = other[mask], theirs[mask]
        shown = set(np.unique(theirs[mask]).tolist())
        left = [one for one in left if one not in shown]
    return image, label


def _drawn(weights: np.ndarray, rng: Rng) -> int:
    """Draw an index with probability proportional to weights; equally where all are 0."""
    total = np.cumsum(weights if weights.any() else np.ones_like(weights))
    return min(int(np.searchsorted(total, rng.random() * total[-1], side="right")), len(weights) - 1)
