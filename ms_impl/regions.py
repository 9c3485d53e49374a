"""Region-guided regularisers of self-training (IAST: Mei et al., ECCV 2020, section 4.2) on raw logits.

The official code divides both by the number of classes once more than the paper's formulas show; its weights (3 and
0.1) are tuned for that, so the factor is kept.
"""

import mindspore
from mindspore import Tensor, ops

from ms_impl.losses import IGNORED, likelihood_loss, softmax, valid_pixels
from ms_impl.numerics import exp, log_softmax


def region_losses(logits: Tensor, label: Tensor, empty: str = "zero") -> tuple[Tensor, Tensor, Tensor]:
    """Return the three losses of self-training below, which share the logarithm of one softmax: a third of the memory.

    Args:
        logits: (N, C, H, W).
        label: (N, H, W) integers in [0, C), 255 where there is none.
        empty: What a region without a pixel gives: ``"zero"``, or ``"nan"`` as the official code.
    Returns:
        ``pseudo_label_loss``, ``uniform_divergence`` and ``ignored_entropy``, each () float32.
    """
    log_p = log_softmax(logits)
    return _likelihood(log_p, label, empty), _divergence(log_p, label, empty), _entropy(log_p, label, empty)


def pseudo_label_loss(logits: Tensor, label: Tensor, empty: str = "zero") -> Tensor:
    """Mean cross entropy over the pixels that have a pseudo-label.

    Args:
        logits: (N, C, H, W).
        label: (N, H, W) integers in [0, C), 255 where there is none.
        empty: What no labelled pixel gives: ``"zero"``, or ``"nan"`` as the official code; the gradient is zero.
    Returns:
        () float32.
    """
    return _likelihood(log_softmax(logits), label, empty)


def uniform_divergence(logits: Tensor, label: Tensor, empty: str = "zero") -> Tensor:
    """R_c: KL divergence of the uniform distribution from the prediction on labelled pixels, but for its constant.

    ``-1 / (C |V|) * sum over V of mean_c log p_c``: keeps the network from growing too sure of pseudo-labels.

    Args:
        logits, label: As for ``pseudo_label_loss``.
        empty: What no labelled pixel gives: ``"zero"``, without gradient, or ``"nan"`` with one of NaN.
    """
    return _divergence(log_softmax(logits), label, empty)


def ignored_entropy(logits: Tensor, label: Tensor, empty: str = "zero") -> Tensor:
    """R_i: entropy of the prediction on pixels without label, ``-1 / (C |I|) * sum over I of sum_c p_c log p_c``.

    Args:
        logits, label: As for ``pseudo_label_loss``.
        empty: What no ignored pixel gives: ``"zero"``, without gradient, or ``"nan"`` with one of NaN.
    """
    return _entropy(log_softmax(logits), label, empty)


def ignored_consistency(logits: Tensor, teacher: Tensor, label: Tensor, empty: str = "zero") -> Tensor:
    """Cross entropy under another network's probabilities q on pixels without label (HIAST; Zhu et al., TPAMI 2025).

    ``-1 / (C |I|) * sum over I of sum_c q_c log p_c``: the official code divides by C here too.

    Args:
        logits, label: As for ``pseudo_label_loss``.
        teacher: (N, C, H, W) logits of that network, constants.
        empty: What no ignored pixel gives: ``"zero"``, without gradient, or ``"nan"`` with one of NaN.
    """
    crossed = (ops.stop_gradient(softmax(teacher)) * log_softmax(logits)).sum(axis=1)
    return -_mean(crossed, label == IGNORED, empty) / logits.shape[1]


def _likelihood(log_p: Tensor, label: Tensor, empty: str) -> Tensor:
    loss = likelihood_loss(log_p, label)
    return loss if empty == "zero" else ops.where(valid_pixels(label) > 0, loss, ops.full_like(loss, float("nan")))


def _divergence(log_p: Tensor, label: Tensor, empty: str) -> Tensor:
    return -_mean(log_p.mean(axis=1), label != IGNORED, empty) / log_p.shape[1]


def _entropy(log_p: Tensor, label: Tensor, empty: str) -> Tensor:
    return -_mean((exp(log_p) * log_p).sum(axis=1), label == IGNORED, empty) / log_p.shape[1]


def _mean(values: Tensor, region: Tensor, empty: str) -> Tensor:
    inside = region.astype(mindspore.float32)
    count = inside.sum()
    return (values * inside).sum() / (ops.maximum(count, 1.0) if empty == "zero" else count)
