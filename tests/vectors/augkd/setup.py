"""The objectives of AuG-KD as its step vectors have them: configuration, fixed networks, first weights, batches."""

import numpy as np

from common.config import Config
from common.methods.augkd_networks import networks
from tests.rounding import shaken
from tests.twins import Twin, twin
from tests.vectors import Vector
from tests.vectors.augkd.networks import calibrate
from tests.vectors.augkd.reading import (
    CIFAR,
    IMAGENET,
    classifier_config,
    images_of,
    meta_of,
    network_of,
    unit_images,
)

OBJECTIVES = {
    "teacher": "supervised_classes",
    "finetune": "supervised_classes",
    "kd": "augkd_distilled",
    "anchor": "augkd_anchor",
    "mixup": "augkd_mixup",
    "df": "augkd_datafree",
}


VARIANTS = {  # of stage 3, by a part of the variant's name: what the configuration says; official where none fits
    "paper": {"compat": "paper"},
    "teacher_only": {"mixup": {"target": "teacher", "normalize_real": False}},
    "normalize_only": {"mixup": {"target": "student", "normalize_real": True}},
}
OFFICIAL = {"compat": "official"}


def options_of(variant: str) -> dict:
    """Return the method's options of a variant of stage 3."""
    return next((options for part, options in VARIANTS.items() if part in variant), OFFICIAL)


def mixing_roles(variant: str) -> tuple[str, ...]:
    """Return the networks that are held fixed in a variant of stage 3."""
    return "teacher", "generator", "encoder", *(() if "no_anchor" in variant else ("anchor",))


def configuration(meta: dict, kind: str, **method) -> Config:
    """Return the configuration that a file's parameters describe."""
    constants = CIFAR.get(meta["dataset"], IMAGENET)
    optim = {"name": "adam", "lr": meta.get("lr", 1e-3), "weight_decay": meta.get("wd", 0.0), "head_lr_mult": 1.0}
    optim["schedule"] = "constant_after_third"
    if kind == "anchor":
        optim |= {"lr": meta["a_lr"], "weight_decay": 0.0, "schedule": "cosine_wave", "horizon": meta["a_epoch"]}
    if kind == "df":
        optim |= {"schedule": "cosine_wave", "horizon": meta["g_epoch"], "epoch": meta["iterations"]}
    if kind == "teacher":
        optim["weight_decay"] = 0.0
    own = classifier_config(meta["teacher"] if kind == "teacher" else meta["student"])
    return Config.model_validate(
        {
            "name": "vector",
            "task": "classification",
            "data": {"val": {"layout": "class_folders", "root": "unused"}},
            "classes": {"names": [f"class {index}" for index in range(meta["num_classes"])]},
            "input": {"order": "rgb", "scale": 1 / 255, **constants},
            "network": own,
            "optim": optim,
            "method": {
                "name": "augkd",
                "latent_size": meta.get("latent", 100),
                "teacher": {"network": classifier_config(meta["teacher"])},
                **method,
            },
        }
    )


def frozen_networks(side: Twin, vector: Vector, config: Config, roles: tuple[str, ...]) -> dict:
    """Return the weights of fixed networks: filled, and calibrated with the dataset's arrays of ``calib.npz``."""
    meta, described = meta_of(vector), networks(config)
    with np.load(vector.path.with_name("calib.npz"), allow_pickle=False) as file:
        x, y, z = (file[f"{meta['dataset']}_{name}"] for name in ("x_u8", "y", "z"))
    labels, latent = y.astype(np.int32), z.astype(np.float32)
    silence = np.zeros_like(latent)
    given = {
        "teacher": (images_of(x, meta),),
        "encoder": (unit_images(x), labels, silence),
        "generator": (latent, labels),
        "anchor": (latent, labels),
    }
    weights = {}
    for role in roles:
        network = network_of(side, described[role], len(config.classes.names))
        calibrate(side, network, *given[role])
        weights[role] = side.weights.get_weights(network)
    return weights


def build(backend, vector: Vector, kind: str, config: Config, roles: tuple[str, ...], shake: int | None = None):
    """Return an objective: filled where it trains, calibrated where it is held fixed (and the anchor network too).

    Args:
        backend: The opened backend.
        vector: The file.
        kind: Key of ``OBJECTIVES``.
        config: The configuration.
        roles: The networks that begin calibrated.
        shake: Seed of ``shaken``, for all networks.
    """
    side = twin(backend.name)
    fixed = {role: shaken(one, shake) for role, one in frozen_networks(side, vector, config, roles).items()}
    own = fixed.pop(kind, None)  # the anchor network and stage 0's teacher begin calibrated too
    objective = backend.build(config, OBJECTIVES[kind], frozen=fixed)
    if own is None:
        own = filled(side, objective.network, shake)
    objective.load_weights(own)
    return objective


def filled(side: Twin, network, shake: int | None = None) -> dict[str, np.ndarray]:
    """Give a network the reference weights of its official keys, shaken or not, and return them."""
    side.fill(network, "torch")
    weights = shaken(side.weights.get_weights(network), shake)
    side.weights.set_weights(network, weights)
    return weights


def noisy(x: np.ndarray, y: np.ndarray, eps: np.ndarray) -> dict[str, np.ndarray]:
    """Return a batch of images, labels and the encoder's noise."""
    return {"image": x, "label": y.astype(np.int32), "noise": eps.astype(np.float32)}
