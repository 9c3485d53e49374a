"""ONNX of the networks beside a task's own: AuG-KD's around a latent space, IAST's discriminator, DiGA's translator.

They have inputs and outputs of their own, which the exported file names: latent vectors, labels, noise, probabilities.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.config import Config
from common.data.labels import class_set
from common.draws import generator
from common.errors import UserError
from common.methods import stages
from common.methods.augkd_networks import networks
from common.networks.base import NetworkBase
from common.networks.translator import CriticsConfig, TranslatorConfig, Vgg19Config
from common.tolerances import LOGITS_ONNX
from convert.formats.files import published
from convert.gap import relative_gap
from convert.onnx_export import exported, session, with_metadata
from convert.parts import OWNERS
from convert.subject import Subject

_MAIN = {"augkd_anchor": "anchor", "diga_translator": "translator"}  # by the objective of the stage
_SIDES = ((64, 96), (68, 132), (132, 72))  # height and width at which a file is checked; divisible by 4


@dataclass(frozen=True)
class Port:
    """An input: its axes, of which ``"N"``, ``"H"`` and ``"W"`` are free, and what it holds."""

    axes: tuple[int | str, ...]
    kind: str = "normal"  # standard normal numbers; "unit": in [0, 1); "labels"; "probabilities" along axis 1


@dataclass(frozen=True)
class Form:
    """The inputs and outputs of a network by name; ``multiple`` divides the height and width that it takes."""

    inputs: dict[str, Port]
    outputs: tuple[str, ...]
    multiple: int = 1


def part_of(subject: Subject) -> str | None:
    """Return which part a file of a run folder holds, by its name and stage; None for a task's own network."""
    if subject.path.stem in OWNERS:
        return subject.path.stem
    place = subject.path.resolve().as_posix()
    found = (stage.objective for stage in stages(subject.config) if f"/stages/{stage.name}/" in place)
    return _MAIN.get(next(found, None) or "")


def description(config: Config, part: str, weights: dict[str, np.ndarray]) -> NetworkBase:
    """Return the description of a part.

    Raises:
        UserError: If the configuration's method has no such part.
    """
    method = config.method
    if method.name != OWNERS[part]:
        raise UserError(f"--network {part}: a part of {OWNERS[part]}, but the configuration's method is {method.name}")
    if part == "discriminator":
        return method.warmup.discriminator
    if method.name == "diga":
        width = method.translator.width
        return {"translator": TranslatorConfig(width=width), "critics": CriticsConfig(width=width)}.get(
            part, Vgg19Config()
        )
    found = networks(config)[part]
    if part == "generator" and "embed.0.weight" in weights:  # the label may enter beside the latent vector
        found = found.model_copy(update={"conditional": weights["embed.0.weight"].shape[1] > found.latent})
    return found


def form(described: NetworkBase, classes: int) -> Form:
    """Return what goes into a network and what comes out."""
    return FORMS[described.name](described, classes)


def export_part(subject: Subject, part: str, target: Path, opset: int) -> dict[str, float]:
    """Write a part as ``target``; all sizes that it leaves open are free.

    Returns:
        What was checked: "NxHxW" -> largest relative difference of any output between onnxruntime and PyTorch.
    Raises:
        UserError: If a package is missing, the weights do not fit, or onnxruntime differs; nothing is written then.
    """
    classes = len(class_set(subject.config.classes))
    described = description(subject.config, part, subject.weights)
    shape = form(described, classes)
    model = with_metadata(_exported(subject, described, shape, classes, opset), subject, part)
    runner, checked = session(model), {}
    for count, (height, width) in enumerate(_SIDES, 1):
        arrays = drawn(shape, classes, count, height, width)
        want = _outputs(_network(subject, described, classes), arrays)
        gaps = [relative_gap(*pair) for pair in zip(runner.run(None, arrays), want, strict=True)]
        checked[f"{count}x{height}x{width}"] = max(gaps)
    if not max(checked.values()) <= LOGITS_ONNX:
        gap = f"{max(checked.values()):.1e}, allowed are {LOGITS_ONNX:.0e}"
        raise UserError(f"{target}: not written, onnxruntime differs by {gap}")
    with published(target) as file:
        file.write(model)
    return checked


def drawn(shape: Form, classes: int, count: int, height: int, width: int) -> dict[str, np.ndarray]:
    """Return inputs of a network: float32, labels int64."""
    sizes, result = {"N": count, "H": height, "W": width}, {}
    for name, port in shape.inputs.items():
        draw, axes = generator(0, "onnx", name, count), [sizes.get(axis, axis) for axis in port.axes]
        if port.kind == "labels":
            result[name] = draw.integers(0, classes, axes)
            continue
        values = draw.random(axes, np.float32) if port.kind == "unit" else draw.standard_normal(axes, np.float32)
        if port.kind == "probabilities":
            values = np.exp(values) / np.exp(values).sum(axis=1, keepdims=True)
        result[name] = values
    return result


def _exported(subject: Subject, described: NetworkBase, shape: Form, classes: int, opset: int) -> bytes:
    import torch

    dims = {"N": torch.export.Dim("batch")}
    for axis, name in (("H", "height"), ("W", "width")):
        dims[axis] = torch.export.Dim(name)
        if shape.multiple > 1:
            dims[axis] = shape.multiple * torch.export.Dim(f"{name}_cells")
    free = [{i: dims[axis] for i, axis in enumerate(port.axes) if axis in dims} for port in shape.inputs.values()]
    examples = [torch.from_numpy(array) for array in drawn(shape, classes, 2, 96, 128).values()]
    network = _network(subject, described, classes)
    return exported(network, examples, free, tuple(shape.inputs), shape.outputs, opset)


def _network(subject: Subject, described: NetworkBase, classes: int):
    """Return a fresh PyTorch network with the weights: spectral norms go on iterating with every pass."""
    from torch_impl.nets import build_network
    from torch_impl.weights import set_weights

    network = build_network(described, classes)
    set_weights(network, subject.weights, str(subject.path))
    return network.requires_grad_(False)


def _outputs(network, arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    import torch

    with torch.no_grad():
        return [one.numpy() for one in flat(network(*map(torch.from_numpy, arrays.values())))]


def flat(outputs) -> list:
    """Return the tensors of nested tuples in order."""
    return [one for each in outputs for one in flat(each)] if isinstance(outputs, tuple) else [outputs]


def _generator(described: NetworkBase, classes: int) -> Form:
    labels = {"labels": Port(("N",), "labels")} if described.conditional else {}
    return Form({"latent": Port(("N", described.latent)), **labels}, ("images",))


def _encoder(described: NetworkBase, classes: int) -> Form:
    images = Port(("N", 3, described.size, described.size), "unit")
    inputs = {"images": images, "labels": Port(("N",), "labels"), "noise": Port(("N", described.latent))}
    return Form(inputs, ("latent", "mean", "log_variance"))


def _anchor(described: NetworkBase, classes: int) -> Form:
    inputs = {"latent": Port(("N", described.latent)), "labels": Port(("N",), "labels")}
    return Form(inputs, ("anchor", "mask"))


def _discriminator(described: NetworkBase, classes: int) -> Form:
    return Form({"probabilities": Port(("N", classes, "H", "W"), "probabilities")}, ("scores",))


def _translator(described: NetworkBase, classes: int) -> Form:
    return Form({"images": Port(("N", 3, "H", "W"))}, ("translated",), multiple=4)


def _critics(described: NetworkBase, classes: int) -> Form:
    inputs = {name: Port(("N", 3, "H", "W")) for name in ("as_target", "as_source")}
    return Form(inputs, tuple(f"{side}_{scale}" for side in ("target", "source") for scale in (1, 2, 4)))


def _vgg19(described: NetworkBase, classes: int) -> Form:
    return Form({"images": Port(("N", 3, "H", "W"))}, tuple(f"relu{stage}_1" for stage in range(1, 6)))


FORMS: dict[str, Callable[[NetworkBase, int], Form]] = {
    "generator": _generator,
    "encoder": _encoder,
    "anchor": _anchor,
    "output_discriminator": _discriminator,
    "translator": _translator,
    "critics": _critics,
    "vgg19_features": _vgg19,
}
