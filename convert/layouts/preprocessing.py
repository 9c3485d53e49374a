"""Moves a network's weights from normalised RGB input to the Caffe form: BGR, 0..255, mean subtracted.

specs: a torchvision network sees ``(rgb / 255 - m) / s``, DDM's sees ``x = bgr - mean``. Since the first is
``x / (255 s) + (mean / 255 - m) / s`` channel by channel, the first convolution takes the factor and the BatchNorm
behind it the constant. Exact inside the picture; at its border the zero padding now stands for the mean colour, so
results differ there, as they do from weights that were trained on such input.
"""

import numpy as np

RGB_MEAN, RGB_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BGR_MEAN = (104.00698793, 116.66876762, 122.67891434)


def to_bgr_mean(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the weights with ``conv1`` and ``bn1`` for BGR input minus mean, and ``bn1`` absorbing the offset.

    Args:
        weights: Canonical names of a residual network; ``conv1.weight`` (width, 3, 7, 7) for RGB.
    Raises:
        KeyError: If it has no ``conv1`` or ``bn1``.
    """
    kernel, mean = weights["conv1.weight"], weights["bn1.running_mean"]
    std, ours = np.array(RGB_STD), np.array(BGR_MEAN[::-1])
    offset = (ours / 255 - np.array(RGB_MEAN)) / std
    wide = kernel.astype(np.float64)
    moved = (wide / (255 * std)[:, None, None])[:, ::-1]
    shift = (wide * offset[:, None, None]).sum((1, 2, 3))
    return {
        **weights,
        "conv1.weight": np.ascontiguousarray(moved).astype(kernel.dtype),
        "bn1.running_mean": (mean.astype(np.float64) - shift).astype(mean.dtype),
    }
