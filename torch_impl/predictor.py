"""Scores and labels of uint8 images by an objective's network, as the section ``evaluate`` asks: one class a task."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from common.accuracy import ranked
from torch_impl.centroids import class_means
from torch_impl.predict import class_scores, ensemble, label_map, predict


class Predictor:
    """A trained network in evaluation mode."""

    def __init__(self, objective: Any, evaluate: Any) -> None:
        """Wrap.

        Args:
            objective: An ``Objective``.
            evaluate: Section ``evaluate`` of a configuration: scales, mirror images, windows as (width, height).
        """
        self._objective, self._evaluate = objective, evaluate

    def scores(self, images: np.ndarray, size: tuple[int, int], output: str = "logits") -> np.ndarray:
        """Return (N, C, H, W) float32 of images (N, 3, h, w) uint8 RGB at ``size`` = (H, W).

        ``output`` is one of ``torch_impl.predict.OUTPUTS``.
        """
        return self._objective.backend.numpy(self._predict(images, size, output))

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return raw logits (N, C, h, w) float32 of images (N, 3, H, W) uint8 RGB, at the network's stride."""
        return self._objective.backend.numpy(self._objective.predict(images)).astype(np.float32)

    def class_means(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the classes' mean features of images (N, 3, H, W) uint8 RGB, by the predicted classes.

        Returns:
            (N, C, D) float32, and which count, (N, C) bool; see ``class_means`` of the twin's ``centroids``.
        """
        objective = self._objective
        means, valid = class_means(*objective.features(images))
        return objective.backend.numpy(means), objective.backend.numpy(valid)

    def labels(self, images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Return (N, H, W) uint8 train ids of images (N, 3, h, w) uint8 RGB at ``size`` = (H, W)."""
        return self._objective.backend.numpy(label_map(self._predict(images, size, self._evaluate.output)))

    def _predict(self, images: np.ndarray, size: tuple[int, int], output: str) -> Tensor:
        objective, how = self._objective, self._evaluate
        window, stride = (tuple(reversed(one)) if one else None for one in (how.window, how.stride))
        inputs = objective.normalise(objective.backend.tensor(images))
        return predict(objective.logits, inputs, tuple(size), how.scales, how.flip, window, stride, output, how.fuse)


class ClassPredictor:
    """A trained network of classification in evaluation mode."""

    def __init__(self, objective: Any, evaluate: Any) -> None:
        """Wrap; of ``evaluate`` only ``flip`` is for whole images. Arguments as ``Predictor``."""
        self._objective, self._evaluate = objective, evaluate

    def scores(self, images: np.ndarray, output: str = "logits") -> np.ndarray:
        """Return (N, C) float32 of images (N, 3, H, W) uint8 RGB: ``"logits"`` or ``"probabilities"``."""
        objective = self._objective
        inputs = objective.normalise(objective.backend.tensor(images))
        return objective.backend.numpy(class_scores(objective.logits, inputs, self._evaluate.flip, output))

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return raw logits (N, C) float32 of images (N, 3, H, W) uint8 RGB, whatever ``evaluate`` says."""
        return self._objective.backend.numpy(self._objective.predict(images)).astype(np.float32)

    def labels(self, images: np.ndarray, size: tuple[int, ...] = ()) -> np.ndarray:
        """Return the ranked classes (N, K) int64 of images (N, 3, H, W) uint8 RGB, best first; ``size`` is ()."""
        return ranked(self.scores(images))


class Ensemble:
    """Objectives whose networks predict as one: the mean of their logits (DDM's "E(RL, SL)").

    A predictor takes it for an objective; it has no features.
    """

    def __init__(self, members: Sequence[Any]) -> None:
        """Join objectives of one configuration, of one backend."""
        self.members, self.backend, self.config = tuple(members), members[0].backend, members[0].config
        self.normalise = members[0].normalise

    def predict(self, images: np.ndarray) -> Tensor:
        """Return raw logits of images (N, 3, H, W) uint8 RGB."""
        return self.logits(self.normalise(self.backend.tensor(images)))

    def logits(self, images: Tensor) -> Tensor:
        """Return raw logits (N, C, h, w), or (N, C), of normalised images (N, 3, H, W)."""
        return ensemble([member.logits(images) for member in self.members])


PREDICTORS = {"segmentation": Predictor, "classification": ClassPredictor}
