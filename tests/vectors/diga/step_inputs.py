"""What the step vectors of DiGA prescribe: configuration, weights, batches, in float32 or as wide as the weights."""

from pathlib import Path

import numpy as np

from common.config import Config, load_config
from common.data.class_mixing import paste_masks
from common.data.strong_colour import blend
from common.data.transforms import normalise
from common.schedules import teacher_momentum
from tests.reference.fill import fill
from tests.twins import Twin
from tests.vectors import Vector

REFERENCE = Path(__file__).parents[2] / "reference" / "diga"
REPEATS = load_config("diga/gta5_to_cityscapes").optim.repeats  # the official optimizer's lists


def configuration(vector: Vector, network: dict, classes: int) -> Config:
    """Return the configuration that a vector's parameters describe."""
    params = prescribed(vector)
    phase = {"lambda_distil": params["lambda_distil"], "strong": {"beta": params["beta"]}}
    method = {"name": "diga", "lambda_reverse": params["scale"], "lambda_aux": params["lambda_aux"]}
    method |= {"warmup": phase, "self_training": phase, "centroids": {"momentum": params["centroid_momentum"]}}
    if is_synthia(vector) or "ohem" in str(params):  # the official SYNTHIA scripts know no other loss
        method |= {"seg_loss": "ohem", "ohem_threshold": params["thres"], "ohem_min_kept": params["min_kept"]}
    weights = {"adv": "adversarial", "cyc": "cycle", "seg_edge": "edge", "percep": "perceptual", "self": "self"}
    options = {f"lambda_{ours}": params[f"lambda_{theirs}"] for theirs, ours in weights.items()}
    return Config.model_validate(
        {
            "name": vector.stem,
            "data": {"val": {"layout": "folders", "root": "unused"}},
            "classes": {"set": "custom", "names": [f"class {index}" for index in range(classes)]},
            "input": {"std": (128.0, 128.0, 128.0)},
            "network": network,
            "optim": _optim(vector, network),
            "method": {**method, "translator": options},
        }
    )


def prescribed(vector: Vector) -> dict:
    """Return a vector's parameters; those that it leaves out are the official values of its script."""
    synthia, semi = is_synthia(vector), is_semi(vector)
    later = "selftrain" in vector.stem and not semi
    official = {
        **{"lambda_distil": 0.25 if synthia or later else 0.5, "beta": 0.3 if later else 0.4},
        **{"scale": 0.25 if synthia else 0.5, "lambda_aux": 0.1, "centroid_momentum": 1e-4},
        **{"thres": 0.7, "min_kept": 100_000, "sampled_classes": []},
        **{"lambda_adv": 0.5, "lambda_cyc": 10.0, "lambda_seg_edge": 20.0, "lambda_percep": 0.1},
        "lambda_self": 0.025 if synthia else 0.001,
    }
    return official | vector.params


def is_synthia(vector: Vector) -> bool:
    """Return whether a vector is of the official SYNTHIA scripts, whose networks know 16 classes."""
    return "syn" in vector.stem.lower()


def is_semi(vector: Vector) -> bool:
    """Return whether a vector is of the official semi-supervised scripts, whose network is HRNet with OCR."""
    return any("hrnet" in name for name in vector.arrays)


def _optim(vector: Vector, network: dict) -> dict:
    rates = np.array(vector.params["lr"])
    last = rates[-1]  # the first may be 0
    optim = {"lr": rates.max(), "head_lr_mult": last[-1] / last[0] if last[0] else 10.0}
    if "translator" in vector.stem:
        return optim | {"name": "adam", "betas": (0.5, 0.999), "weight_decay": 0.0}
    return optim if network["name"] == "hrnet_ocr" else optim | {"repeats": REPEATS}


def inputs(vector: Vector) -> dict[str, np.ndarray]:
    """Return a vector's arrays, with the inputs of the file that it names: beside it, or among ours."""
    base, other = {}, vector.params.get("inputs_from")
    if other:
        beside = vector.path.with_name(f"{other}.npz")
        base = Vector(beside if beside.is_file() else REFERENCE / beside.name).arrays
    return {**{name: value for name, value in base.items() if "|" not in name}, **vector.arrays}


def classes_of(vector: Vector, arrays: dict) -> int:
    """Return how many classes a vector's networks know: SYNTHIA's 16, else 19."""
    if "centroids_init" in arrays:
        return len(arrays["centroids_init"])
    return int(vector.params.get("classes") or (16 if is_synthia(vector) else 19))


def is_translated(vector: Vector, arrays: dict, selftraining: bool) -> bool:
    """Return whether classes were drawn for images in the target's style, beside those of the target mix."""
    drawn = len(prescribed(vector)["sampled_classes"]) / (vector.params["iters"] * len(arrays["src_u8_bgr"]))
    return drawn > selftraining


def started(side: Twin, backend, config: Config, kind: str, translated: bool):
    """Return an objective with the weights that the README prescribes; the teacher has statistics of its own."""
    student = _filled_weights(side, backend, config, kind)
    frozen = {"teacher": {name: _teachers(name, value) for name, value in student.items()}}
    if translated:
        weights = side.weights.get_weights(backend.build(config, "diga_translator").network)
        frozen["translator"] = {n: fill(n.partition(".")[2], value.shape) for n, value in weights.items()}
    backend.release()  # networks that were built for their weights' names alone hang in cycles: gigabytes
    objective = backend.build(config, kind, frozen=frozen)
    objective.load_weights(student)
    return objective


def _filled_weights(side: Twin, backend, config: Config, kind: str) -> dict[str, np.ndarray]:
    network = backend.build(config, kind).network
    side.fill(network, "torch")
    return side.weights.get_weights(network)


def fill_both_directions(side: Twin, network) -> None:
    """Fill the generators or the discriminators; the official keys lack the network's name."""
    weights = side.weights.get_weights(network)
    side.weights.set_weights(network, {name: _of_direction(name, value) for name, value in weights.items()})


def step_batch(
    vector: Vector, arrays: dict, step: int, config: Config, translated: bool, selftraining: bool, dtype: type
) -> dict[str, np.ndarray]:
    """Return the batch of an iteration: the stand-in for the colour pipeline, masks of the recorded classes."""
    source, label, target = arrays["src_u8_bgr"], arrays["src_label"], arrays.get("tgt_u8_bgr")
    params, count = prescribed(vector), len(source)
    batch = {
        "source_image": rgb(source),
        "source_label": label.astype(np.int32),
        "source_strong": _strong(source, config, params["beta"], dtype),
        "momentum": np.array(teacher_momentum(step), dtype),
    }
    per_step = count * (translated + selftraining)
    chosen = params["sampled_classes"][step * per_step : (step + 1) * per_step]
    if translated:
        batch["source_mask"] = paste_masks(label, chosen[:count])
    if not selftraining:
        return batch if target is None else batch | {"target_seen": rgb(target)}
    return batch | {
        "target_image": rgb(target),
        "target_label": arrays["tgt_label"].astype(np.int32),
        "target_strong": _strong(target, config, params["beta"], dtype),
        "target_mask": paste_masks(label, chosen[-count:]),
    }


def rgb(bgr: np.ndarray) -> np.ndarray:
    """Return (N, 3, H, W) uint8 with the channels the other way round."""
    return np.ascontiguousarray(bgr[:, ::-1])


def _strong(bgr: np.ndarray, config: Config, beta: float, dtype: type) -> np.ndarray:
    """Return the stand-in for the colour pipeline, ``clip(0.5 * x[:, ::-1] + 0.3, 0, 1)``, blended as usual."""
    rows = (normalise(np.ascontiguousarray(one.transpose(1, 2, 0)[..., ::-1]), config.input) for one in bgr)
    images = [one.astype(dtype) for one in rows]
    return np.stack([blend(x, np.clip(0.5 * x[::-1] + 0.3, 0, 1), beta) for x in images])


def _of_direction(name: str, value: np.ndarray) -> np.ndarray:
    """Return the filled value of a parameter of the translator; the reverse direction's is multiplied by 0.8."""
    network, _, key = name.partition(".")
    filled = fill(key, value.shape).astype(value.dtype)
    return filled * 0.8 if network in ("enc_t", "dec_t2s", "dis_t2s") else filled


def _teachers(name: str, value: np.ndarray) -> np.ndarray:
    """Return the teacher's value before it is overwritten: only its statistics last."""
    if value.dtype.kind != "f":
        return value
    return value * (1.1 if name.endswith(("running_var", "moving_variance")) else 0.9)
