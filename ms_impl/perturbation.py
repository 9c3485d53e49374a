"""Images moved against a classifier, and its consistency there (APE, ECCV 2020; after Miyato et al., TPAMI 2018)."""

import mindspore
from mindspore import Tensor, ops
from mindspore.nn import Cell as Network

from ms_impl.class_losses import consistency, direction, distillation

_LOG = 1e-4  # added to probabilities before the logarithm


def adversarial_perturbation(
    network: Network, images: Tensor, noise: Tensor, xi: float = 1.0, eps: float = 25.0, dropout: Tensor | None = None
) -> Tensor:
    """Return the step of length ``eps`` that raises the entropy of each image's prediction fastest.

    The gradient is taken at ``images + xi * noise / |noise|`` and is a constant.

    Args:
        network: A ``Classifier``, in training mode, which must not count the pass in its running statistics.
        images: (N, 3, H, W) float32, normalised.
        noise: (N, 3, H, W) float32, standard normal.
        xi: Length of the step to where the gradient is taken.
        eps: Length of the result.
        dropout: As in ``Classifier.construct``.
    Returns:
        (N, 3, H, W) float32.
    """

    def adversary(probe: Tensor) -> Tensor:
        return _adversary(network, probe, dropout)

    gradient = mindspore.grad(adversary)(ops.stop_gradient(images + xi * direction(noise)))
    return eps * direction(gradient)


def perturbed_consistency(
    network: Network,
    still: Network,
    images: Tensor,
    perturbation: Tensor,
    of: str = "official",
    dropout: Tensor | None = None,
    perturbed_dropout: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the consistency of clean and perturbed images, and what it compares: clean first.

    Args:
        network: A ``Classifier`` in training mode; sees the perturbed images.
        still: The same network, which does not count a pass in its running statistics; sees the clean images.
        images: (N, 3, H, W) float32, normalised.
        perturbation: Of the same shape.
        of: ``"official"``: the clean features, with gradient, against the perturbed normalised latent, as the released
            code has it; both must have one length. ``"logits"``: the constant clean logits against the perturbed ones.
        dropout: Of the clean pass.
        perturbed_dropout: Of the other.
    """
    features, _, clean_logits = still(images, dropout)
    _, latent, logits = network(images + perturbation, perturbed_dropout)
    if of == "logits":
        return distillation(logits, clean_logits, 1.0), clean_logits, logits
    return consistency(latent, features), features, latent


def _adversary(network: Network, probe: Tensor, dropout: Tensor | None) -> Tensor:
    """Return the mean entropy, of which the official code reverses the gradient of its negative."""
    features, _ = network.embed(probe, 0, dropout)
    p = ops.softmax(network.classify(features)[1], axis=1)
    return -(p * ops.log(p + _LOG)).sum(axis=1).mean()
