"""Initial weights, drawn in NumPy so that both twins start equal to the bit."""

from collections.abc import Mapping, Sequence

import numpy as np

from common.draws import generator

SCHEMES = (
    *("normal001", "kaiming", "torchvision", "torchvision_mobile", "pytorch", "latent", "transformer"),
    *("deeplabv2_se", "hrnet_ocr"),
)
_HEAD_STD = 0.01
_HRNET_STD = 0.001
_BRANCHES = ".conv2d_list."
_LATENT_BOUND = 0.08
_MATRIX_STD = 0.02


def initial_weights(
    seed: int, shapes: Mapping[str, tuple[int, ...]], scheme: str, heads: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Draw the initial value of every parameter and buffer of a network.

    Kernels and matrices are normal with mean 0 unless the scheme says otherwise; scales (vectors called ``weight``)
    and running variances are 1, biases and running means 0, scalars int64 0. Each parameter has a generator of its
    own, so a head with another number of classes leaves the backbone's weights as they are.

    Args:
        seed: Seed of the run.
        shapes: Canonical name -> shape.
        scheme: ``"normal001"``: standard deviation 0.01 everywhere (AdvEnt's DeepLabV2);
            ``"kaiming"``: sqrt(2 / fan_out), fan_out = outputs x kernel area (He et al., ICCV 2015, as torchvision);
            ``"torchvision"``: that for kernels; matrices are uniform within +-1 / sqrt(inputs), PyTorch's own choice;
            ``"torchvision_mobile"``: the same, but matrices below the head have 0.01, and the head's biases are drawn;
            ``"pytorch"``: everything within +-1 / sqrt(fan_in), biases too, PyTorch's own choice;
            ``"latent"``: within +-0.08 (AuG-KD), but kernels of one axis as ``"pytorch"``;
            ``"transformer"``: 0.02 for matrices, kernels as ``"kaiming"``, depthwise ones by their area (SegFormer);
            ``"deeplabv2_se"``: ``"normal001"``, but matrices and the biases of the parallel branches of the head as
            ``"pytorch"`` (DiGA's official code, which overwrites kernels alone);
            ``"hrnet_ocr"``: 0.001, but the head as ``"pytorch"`` (HRNet and OCR, official code).
        heads: Beginnings of the names of classifier heads, whose kernels have 0.01 in the first two schemes.
    Returns:
        Name -> float32 array (int64 for scalars), in the order of ``shapes``.
    Raises:
        ValueError: If the scheme is unknown.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"unknown scheme {scheme!r}; known: {', '.join(SCHEMES)}")
    in_head = {name: name.startswith(tuple(heads)) for name in shapes}
    return {name: _draw(seed, name, shapes, scheme, in_head[name]) for name in shapes}


def _draw(seed: int, name: str, shapes: Mapping[str, tuple[int, ...]], scheme: str, head: bool) -> np.ndarray:
    shape = tuple(shapes[name])
    path, _, leaf = name.rpartition(".")
    if len(shape) == 0:
        return np.zeros(shape, np.int64)
    rng = generator(seed, "initial", name)
    if len(shape) == 1:
        weight = tuple(shapes.get(f"{path}.weight" if path else "weight", shape))
        of_branch = scheme == "deeplabv2_se" and _BRANCHES in name
        if leaf == "bias" and len(weight) > 1 and (of_branch or _draws_biases(scheme, weight, head)):
            return _uniform(rng, shape, _natural(weight))
        return np.full(shape, float(leaf in ("weight", "running_var")), np.float32)
    if scheme == "latent" and len(shape) != 3:
        return _uniform(rng, shape, _LATENT_BOUND)
    if _draws_biases(scheme, shape, head) or (len(shape) == 2 and scheme == "torchvision"):
        return _uniform(rng, shape, _natural(shape))
    if scheme == "transformer" and len(shape) == 2:
        return rng.standard_normal(shape, np.float32) * np.float32(_MATRIX_STD)
    depthwise = scheme == "transformer" and shape[1] == 1
    fan_out = (1 if depthwise else shape[0]) * int(np.prod(shape[2:]))
    hidden = len(shape) == 2 and scheme == "torchvision_mobile"
    small = scheme in ("normal001", "deeplabv2_se") or (head and scheme == "kaiming") or hidden
    std = _HRNET_STD if scheme == "hrnet_ocr" else _HEAD_STD if small else float(np.sqrt(2.0 / fan_out))
    return rng.standard_normal(shape, np.float32) * np.float32(std)


def _draws_biases(scheme: str, weight: tuple[int, ...], head: bool) -> bool:
    """Whether the layer of a weight is made by PyTorch's own rule, biases included."""
    of_axes = {"latent": 3, "deeplabv2_se": 2}.get(scheme) == len(weight)
    return scheme == "pytorch" or of_axes or (head and scheme in ("torchvision_mobile", "hrnet_ocr"))


def _natural(shape: tuple[int, ...]) -> float:
    """Return PyTorch's bound, 1 / sqrt(fan_in)."""
    return 1.0 / float(np.sqrt(np.prod(shape[1:])))


def _uniform(rng: np.random.Generator, shape: tuple[int, ...], bound: float) -> np.ndarray:
    return rng.uniform(-bound, bound, shape).astype(np.float32)
