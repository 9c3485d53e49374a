"""Initial weights, drawn in NumPy so that both twins start equal to the bit."""

from collections.abc import Mapping, Sequence

import numpy as np

from common.draws import generator

SCHEMES = ("normal001", "kaiming", "torchvision")
_HEAD_STD = 0.01


def initial_weights(
    seed: int, shapes: Mapping[str, tuple[int, ...]], scheme: str, heads: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Draw the initial value of every parameter and buffer of a network.

    Kernels and matrices are normal with mean 0; scales (vectors called ``weight``) and running variances are 1,
    biases and running means 0, scalars int64 0. Each parameter has a generator of its own, so a head with another
    number of classes leaves the backbone's weights as they are.

    Args:
        seed: Seed of the run.
        shapes: Canonical name -> shape.
        scheme: ``"normal001"``: standard deviation 0.01 everywhere (AdvEnt's DeepLabV2);
            ``"kaiming"``: sqrt(2 / fan_out), fan_out = outputs x kernel area (He et al., ICCV 2015, as torchvision);
            ``"torchvision"``: that for kernels; matrices are uniform within +-1 / sqrt(inputs), PyTorch's own choice.
        heads: Beginnings of the names of classifier heads, whose kernels have 0.01 in the first two schemes.
    Returns:
        Name -> float32 array (int64 for scalars), in the order of ``shapes``.
    Raises:
        ValueError: If the scheme is unknown.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"unknown scheme {scheme!r}; known: {', '.join(SCHEMES)}")
    in_head = {name: name.startswith(tuple(heads)) for name in shapes}
    return {name: _draw(seed, name, tuple(shape), scheme, in_head[name]) for name, shape in shapes.items()}


def _draw(seed: int, name: str, shape: tuple[int, ...], scheme: str, head: bool) -> np.ndarray:
    if len(shape) == 0:
        return np.zeros(shape, np.int64)
    if len(shape) == 1:
        return np.full(shape, float(name.rpartition(".")[2] in ("weight", "running_var")), np.float32)
    if scheme == "torchvision" and len(shape) == 2:
        bound = 1.0 / np.sqrt(shape[1])
        return generator(seed, "initial", name).uniform(-bound, bound, shape).astype(np.float32)
    fan_out = shape[0] * int(np.prod(shape[2:]))
    small = scheme == "normal001" or (head and scheme == "kaiming")
    std = _HEAD_STD if small else float(np.sqrt(2.0 / fan_out))
    return generator(seed, "initial", name).standard_normal(shape, np.float32) * np.float32(std)
