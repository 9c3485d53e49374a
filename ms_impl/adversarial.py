"""Losses of output-space adversarial training: least squares (Mao et al., ICCV 2017) or binary cross entropy.

IAST's labels: source 0, target 1. The segmentation network is trained to make target maps look like source.
"""

from mindspore import Tensor, ops

from ms_impl.numerics import wide


def discriminator_loss(source: Tensor, target: Tensor, kind: str = "mse") -> Tensor:
    """Return the mean of the losses of both domains' maps against their labels.

    Args:
        source: Raw discriminator output on source images, any shape; each mean is over its own map.
        target: On target images.
        kind: ``"mse"``: ``(mean s^2 + mean (t - 1)^2) / 2``; ``"bce"``: with logits, the same labels.
    Returns:
        () float32.
    """
    return (_against(source, 0.0, kind) + _against(target, 1.0, kind)) / 2


def fooling_loss(target: Tensor, kind: str = "mse") -> Tensor:
    """Return the loss of the segmentation network: target maps against the label of the source."""
    return _against(target, 0.0, kind)


def _against(scores: Tensor, label: float, kind: str) -> Tensor:
    scores = wide(scores)
    if kind == "mse":
        return ops.square(scores - label).mean()
    # log(1 + e^s) without overflow, and exact near 0
    softplus = ops.maximum(scores, 0.0) + ops.log1p(ops.exp(-ops.abs(scores)))
    return (softplus - label * scores).mean()
