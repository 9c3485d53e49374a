"""Exponentials, logarithms, softmax, sigmoid and tanh: the first three at least in float32, all exact to rounding."""

import torch
from torch import Tensor
from torch.nn import functional


def wide(x: Tensor) -> Tensor:
    """Return half-precision numbers as float32, others as they are."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def exp(x: Tensor) -> Tensor:
    """Return the exponential of numbers <= 0 with an absolute error of rounding."""
    return x.exp()


def log_sum_exp(x: Tensor, axis: int = 1) -> Tensor:
    """Return the logarithm of the sum of exponentials along an axis, which stays; the largest number there is 0."""
    return x.logsumexp(dim=axis, keepdim=True)


def log_softmax(logits: Tensor) -> Tensor:
    """Return the logarithms of class probabilities of (N, C, ...) logits, at least in float32."""
    return functional.log_softmax(wide(logits), dim=1)


def sigmoid(x: Tensor) -> Tensor:
    """Return ``1 / (1 + exp(-x))`` with an absolute error of rounding."""
    return x.sigmoid()


def tanh(x: Tensor) -> Tensor:
    """Return the hyperbolic tangent with an absolute error of rounding."""
    return x.tanh()
