"""The small smooth case of DiGA's parity tests: networks, a configuration, batches of all its stages."""

from typing import Any

import numpy as np

from common.config import Config
from common.draws import generator

CLASSES, SIZE = 5, (64, 96)
NETWORKS = {
    "se": {"name": "deeplabv2_se", "depth": 18, "width": 8, "head_channels": 16, "groups": 4, "pool": "average"},
    "plain": {"name": "deeplabv2", "depth": 18, "width": 8, "pool": "average"},
    "mit": {"name": "mit", "variant": "b0", "width": 8, "depths": (1, 1, 1, 1), "head_channels": 16},
}


def configuration(network: str, method: dict[str, Any], **held: bool) -> Config:
    """Return the configuration of a tiny smooth network; ``held`` are further keys of the section ``network``."""
    return Config.model_validate(
        {
            "name": "small",
            "data": {"val": {"layout": "folders", "root": "unused"}},
            "classes": {"set": "custom", "names": [f"class {index}" for index in range(CLASSES)]},
            "input": {"std": (128.0, 128.0, 128.0)},
            "network": {"activation": "softplus", "init": "kaiming", **NETWORKS[network], **held},
            "optim": {"lr": 0.05, "repeats": {"layer?.*.conv1.weight": 2}},
            "method": {"name": "diga", "translator": {"width": 4, "lambda_perceptual": 0.0}, **method},
        }
    )


def batch(config: Config, step: int, channels: int) -> dict[str, np.ndarray]:
    """Return what a batch of either stage holds, two images a domain."""
    draw = generator(0, "diga", step)
    images = {f"{d}_image": draw.integers(0, 256, (2, 3, *SIZE)).astype(np.uint8) for d in ("source", "target")}
    labels = {f"{d}_label": draw.integers(0, CLASSES, (2, *SIZE)).astype(np.int32) for d in ("source", "target")}
    labels["source_label"][:, :8], labels["source_label"][1, 8:24] = 255, 255  # unlike shares of two images
    strong = {f"{d}_strong": draw.standard_normal((2, 3, *SIZE), np.float32) for d in ("source", "target")}
    masks = {f"{d}_mask": draw.integers(0, 2, (2, *SIZE)).astype(np.uint8) for d in ("source", "target")}
    arrays = {**images, **labels, **strong, **masks, "momentum": np.array((0.0, 0.5, 0.7)[step], np.float32)}
    arrays["source_edge"], arrays["target_seen"] = masks["target_mask"], images["target_image"]
    counts = {"teacher": 4, "student": 4, "mixed": 2, "target": 2}
    noise = {f"{n}_noise": draw.random((c, config.network.draws), np.float32) for n, c in counts.items()}
    centroids = draw.standard_normal((CLASSES, channels), np.float32)
    memory = {"centroids": centroids, "counts": np.ones(CLASSES, np.float32)}
    return {**arrays, **(noise if config.network.draws else {}), **(memory if step == 0 else {})}


def of_rank(arrays: dict[str, np.ndarray], rank: int) -> dict[str, np.ndarray]:
    """Return one image's part of a batch of two; numbers for dropout of two views have originals first."""
    whole = ("momentum", "centroids", "counts")
    return {key: array if key in whole else array[rank::2] for key, array in arrays.items()}
