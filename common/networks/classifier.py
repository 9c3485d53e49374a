"""What all networks of image classification have in common: a classifier's form, and dropout."""

from typing import Literal

from pydantic import PositiveFloat

from common.networks.base import NetworkBase

DEEP = 512  # units of the hidden layer of predictor_deep
Head = Literal["linear", "predictor", "predictor_deep"]


class ClassifierBase(NetworkBase):
    """A backbone that turns an image into a vector of features, and a classifier upon it."""

    TASK = "classification"

    head: Head = "linear"  # predictor(_deep): of the normalised features, divided by the temperature (MME)
    temperature: PositiveFloat = 0.05  # T of both predictors
    init: Literal["normal001", "kaiming", "torchvision"] = "torchvision"

    def features(self) -> int | None:
        """Return the length of the vector that the backbone gives; None where the description does not tell."""
        return None

    def dropout_units(self) -> int:
        """Return how many numbers of an image's pass dropout may set to zero; 0: the network has no dropout."""
        return 0

    def dropout_rate(self) -> float:
        """Return the probability with which each of them is set to zero."""
        return 0.0
