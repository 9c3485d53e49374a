"""Exports a network as ONNX through the PyTorch twin; checked with onnxruntime before it is written."""

import io
import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from common.backends import open_backend
from common.data.labels import class_set
from common.draws import generator
from common.errors import UserError
from common.run_folder import digest_of
from common.tolerances import LOGITS_ONNX
from convert.formats.files import published
from convert.gap import relative_gap
from convert.images import fixed_size, shapes
from convert.subject import Subject, fill

OPSET = 18
CONFIG_KEY = "twinda.config"


def export_onnx(subject: Subject, target: Path, opset: int = OPSET) -> dict[str, float]:
    """Write ``target``: images (N, 3, H, W) float32, normalised -> raw logits of the evaluated head.

    N is free; so are H and W, unless the network is made for images of one size.

    Returns:
        What was checked: "NxHxW" -> largest relative difference between onnxruntime and PyTorch.
    Raises:
        UserError: If a package is missing, or onnxruntime's logits differ; nothing is written then.
    """
    backend = open_backend("torch", device="cpu")
    objective = fill(backend, subject)
    model = with_metadata(_main(objective, fixed_size(subject.config), opset), subject)
    checked = compare(objective, backend, session(model), shapes(subject.config))
    worst = max(checked, key=lambda size: checked[size])
    if not checked[worst] <= LOGITS_ONNX:
        gap = f"{checked[worst]:.1e} at {worst}, allowed are {LOGITS_ONNX:.0e}"
        raise UserError(f"{target}: not written, onnxruntime differs by {gap}")
    with published(target) as file:
        file.write(model)
    return checked


def session(model: bytes | str):
    """Return an onnxruntime session on the CPU.

    Raises:
        UserError: If the package is missing or the file is no model.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError("the package onnxruntime is not installed. Run: pip install onnxruntime==1.31.1") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes, which it does not document
        name = model if isinstance(model, str) else "the exported model"
        raise UserError(f"{name}: onnxruntime cannot load it ({str(error).splitlines()[0][:160]})") from error


def compare(objective, backend, runner, wanted: Sequence[tuple[int, int, int]]) -> dict[str, float]:
    """Return "NxHxW" -> max|onnx - framework| / max|framework| for each (N, H, W) of ``wanted``."""
    result = {}
    for count, height, width in wanted:
        images = generator(0, "onnx", height, width).standard_normal((count, 3, height, width), np.float32)
        want = backend.numpy(objective.logits(backend.tensor(images)))
        (got,) = runner.run(None, {"images": images})
        result[f"{count}x{height}x{width}"] = relative_gap(got, want)
    return result


def metadata(model_properties: Mapping[str, str], place: str) -> dict:
    """Return the configuration that an exported file carries.

    Raises:
        UserError: If it was not exported by ``python -m convert onnx``, or is damaged.
    """
    if CONFIG_KEY not in model_properties:
        raise UserError(f"{place}: carries no configuration; export it with python -m convert onnx, or name --config")
    try:
        return json.loads(model_properties[CONFIG_KEY])
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place}: its configuration is damaged ({str(error)[:100]})") from error


def exported(network, examples: Sequence, free: Sequence[Mapping], names: tuple, outputs: tuple, opset: int) -> bytes:
    """Return the ONNX file of a PyTorch network.

    Args:
        network: In evaluation mode.
        examples: One tensor an input.
        free: The axes of each input that are free: axis -> name.
        names, outputs: Names of inputs and outputs.
        opset: ONNX operator set.
    Raises:
        UserError: If a package is missing, or the network cannot be exported.
    """
    import torch

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                network,
                tuple(examples),
                None,
                dynamo=True,
                dynamic_shapes=tuple(free),
                input_names=list(names),
                output_names=list(outputs),
                opset_version=opset,
                verbose=False,
            )
    except ImportError as error:
        raise UserError(f"onnx: {error}. Run: pip install onnx==1.23.2 onnxscript==0.7.2") from error
    except torch.onnx.OnnxExporterError as error:
        raise UserError(f"onnx: the network cannot be exported ({str(error).splitlines()[0][:160]})") from error
    buffer = io.BytesIO()
    program.save(buffer)
    return buffer.getvalue()


def _main(objective, size: tuple[int, int] | None, opset: int) -> bytes:
    """Return the file of a task's network for images of one size (width, height); None frees it."""
    import torch
    from torch import nn

    from torch_impl.nets.training import set_mode

    class Main(nn.Module):
        """The evaluated head alone."""

        def __init__(self, network: nn.Module):
            super().__init__()
            self.network = network

        def forward(self, images):
            result = self.network(images)
            return result[-1] if isinstance(result, tuple) else result

    set_mode(objective.evaluated, False)
    free = {0: "batch"} if size else {0: "batch", 2: "height", 3: "width"}
    example = torch.randn(2, 3, *(reversed(size) if size else (65, 97)))
    return exported(Main(objective.evaluated).eval(), [example], [free], ("images",), ("logits",), opset)


def with_metadata(model: bytes, subject: Subject, part: str = "") -> bytes:
    """Add what a user of the file must know: classes, input form, digests, the whole configuration, which network."""
    import onnx

    proto, config = onnx.load_from_string(model), subject.config
    whole = config.model_dump(mode="json")
    facts = {
        "task": config.task,
        "classes": ",".join(class_set(config.classes).names),
        "mean": ",".join(map(str, config.input.mean)),
        "std": ",".join(map(str, config.input.std)),
        "scale": str(config.input.scale),
        "channel_order": config.input.order,
        "config_digest": digest_of(whole),
        "weights_digest": subject.facts()["weights"],
        CONFIG_KEY: json.dumps(whole),
        **({"network": part} if part else {}),
    }
    for key, value in facts.items():
        proto.metadata_props.add(key=key, value=value)
    proto.producer_name = "twinda"
    onnx.checker.check_model(proto)
    return proto.SerializeToString()
