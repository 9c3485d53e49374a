"""A train step of DeepLabV2-ResNet101 at 128x256 on the CPU: the twins against a hand-written loop and each other."""

import time
from collections.abc import Callable

import numpy as np

from common.backends import open_backend
from common.config import Config
from common.draws import generator

SIZE = (128, 256)  # height, width
CONFIG = {
    "name": "benchmark",
    "data": {"val": {"layout": "cityscapes", "root": "unused"}},
    "network": {"depth": 101},
    "method": {"name": "supervised", "domains": "source_only"},
}


def rows(repeats: int = 5) -> list[dict[str, str]]:
    """Measure in turns, so that a busy machine slows all alike, and return two rows; values are medians."""
    steps = {"hand-written": _hand_written(), "torch": _twin("torch"), "mindspore": _twin("mindspore")}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats + 2):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - began)
    median = {name: float(np.median(found[2:])) for name, found in times.items()}  # two rounds to compile and warm up
    return [
        _row("train step, PyTorch twin", median["torch"], "hand-written loop", median["hand-written"], 1.05),
        _row("train step, MindSpore twin", median["mindspore"], "PyTorch twin", median["torch"], 2.0),
    ]


def _row(what: str, ours: float, against: str, other: float, limit: float) -> dict[str, str]:
    ratio = ours / other
    return {
        "what": what,
        "ours": f"{ours:.2f} s",
        "theirs": f"{against}: {other:.2f} s",
        "wanted": f"at most {limit:.2f} times, is {ratio:.2f}",
        "verdict": "ok" if ratio <= limit else "MISSED",
    }


def _batch() -> dict[str, np.ndarray]:
    rng = generator(0, "benchmark")
    image = rng.integers(0, 256, (1, 3, *SIZE), dtype=np.uint8)
    return {"source_image": image, "source_label": rng.integers(0, 19, (1, *SIZE), dtype=np.int32)}


def _twin(name: str) -> Callable[[], None]:
    backend = open_backend(name, device="cpu")
    objective, batch = backend.build(Config.model_validate(CONFIG), "supervised"), _batch()

    def step() -> None:
        backend.numpy(objective.step(batch, 2.5e-4)["loss"])

    return step


def _hand_written() -> Callable[[], None]:
    """Return the loop that a researcher would write over the same network with PyTorch's own parts."""
    open_backend("torch", device="cpu")  # the same threads
    import torch
    from torch.nn.functional import cross_entropy, interpolate

    from torch_impl.nets import build_network
    from torch_impl.nets.training import parameter_groups, set_mode

    config, batch = Config.model_validate(CONFIG), _batch()
    network = build_network(config.network, 19)
    set_mode(network, True)
    groups = [list(group.values()) for group in parameter_groups(network).values()]
    rates = [{"params": groups[0], "lr": 2.5e-4}, {"params": groups[1], "lr": 2.5e-3}]
    optimizer = torch.optim.SGD(rates, momentum=0.9, weight_decay=5e-4)
    mean = torch.tensor(config.input.mean).reshape(1, 3, 1, 1)

    def step() -> None:
        image = torch.from_numpy(batch["source_image"]).float().flip(1) - mean
        label = torch.from_numpy(batch["source_label"]).long()
        outputs = network(image)
        heads = outputs[network.AUXILIARY], outputs[-1]
        aux, main = (interpolate(z, size=SIZE, mode="bilinear", align_corners=True) for z in heads)
        loss = cross_entropy(main, label, ignore_index=255) + 0.1 * cross_entropy(aux, label, ignore_index=255)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()

    return step
