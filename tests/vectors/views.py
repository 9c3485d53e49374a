"""The training view that a vector prescribes, by the function that draws one in training."""

from types import SimpleNamespace

import numpy as np

from common.data.augment import augment
from common.schema import AugmentConfig

FLIP = 0.5  # of the configurations: a draw of 0 mirrors, one of 1 does not


def prescribed_view(image: np.ndarray, config: AugmentConfig, top: int, left: int, mirrored: bool) -> np.ndarray:
    """Return what ``augment`` makes of an image when its draws choose this window and this side.

    Args:
        image: (H, W, 3) uint8.
        config: ``flip`` is ``FLIP``; with ``pad``, ``crop`` or both.
        top, left: Of the window in the image, or in the image with its border.
        mirrored: Whether the image, or the window, is mirrored.
    """
    border = 2 * (config.pad or 0)
    height, width = image.shape[0] + border, image.shape[1] + border
    frame = config.crop or (width - border, height - border)
    across, down = ((at + 0.5) / (have - want + 1) for at, have, want in zip((left, top), (width, height), frame))
    draws = np.array([0.0 if mirrored else 1.0, 0.0, across, down, 0.5, 0.5, 0.5])
    return augment(image, None, config, SimpleNamespace(random=lambda count: draws[:count]))[0]
