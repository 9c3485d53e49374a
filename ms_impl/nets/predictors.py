"""Classifiers of normalised features over a temperature (Chen et al., ICLR 2019; as in MME, APE and S3D)."""

from mindspore import Tensor, nn, ops

from common.networks.classifier import DEEP
from ms_impl.nets.layers import linear
from ms_impl.numerics import wide

_SMALLEST = 1e-12  # norm; shorter vectors are divided by it


def reverse_gradient(x: Tensor, factor: float) -> Tensor:
    """Return ``x`` itself, with a gradient multiplied by ``-factor`` (Ganin & Lempitsky, ICML 2015)."""
    return ops.stop_gradient(x) - factor * (x - ops.stop_gradient(x))


def normalise(x: Tensor) -> Tensor:
    """Return the rows of (N, D) divided by their length, which counts as 1e-12 at least; at least in float32."""
    x = wide(x)
    return x / ops.maximum(ops.sqrt(ops.square(x).sum(axis=1, keepdims=True)), _SMALLEST)


class Predictor(nn.Cell):
    """``fc(x / |x|) / T`` without bias (SSDA_MME's Predictor, for AlexNet and VGG-16)."""

    def __init__(self, inputs: int, classes: int, temperature: float) -> None:
        super().__init__()
        self.fc, self.temperature = linear(inputs, classes, bias=False), temperature

    def construct(self, features: Tensor, reversal: float = 0.0) -> tuple[Tensor, Tensor]:
        """Return (latent, logits) of features (N, inputs): the normalised features, and (N, classes).

        Args:
            features: (N, inputs).
            reversal: Factor of a gradient reversal before everything; 0 reverses nothing.
        """
        latent = normalise(reverse_gradient(features, reversal) if reversal else features)
        return latent, self.fc(latent).astype(latent.dtype) / self.temperature


class PredictorDeep(nn.Cell):
    """``h = fc1(x)``, then ``fc2(h / |h|) / T``, the latter without bias (SSDA_MME's Predictor_deep, for ResNet)."""

    def __init__(self, inputs: int, classes: int, temperature: float) -> None:
        super().__init__()
        self.fc1, self.fc2 = linear(inputs, DEEP), linear(DEEP, classes, bias=False)
        self.temperature = temperature

    def construct(self, features: Tensor, reversal: float = 0.0) -> tuple[Tensor, Tensor]:
        """Return (latent, logits) of features (N, inputs): the normalised (N, 512), and (N, classes).

        Args:
            features: (N, inputs).
            reversal: Factor of a gradient reversal behind ``fc1``, so that only ``fc2`` sees the plain gradient.
        """
        hidden = self.fc1(features)
        latent = normalise(reverse_gradient(hidden, reversal) if reversal else hidden)
        return latent, self.fc2(latent).astype(latent.dtype) / self.temperature


PREDICTORS = {"predictor": Predictor, "predictor_deep": PredictorDeep}
