"""Styles of images as statistics of their maps, and their transfer (S3D, WACV 2022; AdaIN, Huang & Belongie, 2017)."""

from mindspore import Tensor, ops

from ms_impl.numerics import wide

Style = tuple[Tensor, Tensor]  # mean and variance, (N, C, 1, 1) each
_EPS = 1e-6


def style_of(x: Tensor) -> Style:
    """Return mean and unbiased variance of each channel of maps (N, C, H, W), without gradient; at least float32.

    Maps of a single pixel have no variance: H * W must be larger than 1.
    """
    x = wide(ops.stop_gradient(x))
    pixels = x.shape[2] * x.shape[3]
    mean = x.mean(axis=(2, 3), keep_dims=True)
    return mean, ops.square(x - mean).sum(axis=(2, 3), keepdims=True) / (pixels - 1)


def transfer(x: Tensor, own: Style, other: Style, mix: Tensor) -> Tensor:
    """Return maps whose style has gone the share ``mix`` of the way from their own to another.

    ``(x - m) / s * S + M`` with ``s = sqrt(v + 1e-6)``, ``M = mix * other mean + (1 - mix) * m`` and S alike. The
    statistics are constants; the maps are not.

    Args:
        x: (N, C, H, W).
        own: Style that is taken off, (N, C, 1, 1) each.
        other: Style that is put on, image by image.
        mix: (N,) float32 in [0, 1]; 0 leaves the maps as they are.
    Returns:
        (N, C, H, W), at least float32.
    """
    share = mix.astype(own[0].dtype).reshape(-1, 1, 1, 1)
    own_std, other_std = ops.sqrt(own[1] + _EPS), ops.sqrt(other[1] + _EPS)
    mean = share * other[0] + (1.0 - share) * own[0]
    std = share * other_std + (1.0 - share) * own_std
    return (wide(x) - own[0]) / own_std * std + mean
