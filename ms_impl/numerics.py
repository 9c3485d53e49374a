"""Exponentials, logarithms, softmax, sigmoid and tanh: the first three at least in float32, all exact to rounding.

The CPU's exp and log are low by 5e-7 on average, which a divergence, a small difference of logarithms, would show, its
sigmoid is off by 8e-7, its tanh by 1e-4; expm1 and log1p are exact to rounding.
"""

import mindspore
from mindspore import Tensor, ops


def wide(x: Tensor) -> Tensor:
    """Return half-precision numbers as float32, others as they are."""
    return x.astype(mindspore.float32) if x.dtype in (mindspore.float16, mindspore.bfloat16) else x


def exp(x: Tensor) -> Tensor:
    """Return the exponential of numbers <= 0 with an absolute error of rounding."""
    return ops.expm1(x) + 1.0


def log_sum_exp(x: Tensor, axis: int = 1) -> Tensor:
    """Return the logarithm of the sum of exponentials along an axis, which stays; the largest number there is 0."""
    # one is added to each term, not to their sum: with many classes the sum would lose the digits
    return ops.log1p(exp(x).sum(axis=axis, keepdims=True) - 1.0)


def log_softmax(logits: Tensor) -> Tensor:
    """Return the logarithms of class probabilities of (N, C, ...) logits, at least in float32."""
    logits = wide(logits)
    shifted = logits - ops.stop_gradient(logits.max(axis=1, keepdims=True))  # the built-in one has a slower gradient
    return shifted - log_sum_exp(shifted)


def sigmoid(x: Tensor) -> Tensor:
    """Return ``1 / (1 + exp(-x))`` with an absolute error of rounding."""
    right = x >= 0
    power = exp(ops.where(right, -x, x))  # not of -|x|, whose gradient at 0 is 0
    return ops.where(right, ops.ones_like(x), power) / (1.0 + power)


def tanh(x: Tensor) -> Tensor:
    """Return the hyperbolic tangent with an absolute error of rounding."""
    right = x >= 0
    less = ops.expm1(2.0 * ops.where(right, -x, x))
    ratio = less / (2.0 + less)
    return ops.where(right, -ratio, ratio)
