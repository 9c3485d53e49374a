"""A checkpoint made ready to predict: on PyTorch, on MindSpore, or as an exported ONNX file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from common.backends import installed, open_backend
from common.checkpoint import sha256
from common.config import Config, load_config
from common.errors import UserError
from common.methods.supervised import OBJECTIVES
from convert.onnx_export import export_onnx, metadata, session
from convert.subject import Subject, fill, open_subject

NATIVE = {".pth": "torch", ".pt": "torch", ".safetensors": "torch", ".ckpt": "mindspore", ".onnx": "onnx"}


@dataclass
class Side:
    """One column of a comparison. ``objective`` has a backend's ``normalise`` and ``logits``, whoever computes them."""

    name: str
    config: Config
    objective: Any
    backend: Any
    facts: dict[str, str]
    weights: dict[str, np.ndarray]  # under PyTorch's names; empty for an ONNX file

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return raw logits (N, C, h, w), or (N, C), float32 of images (N, 3, H, W) uint8 RGB."""
        return self.backend.numpy(self.objective.logits(self.objective.normalise(self.backend.tensor(images))))

    def predictor(self):
        """Return what predicts labels, as the section ``evaluate`` says."""
        return self.backend.predictor(self.objective, self.config.evaluate)


class OnnxObjective:
    """Lets onnxruntime compute the logits and a backend everything before and behind them."""

    def __init__(self, host, runner):
        self.backend, self.config, self.normalise, self._runner = host.backend, host.config, host.normalise, runner

    def logits(self, images):
        """Return raw logits of normalised images, both the backend's tensors."""
        (result,) = self._runner.run(None, {"images": self.backend.numpy(images)})
        return self.backend.tensor(result)


def open_side(
    place: Path, on: str | None = None, config: str | None = None, overrides: Sequence[str] = (), device: str = "cpu"
) -> Side:
    """Open a checkpoint for prediction.

    Args:
        place: A file (.pth, .ckpt, .safetensors, .onnx), a checkpoint folder or a run folder.
        on: ``"torch"``, ``"mindspore"`` or ``"onnx"``; None takes what the file is made for.
        config: As for ``open_subject``; an ONNX file carries its own.
        overrides: Settings as in ``--set``.
        device: Of the backend.
    Raises:
        UserError: If the file, its configuration or the framework is missing, or they do not fit.
    """
    if place.suffix == ".onnx":
        return _open_exported(place, config, overrides, device)
    subject = open_subject(place, config, overrides)
    on = on or NATIVE[subject.suffix]
    if on == "onnx":
        return exported_side(subject, device)
    backend = open_backend(on, device=device, compile=False)
    facts = {**subject.facts(), "backend": on, **backend.describe()}
    return Side(on, subject.config, fill(backend, subject), backend, facts, subject.weights)


def exported_side(subject: Subject, device: str = "cpu") -> Side:
    """Export a checkpoint to ONNX in passing and open that."""
    with TemporaryDirectory(prefix="twinda-") as folder:
        path = Path(folder) / "network.onnx"
        export_onnx(subject, path)
        side = _open_exported(path, None, (), device)
    side.facts |= {"file": str(subject.path), "sha256": sha256(subject.path)}
    return side


def _open_exported(path: Path, config: str | None, overrides: Sequence[str], device: str) -> Side:
    runner = session(str(path))
    import onnxruntime

    properties = runner.get_modelmeta().custom_metadata_map
    ports = [[port.name for port in side] for side in (runner.get_inputs(), runner.get_outputs())]
    if ports != [["images"], ["logits"]]:
        took, gave = (", ".join(names) for names in ports)
        raise UserError(f"{path}: makes {gave} of {took}; a task's network makes logits of images")
    settings = load_config(config, overrides) if config else _carried(metadata(properties, str(path)), path)
    host = next((name for name in ("torch", "mindspore") if installed(name)), None)
    if host is None:
        raise UserError("onnx: images are prepared by torch or mindspore; install one of them")
    backend = open_backend(host, device=device, compile=False)
    facts = {
        "file": str(path),
        "sha256": sha256(path),
        "weights": properties.get("weights_digest", ""),
        "network": settings.network.name,
        "backend": "onnx",
        "onnxruntime": onnxruntime.__version__,
        "device": "cpu",
    }
    objective = OnnxObjective(backend.build(settings, OBJECTIVES[settings.task]), runner)
    return Side("onnx", settings, objective, backend, facts, {})


def _carried(whole: dict, path: Path) -> Config:
    """Return the configuration that a file carries."""
    try:
        return Config.model_validate(whole)
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: its configuration is damaged or of another version ({reason})") from error


def same_input(first: Side, second: Side) -> None:
    """Refuse sides that see images differently: their logits could not be compared.

    Raises:
        UserError: Naming what differs.
    """
    for name in ("input", "classes"):
        if getattr(first.config, name) != getattr(second.config, name):
            one, two = (json.dumps(getattr(side.config, name).model_dump(mode="json")) for side in (first, second))
            raise UserError(f"{name} differs: {one} and {two}; compare networks that see the same")
