"""Step vectors of DDM: three optimizer steps of either teacher and of the student, through the public objectives."""

import re
from collections.abc import Callable, Iterator

import numpy as np

from common.config import Config
from common.data.mixing import Box, box_mask, mix
from common.schedules import learning_rate
from tests.twins import Twin, twin
from tests.vectors import Check, Vector
from tests.vectors.ddm.networks import depth_of

LOSS, HEAD, BACKBONE, WEIGHT, STATISTIC = 1e-4, 1e-4, 2e-2, 1e-5, 1e-5  # relative to the maximum, float32
HEADS = ("layer5.", "layer6.")
BASE_LR = 2.5e-3  # ten times the default, so that updates are visible in float32
DAMPED = 0.125  # factor of every bn3 scale, without which no float32 run can match


def step_runner(kind: str, batch: Callable[[Vector], dict]) -> Callable[[Vector, object], Iterator[Check]]:
    """Return the runner of a stage's steps.

    Args:
        kind: Name of the objective.
        batch: Makes its batch from the vector's arrays.
    """

    def run(vector: Vector, backend) -> Iterator[Check]:
        side, config = twin(backend.name), configuration(vector)
        objective = start(side, backend, config, kind)
        names = side.names(objective.network)
        arrays = batch(vector)
        initial = side.canonical(objective.state()["model"], objective.network)
        yield from _teachers(vector, side, objective, arrays)
        _, gradients = objective.gradients(arrays)
        yield from _gradients(vector, {names[own]: value for own, value in gradients.items()})
        losses = []
        for step in range(len(vector.arrays["losses"])):
            lr = learning_rate(config.optim, step, config.optim.horizon)
            losses.append([float(side.numpy(value)) for value in objective.step(arrays, lr).values()])
            after = side.canonical(objective.state()["model"], objective.network)
            yield from _weights(vector, f"after{step + 1}.", after, initial)
        for column, want in enumerate(vector.arrays["losses"].T):
            yield Check(f"losses, column {column}", np.array(losses)[:, column], want, LOSS)

    return run


def configuration(vector: Vector) -> Config:
    """Return the configuration that a vector's parameters describe; what they are silent about is the paper's."""
    params = vector.params
    classes = int(params.get("num_classes") or _classes(vector))
    options = {"lambda_kl": "lambda_kl", "lambda_ce": "lambda_ce", "T": "temperature", "t2": "kl_t2"}
    options |= {name: name for name in ("ensemble", "lambda_main", "lambda_aux", "lambda_kl_aux")}
    options |= {"reduction": "kl_reduction"}
    return Config.model_validate(
        {
            "name": vector.stem,
            "data": {"val": {"layout": "folders", "root": "unused"}},
            "classes": {"set": "custom", "names": [f"class {index}" for index in range(classes)]},
            "network": {"depth": depth_of(params), "maxpool": params.get("maxpool", "ceil")},
            "optim": {
                "lr": params.get("base_lr", BASE_LR),
                "momentum": params.get("momentum", 0.9),
                "weight_decay": params.get("weight_decay", 5e-4),
                "horizon": params.get("max_iters", 250_000),
            },
            "method": {"name": "ddm", **{ours: params[theirs] for theirs, ours in options.items() if theirs in params}},
        }
    )


def start(side: Twin, backend, config: Config, kind: str):
    """Return an objective, and its teachers, with the weights that the README prescribes."""
    objective = backend.build(config, kind)
    frozen = {role: _filled(side, objective.network, prefix) for role, prefix in _PREFIXES.items()}
    if kind == "ddm_student":
        objective = backend.build(config, kind, frozen=frozen)
    objective.load_weights(_filled(side, objective.network, ""))
    return objective


_PREFIXES = {"region_teacher": "teacher_rl.", "sample_teacher": "teacher_sl."}


def region_batch(vector: Vector) -> dict:
    """Mix source into target as equation 1 says, with the stored rectangle."""
    arrays = vector.arrays
    mask = box_mask(*arrays["yt"].shape[1:], Box(*map(int, arrays["box_r1c1r2c2"])))
    image = np.stack([mix(mask[..., None], t, s) for t, s in zip(arrays["xt_bgr_u8"], arrays["xs_bgr_u8"])])
    label = np.stack([mix(mask, t, s) for t, s in zip(arrays["yt"], arrays["ys"])])
    return {"mixed_image": _rgb(image), "mixed_label": label.astype(np.int32)}


def sample_batch(vector: Vector) -> dict:
    """Source and target pairs, in their own sizes."""
    arrays = vector.arrays
    return {
        "source_image": _rgb(arrays["xs_bgr_u8"]),
        "source_label": arrays["ys"].astype(np.int32),
        "target_image": _rgb(arrays["xt_bgr_u8"]),
        "target_label": arrays["yt"].astype(np.int32),
    }


def student_batch(vector: Vector) -> dict:
    """Unlabelled image and labelled target pair."""
    arrays = vector.arrays
    return {
        "unlabelled_image": _rgb(arrays["xu_bgr_u8"]),
        "target_image": _rgb(arrays["xt_bgr_u8"]),
        "target_label": arrays["yt"].astype(np.int32),
    }


def _teachers(vector: Vector, side: Twin, objective, arrays: dict) -> Iterator[Check]:
    """Compare the fixed teachers' logits on the unlabelled image."""
    for role, name in (("region_teacher", "teacher_rl_main"), ("sample_teacher", "teacher_sl_main")):
        if name in vector.arrays:
            images = objective.normalise(objective.backend.tensor(arrays["unlabelled_image"]))
            logits = side.predict.main_logits(getattr(objective, role), images)
            yield Check(name, side.numpy(logits), vector.arrays[name], LOSS)


def _gradients(vector: Vector, gradients: dict[str, np.ndarray]) -> Iterator[Check]:
    for key, want in vector.stored("grad."):
        got = gradients[key][_slices(vector, key)]
        yield Check(f"grad.{key}", got, want, HEAD if key.startswith(HEADS) else BACKBONE)
    if "grad_norm" in vector.arrays:
        norm = np.sqrt(sum(np.square(value, dtype=np.float64).sum() for value in gradients.values()))
        yield Check("grad_norm", norm, vector.arrays["grad_norm"], BACKBONE)


def _weights(vector: Vector, prefix: str, after: dict, initial: dict) -> Iterator[Check]:
    """Compare weights, statistics, and the change of the weights, in which a wrong learning rate shows.

    A change cannot be nearer than float32 resolves the weight: half a unit in the last place is allowed beside 2e-2.
    """
    for key, want in vector.stored(prefix):
        part = _slices(vector, key)
        got, before = after[key][part], initial[key][part]
        running = key.endswith(("running_mean", "running_var"))
        yield Check(f"{prefix}{key}", got, want, STATISTIC if running else WEIGHT)
        if not running:
            change, rounding = want - before, float(np.spacing(np.abs(before).max())) / 2
            tol = BACKBONE * float(np.abs(change).max()) + rounding
            yield Check(f"{prefix}{key} change", got.astype(np.float64) - before, change, tol, "absolute")


def _slices(vector: Vector, key: str) -> tuple[slice, ...]:
    """Decode the stored text of the slices of a parameter: ``(slice(None, 8, None), slice(None, 16, None))``."""
    text = vector.params.get("slices", {}).get(key, "")
    parts = [match.split(",") for match in re.findall(r"slice\(([^)]*)\)", text)]
    return tuple(slice(*(None if one.strip() == "None" else int(one) for one in part)) for part in parts)


def _filled(side: Twin, network, prefix: str) -> dict[str, np.ndarray]:
    """Return the reference weights of a network under its own names; the network is changed."""
    side.fill(network, "torch", prefix)
    names = side.names(network)
    weights = side.weights.get_weights(network)
    return {own: value * DAMPED if names[own].endswith("bn3.weight") else value for own, value in weights.items()}


def _classes(vector: Vector) -> int:
    return next(a.shape[0] for name, a in vector.arrays.items() if re.search(r"\.layer[56]\..*\.bias$", name))


def _rgb(bgr: np.ndarray) -> np.ndarray:
    """Turn N x H x W x 3 BGR into N x 3 x H x W RGB."""
    return np.ascontiguousarray(bgr[..., ::-1].transpose(0, 3, 1, 2))


RUNNERS = {
    "step_rl": step_runner("ddm_region", region_batch),
    "step_sl": step_runner("ddm_sample", sample_batch),
    "step_student": step_runner("ddm_student", student_batch),
}
