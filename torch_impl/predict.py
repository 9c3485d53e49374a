"""Prediction: single scale, multi-scale and flip, sliding window, ensembles; label maps from scores."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import Module as Network

from common.windows import scaled, windows
from torch_impl.losses import upsample
from torch_impl.nets.training import set_mode

_AT_INPUT = ("input_logits", "probabilities")  # made at the size of the network's input
OUTPUTS = ("logits", "input_logits", "probabilities", "coarse_probabilities")


def main_logits(network: Network, images: Tensor) -> Tensor:
    """Return the logits (N, C, h, w) of the evaluated classifier, in evaluation mode and without gradient.

    The network is put back into the mode it was in.
    """
    training = network.training
    if training:
        set_mode(network, False)
    with torch.no_grad():
        logits = network(images)[-1]
    if training:
        set_mode(network, True)
    return logits


def predict(
    forward: Callable[[Tensor], Tensor],
    images: Tensor,
    size: tuple[int, int],
    scales: Sequence[float | tuple[int, int]] = (1.0,),
    flip: bool = False,
    window: tuple[int, int] | None = None,
    stride: tuple[int, int] | None = None,
    output: str = "logits",
    fuse: str = "mean",
) -> Tensor:
    """Return the mean, or the largest, scores of all scales and mirror images at the requested size.

    With the defaults this is DDM's protocol: one pass, logits upsampled bilinearly with aligned corners.

    Args:
        forward: Maps images (N, 3, H, W) to logits (N, C, h, w), in evaluation mode, without gradient.
        images: (N, 3, H, W) float32, normalised.
        size: (height, width) of the result.
        scales: Factors by which the images are resized (bilinear, aligned corners) before a pass, or whole sizes as
            (width, height).
        flip: Also pass the mirror image and mirror its result back.
        window: (height, width) of a sliding window; None passes whole images. Overlaps are averaged.
        stride: (rows, columns) between windows; None takes half a window.
        output: ``"logits"``; ``"input_logits"``: upsampled to the network's input first, then resized (IAST while it
            trains); ``"probabilities"``: softmax at the size of the network's input, then resized (IAST);
            ``"coarse_probabilities"``: softmax at the network's stride, then resized (BDL's pseudo-labels).
        fuse: ``"mean"`` of the passes, or element by element the ``"max"`` (DiGA's two scales).
    Returns:
        (N, C, *size) float32.
    Raises:
        ValueError: If ``output`` is unknown or windows would leave gaps.
    """
    if output not in OUTPUTS:
        raise ValueError(f"unknown output {output!r}; known: {', '.join(OUTPUTS)}")
    joined = torch.maximum if fuse == "max" else torch.add
    total, count = None, len(scales) * (2 if flip else 1)
    with torch.no_grad():
        for scale in scales:
            inner = scaled(images.shape[2:], scale)
            resized = images if inner == tuple(images.shape[2:]) else upsample(images, inner)
            for mirrored in (False, True)[: 1 + flip]:
                scores = _scores(forward, _mirror(resized, mirrored), size, window, stride, output)
                scores = _mirror(scores, mirrored)
                total = scores if total is None else joined(total, scores)
    return total if count == 1 or fuse == "max" else total / count


def class_scores(forward: Callable[[Tensor], Tensor], images: Tensor, flip: bool, output: str) -> Tensor:
    """Return the scores (N, C) float32 of whole images; with ``flip`` the mean with those of their mirror images.

    Args:
        forward: Maps images (N, 3, H, W) to logits (N, C), in evaluation mode, without gradient.
        images: (N, 3, H, W) float32, normalised.
        flip: Also pass the mirror images.
        output: ``"logits"`` or ``"probabilities"``: softmax before the mean.
    """
    passes = [_class_scores(forward(_mirror(images, mirrored)), output) for mirrored in (False, True)[: 1 + flip]]
    return sum(passes) / len(passes) if flip else passes[0]


def ensemble(scores: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor:
    """Return the weighted sum of several networks' scores of one shape; without weights, their mean."""
    weights = weights or [1.0 / len(scores)] * len(scores)
    return sum(weight * one for weight, one in zip(weights, scores))


def label_map(scores: Tensor) -> Tensor:
    """Return the class of the largest score, the first one on ties: (N, C, H, W) to (N, H, W) uint8."""
    return scores.argmax(dim=1).to(torch.uint8)


def confidence(probabilities: Tensor) -> Tensor:
    """Return the probability of the predicted class: (N, C, H, W) to (N, H, W) float32."""
    return probabilities.amax(dim=1)


def _class_scores(logits: Tensor, output: str) -> Tensor:
    scores = logits.float()
    return scores.softmax(dim=1) if output == "probabilities" else scores


def _scores(forward, images: Tensor, size, window, stride, output: str) -> Tensor:
    """Return the scores of one pass, or one pass a window, at the requested size."""
    inner = tuple(images.shape[2:])
    if window is None:
        return _resized(_finish(forward(images), inner if output in _AT_INPUT else size, output), size)
    total = count = None
    for top, left, bottom, right in windows(inner, window, stride):
        scores = _finish(forward(images[:, :, top:bottom, left:right]), (bottom - top, right - left), output)
        if total is None:
            total = scores.new_zeros((*scores.shape[:2], *inner))
            count = scores.new_zeros((1, 1, *inner))
        total[:, :, top:bottom, left:right] += scores
        count[:, :, top:bottom, left:right] += 1
    return _resized(total / count, size)


def _finish(logits: Tensor, size: tuple[int, int], output: str) -> Tensor:
    """Turn raw logits into scores of one size; where the softmax stands is what ``output`` says."""
    if output == "coarse_probabilities":
        return upsample(logits.float().softmax(dim=1), size)
    scores = upsample(logits, size)
    return scores.softmax(dim=1) if output == "probabilities" else scores


def _resized(scores: Tensor, size: tuple[int, int]) -> Tensor:
    return scores if tuple(scores.shape[2:]) == tuple(size) else upsample(scores, size)


def _mirror(x: Tensor, mirrored: bool) -> Tensor:
    return x.flip(3) if mirrored else x
