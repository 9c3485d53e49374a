"""A backend without a framework: a linear classifier of pixels, trained by SGD, so that engine tests take milliseconds.

It keeps everything that real objectives keep: weights, momentum, an averaged copy, a memory and a loss scale.
"""

import io
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

CLASSES = 3


class FakeBackend:
    """What the engine needs of a backend, in NumPy."""

    name, suffix, device = "fake", ".npz", "cpu"
    rank, world = 0, 1

    def __init__(self, poison_at: int | None = None, seconds: float = 0.0):
        """Prepare.

        Args:
            poison_at: The loss of this step, counted over the life of the backend from 0, is NaN.
            seconds: What a step takes.
        """
        self.poison_at, self.seconds, self.steps_run = poison_at, seconds, 0

    def build(self, config, objective: str, frozen: dict | None = None) -> "FakeObjective":
        """Return the one objective there is."""
        return FakeObjective(config, self, frozen)

    def predictor(self, objective: "FakeObjective", evaluate) -> "FakePredictor":
        """Return what evaluation uses."""
        return FakePredictor(objective)

    def save(self, part: dict, path: Path) -> None:
        """Write arrays."""
        buffer = io.BytesIO()
        np.savez(buffer, **part)
        path.write_bytes(buffer.getvalue())

    def load(self, path: Path) -> dict:
        """Read arrays."""
        with np.load(path, allow_pickle=False) as file:
            return dict(file)

    def numpy(self, value) -> np.ndarray:
        """Return a copy."""
        return np.array(value)

    def average(self, values: dict) -> dict:
        """One rank: nothing to average."""
        return values

    def total(self, array: np.ndarray) -> np.ndarray:
        """One rank: nothing to add."""
        return array

    def barrier(self) -> None:
        """One rank: nothing to wait for."""

    def release(self) -> None:
        """Nothing to give back."""

    def memory_gib(self) -> float:
        """Return a plausible number."""
        return 0.5

    def describe(self) -> dict:
        """Return versions and device."""
        return {"numpy": np.__version__, "device": self.device}


class FakeObjective:
    """Least squares on one-hot labels, with momentum, averaged weights, a memory of class means and a loss scale."""

    def __init__(self, config, backend: FakeBackend, frozen: dict | None = None):
        self.config, self.backend = config, backend
        self.frozen = frozen or {}
        weights = {"weight": np.zeros((CLASSES, 3)), "bias": np.zeros(CLASSES)}
        moments = {f"momentum_buffer.{name}": np.zeros_like(array) for name, array in weights.items()}
        self.parts = {
            "model": weights,
            "optimizer": {**moments, "scale": np.ones(())},
            "ema": {k: v.copy() for k, v in weights.items()},
            "memory": {"means": np.full((CLASSES, 3), np.nan)},
        }

    def step(self, batch: dict, lr: float) -> dict:
        """One step of SGD; returns losses."""
        time.sleep(self.backend.seconds)
        x = batch["image"].transpose(0, 2, 3, 1).reshape(-1, 3) / 255.0
        label = batch["label"].reshape(-1)
        target = np.eye(CLASSES)[label]
        for weights in self.frozen.values():
            target = (target + x @ weights["weight"].T + weights["bias"]) / 2
        model, optimizer, ema, memory = (self.parts[name] for name in ("model", "optimizer", "ema", "memory"))
        gap = x @ model["weight"].T + model["bias"] - target
        gradients = {"weight": gap.T @ x / len(x), "bias": gap.mean(axis=0)}
        for name, gradient in gradients.items():
            buffer = optimizer[f"momentum_buffer.{name}"]
            buffer[...] = 0.9 * buffer + gradient
            model[name] -= lr * buffer
            ema[name][...] = 0.95 * ema[name] + 0.05 * model[name]
        optimizer["scale"] *= 1.001
        for index in np.unique(label):
            memory["means"][index] = x[label == index].mean(axis=0)
        poisoned = self.backend.steps_run == self.backend.poison_at
        self.backend.steps_run += 1
        loss = np.float32(np.nan if poisoned else (gap**2).mean())
        return {"loss": loss, "main": loss, "scale": np.float32(optimizer["scale"])}

    def state(self) -> dict:
        """Copies of all parts."""
        return {part: {name: array.copy() for name, array in arrays.items()} for part, arrays in self.parts.items()}

    def load_state(self, state: dict) -> None:
        """Strict."""
        assert {p: set(a) for p, a in state.items()} == {p: set(a) for p, a in self.parts.items()}
        self.parts = {part: {name: array.copy() for name, array in arrays.items()} for part, arrays in state.items()}

    def load_weights(self, weights: dict) -> None:
        """Model only; the averaged copy begins there."""
        for part in ("model", "ema"):
            self.parts[part] = {name: weights[name].copy() for name in self.parts[part]}


class FakePredictor:
    """Class of the largest score of each pixel."""

    def __init__(self, objective: FakeObjective):
        self.weights = objective.parts["ema"]

    def scores(self, images: np.ndarray, size: tuple[int, int], output: str = "logits") -> np.ndarray:
        """Return (N, C, H, W) at the size of the images."""
        assert images.shape[2:] == tuple(size)
        scores = np.einsum("cd,ndhw->nchw", self.weights["weight"], images / 255.0)
        return (scores + self.weights["bias"][:, None, None]).astype(np.float32)

    def labels(self, images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Return (N, H, W) uint8."""
        return self.scores(images, size).argmax(axis=1).astype(np.uint8)


class FakeDataset:
    """Coloured stripes: pixels of class c are bright in channel c."""

    task = "segmentation"

    def __init__(self, count: int, seed: int):
        rng = np.random.default_rng(seed)
        self.names = [f"{index}.png" for index in range(count)]
        self.truths = rng.integers(0, CLASSES, (count, 8, 10)).astype(np.uint8)
        bright = np.eye(CLASSES)[self.truths] * 140
        self.images = np.clip(bright + rng.normal(60, 50, bright.shape), 0, 255).astype(np.uint8)
        self.seed, self.config = seed, SimpleNamespace(label_size=None)

    def __len__(self) -> int:
        return len(self.names)

    def image(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8."""
        return self.images[index]

    def native_label(self, index: int) -> np.ndarray:
        """(H, W) uint8."""
        return self.truths[index]

    label = native_label

    def fingerprint(self) -> str:
        """Tells one seed from another."""
        return f"stripes {len(self)} {self.seed}"
