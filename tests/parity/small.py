"""The small smooth case of the parity tests: a configuration, its batches, its objectives."""

from typing import Any

import numpy as np

from common.config import Config
from common.draws import generator

CLASSES = 5
SIZE = (48, 64)  # height, width
SMOOTH = {"depth": 18, "width": 8, "activation": "softplus", "pool": "average", "init": "kaiming"}
CLASS_SIZE = (32, 32)
SMOOTH_CLASSES = {"name": "resnet", "depth": 10, "width": 8, "stem": "small", "activation": "softplus"}
METHODS = {  # of objectives
    "supervised": "supervised",
    "ddm_region": "ddm",
    "ddm_sample": "ddm",
    "ddm_student": "ddm",
    "iast_warmup": "iast",
    "iast_self_training": "iast",
    "supervised_classes": "supervised",
    "ent": "ent",
    "mme": "mme",
    "ape": "ape",
    "s3d": "s3d",
}
OPTIONS: dict[str, dict] = {  # objective -> options of its method, so that every part of the loss is seen
    "iast_warmup": {
        "warmup": {
            "lambda_adversarial": 0.5,
            "discriminator_lr": 0.1,
            "discriminator_eps": 1e-2,
            "discriminator": {"width": 4, "activation": "softplus"},
        }
    },
    "s3d": {"temperature": 0.5},  # the distillation is then large enough for float32
    "iast_self_training": {"self_training": {"lambda_confident": 5.0, "lambda_ignored": 9.0}},
}
CLASSIFICATION = ("supervised_classes", "ent", "mme", "ape", "s3d")  # objectives of that task
HEADS = {"ent": "predictor", "mme": "predictor_deep", "ape": "predictor", "s3d": "predictor_deep"}
KEYS = {  # objective -> the pairs and lone images of its batch
    "supervised": ("source", "target"),
    "ddm_region": ("mixed",),
    "ddm_sample": ("source", "target"),
    "ddm_student": ("unlabelled", "target"),
    "iast_warmup": ("source", "target"),
    "iast_self_training": ("target",),
    "supervised_classes": ("source", "target"),
    "ent": ("source", "target", "unlabelled"),
    "mme": ("source", "target", "unlabelled"),
    "ape": ("source", "target", "unlabelled"),
    "s3d": ("labelled", "unlabelled"),
}
TWICE = ("ape",)  # objectives that see two unlabelled images for each source image


def configuration(objective: str = "supervised", **sections: dict[str, Any]) -> Config:
    """Return a configuration of the small network; ``sections`` add to or replace keys of its sections."""
    base: dict[str, Any] = {
        "name": "small",
        "data": {"val": {"layout": "folders", "root": "unused"}},
        "classes": {"set": "custom", "names": [f"class {index}" for index in range(CLASSES)]},
        "input": {"scale": 1 / 255, "mean": (0.4, 0.45, 0.5), "std": (0.25, 0.25, 0.25)},
        "network": dict(SMOOTH),
        "optim": {"lr": 0.1},
        "method": {"name": METHODS[objective], **OPTIONS.get(objective, {})},
    }
    if objective in CLASSIFICATION:
        head = {"head": HEADS[objective]} if objective in HEADS else {}
        base |= {"task": "classification", "network": {**SMOOTH_CLASSES, **head}}
        base["data"] = {"val": {"layout": "class_folders", "root": "unused"}}
    for name, values in sections.items():
        base[name] = {**base.get(name, {}), **values} if isinstance(values, dict) else values
    return Config.model_validate(base)


def batch(objective: str, images: int = 2, seed: int = 0) -> dict[str, np.ndarray]:
    """Return a batch of an objective: noise images, random labels; of label maps each image ignores another share."""
    arrays: dict[str, np.ndarray] = {}
    whole = objective in CLASSIFICATION
    for key in KEYS[objective]:
        draw = generator(seed, "small", objective, key)
        count = 2 * images if key == "unlabelled" and objective in TWICE else images
        arrays[f"{key}_image"] = draw.integers(0, 256, (count, 3, *(CLASS_SIZE if whole else SIZE))).astype(np.uint8)
        if key == "labelled":  # of another style than the unlabelled images
            arrays[f"{key}_image"] = 60 + arrays[f"{key}_image"] // 5
        if whole and key != "unlabelled":
            arrays[f"{key}_label"] = draw.integers(0, CLASSES, images).astype(np.int32)
        elif key != "unlabelled":
            label = draw.integers(0, CLASSES, (images, *SIZE)).astype(np.int32)
            for index in range(images):
                label[index, : 4 + 12 * index] = 255
            arrays[f"{key}_label"] = label
    return arrays | _drawn(objective, images, generator(seed, "small", objective, "drawn"))


def _drawn(objective: str, images: int, draw: np.random.Generator) -> dict[str, np.ndarray]:
    """Return what a batch of an objective holds beside images and labels."""
    if objective == "ape":
        return {"noise": draw.standard_normal((3 * images, 3, *CLASS_SIZE), np.float32)}
    if objective == "s3d":
        return {"style_mix": draw.random((4, images), np.float32), "weight": np.array(0.7, np.float32)}
    return {}


def build(backend: Any, objective: str, config: Config) -> Any:
    """Return an objective; its fixed networks have other weights than its own."""
    if objective != "ddm_student":
        return backend.build(config, objective)
    other = [config.model_copy(update={"seed": config.seed + number}) for number in (1, 2)]
    weights = [backend.build(one, "supervised").state()["model"] for one in other]
    return backend.build(config, objective, frozen=dict(zip(("region_teacher", "sample_teacher"), weights)))
