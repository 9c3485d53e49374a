"""Random crops of labelled images as DiGA's loaders make them, and which crops they accept.

Images are (H, W, 3) uint8 RGB, labels (H, W) uint8; sizes are (width, height). Draws are taken from the generator in
the official order, so that a recorded sequence gives the recorded crop.
"""

from typing import Any, Literal

import numpy as np
from PIL import Image

from common.schema import Size

Crop = Literal["crop", "resized"]  # RandomCrop and RandomSizedCrop2 of the official code
_SMALLEST = 0.7  # factor of either side
_SHARE = 0.02  # of the pixels that a category must cover to count
_TRIES = 5


def flip_and_crop(maps: list[np.ndarray], kind: Crop | None, size: Size, rng: Any) -> list[np.ndarray]:
    """Return an image and its label maps after a random flip and a random crop.

    Args:
        maps: The image first; label maps are resampled by nearest neighbour, the image bilinearly.
        kind: ``"crop"``; ``"resized"`` shrinks either side by a factor of its own in [0.7, 1] first; None changes
            nothing and draws nothing.
        size: Of the crop. A smaller image is stretched to it as a whole.
        rng: ``random()``, ``uniform(low, high)`` and ``integers(low, high)`` with ``high`` excluded.
    """
    if kind is None:
        return maps
    if rng.random() < 0.5:
        maps = [one[:, ::-1] for one in maps]
    if kind == "resized":
        wide, high = rng.uniform(_SMALLEST, 1), rng.uniform(_SMALLEST, 1)
        height, width = maps[0].shape[:2]
        maps = _resized(maps, (int(wide * width), int(high * height)))
    return _crop(maps, size, rng)


def accepted(label: np.ndarray) -> bool:
    """Return whether a source crop shows enough: at least three categories on more than 2 % of the pixels each.

    Args:
        label: (H, W) train ids; 255 counts as a category, but not as one of only two.
    """
    categories, counts = np.unique(label, return_counts=True)
    large = categories[counts > _SHARE * label.size]
    return len(large) >= 3 or (len(large) == 2 and 255 not in large)


def accepted_crop(image: np.ndarray, label: np.ndarray, kind: Crop | None, size: Size, rng: Any) -> list[np.ndarray]:
    """Return the first accepted of at most five random crops, else the fifth; the arguments of ``flip_and_crop``."""
    for _ in range(_TRIES):
        pair = flip_and_crop([image, label], kind, size, rng)
        if kind is None or accepted(pair[1]):
            break
    return pair


def _crop(maps: list[np.ndarray], size: Size, rng: Any) -> list[np.ndarray]:
    height, width = maps[0].shape[:2]
    if (width, height) == tuple(size):
        return maps
    if width < size[0] or height < size[1]:
        return _resized(maps, size)
    left = int(rng.integers(0, width - size[0] + 1))
    top = int(rng.integers(0, height - size[1] + 1))
    return [one[top : top + size[1], left : left + size[0]] for one in maps]


def _resized(maps: list[np.ndarray], size: Size) -> list[np.ndarray]:
    methods = [Image.Resampling.BILINEAR] + [Image.Resampling.NEAREST] * (len(maps) - 1)
    pictures = [Image.fromarray(np.ascontiguousarray(one)) for one in maps]
    return [np.array(one.resize(tuple(size), method)) for one, method in zip(pictures, methods)]
