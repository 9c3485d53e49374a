"""Sigmoid and tanh of both twins against float64: the CPU's own tanh of MindSpore is off by 1e-4."""

import numpy as np

ROUNDING = 2.0**-22  # absolute; the functions are below 1
POINTS = np.array([*np.linspace(-12, 12, 4001), 0.0, -0.0, 1e-6, -1e-6, 60.0, -60.0], np.float32)


def test_sigmoid_and_tanh_are_exact_to_rounding_and_so_are_their_gradients(side) -> None:
    exact = POINTS.astype(np.float64)
    power = np.exp(-np.abs(exact))
    sigmoid = np.where(exact >= 0, 1.0, power) / (1.0 + power)
    for name, want, slope in (
        ("sigmoid", sigmoid, sigmoid * (1 - sigmoid)),
        ("tanh", np.tanh(exact), 1 - np.tanh(exact) ** 2),
    ):
        function = getattr(side.module("numerics"), name)

        def summed(x, function=function):
            values = function(x)
            return values.sum(), values

        (_, values), (gradient,) = side.gradients(summed, POINTS)
        assert np.abs(values - want).max() <= ROUNDING, name
        assert np.abs(gradient - slope).max() <= ROUNDING, f"{name}, gradient"
