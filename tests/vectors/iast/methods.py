"""The framework-free parts of IAST and its optimizers: selector, schedules, metrics, evaluation."""

from collections.abc import Iterator

import numpy as np

from common import metrics
from common.data.labels import CLASS_SETS
from common.pseudo import ias
from common.schedules import group_rate, learning_rate
from common.schema import OptimConfig
from tests.twins import Twin, twin
from tests.vectors import Check, Vector
from tests.vectors.iast.cases import cases_of, decoded, imagenet
from tests.vectors.iast.data import png_mode
from tests.vectors.iast.frameworks import parameter, strided_convolution

EXACT64, FROM_LOGITS, CONFIDENCE = 1e-12, 6e-4, 1e-5  # absolute
MISMATCH = 2e-3  # share of labels from another softmax
RATE, RATIO, WEIGHT = 1e-12, 1e-6, 2e-6
PROBABILITY, PREDICTED = 1e-5, 1e-3


def selector(vector: Vector, backend) -> Iterator[Check]:
    """Thresholds and labels from the stored confidences exactly, and from the logits by either softmax."""
    arrays, params = vector.arrays, vector.params
    yield from _stored(arrays, params)
    side, shape = twin(backend.name), arrays["logits"].shape[2:]
    both = {"NumPy": [], backend.name: []}
    for logits in arrays["logits"]:
        both["NumPy"].append(ias.label_and_confidence(logits))
        given = side.tensor(logits[None])
        images = side.tensor(np.zeros((1, 3, *shape), np.float32))
        scores = side.predict.predict(lambda _: given, images, tuple(shape), output="probabilities")  # noqa: B023
        pair = side.predict.label_map(scores), side.predict.confidence(scores)
        both[backend.name].append(tuple(side.numpy(one)[0] for one in pair))
    for name, pairs in both.items():
        label, confidence = (np.stack(parts) for parts in zip(*pairs))
        yield Check(f"{name} confidence", confidence, arrays["conf"], CONFIDENCE, "absolute")
        thresholds, labels = _select(label, confidence, arrays["order"], params)
        yield Check(f"{name} thresholds", thresholds, arrays["thresh_after"], FROM_LOGITS, "absolute")
        yield Check(f"{name} labels", (labels != arrays["labels"]).mean(), 0.0, MISMATCH, "absolute")


def _stored(arrays: dict, params: dict) -> Iterator[Check]:
    thresholds = ias.initial_thresholds(params["num_classes"], params["init"])
    order, size = arrays["order"], params["batch_size"]
    labels = np.zeros_like(arrays["labels"])
    for number, first in enumerate(range(0, len(order), size)):
        batch = order[first : first + size]
        label, confidence = arrays["pred"][batch], arrays["conf"][batch]
        yield Check(f"{number} before", thresholds, arrays["thresh_before"][number], EXACT64, "absolute")
        found = ias.update(label, confidence, thresholds, params["alpha"], params["beta"], params["gamma"])
        thresholds = found.thresholds
        yield Check(f"{number} local", found.local, arrays["thresh_local"][number], kind="exact")
        yield Check(f"{number} after", thresholds, arrays["thresh_after"][number], EXACT64, "absolute")
        yield Check(f"{number} pixels", found.counts, arrays["pixel_count"][number], kind="exact")
        labels[batch] = ias.select(label, confidence, thresholds)
    yield Check("labels", labels, arrays["labels"], kind="exact")
    if "png_mode" in arrays:
        read, mode = png_mode(labels[0])
        yield Check("file", read, arrays["labels"][0], kind="exact")
        yield Check("mode of the file", np.array(mode), arrays["png_mode"], kind="exact")


def _select(label: np.ndarray, confidence: np.ndarray, order: np.ndarray, params: dict):
    """Return the thresholds after each batch, and all labels."""
    thresholds, labels, trace = ias.initial_thresholds(params["num_classes"], params["init"]), np.zeros_like(label), []
    rule = (params["alpha"], params["beta"], params["gamma"])
    for first in range(0, len(order), params["batch_size"]):
        batch = order[first : first + params["batch_size"]]
        thresholds = ias.update(label[batch], confidence[batch], thresholds, *rule).thresholds
        labels[batch] = ias.select(label[batch], confidence[batch], thresholds)
        trace.append(thresholds)
    return np.array(trace), labels


def schedule(vector: Vector, backend) -> Iterator[Check]:
    """Cosine with restarts and a floor, and the polynomial option, for every group."""
    for name in [name for name in vector.arrays if not name.endswith("__params")]:
        want, params = vector.arrays[name], decoded(vector.arrays[f"{name}__params"])
        bases = params["base_lrs"]
        if name.startswith("cos"):
            options = {"schedule": "cosine_restarts", "horizon": params["T_max"], "restart_mult": params["T_mult"]}
            optim = OptimConfig(lr=max(bases), floor=params["eta_min"], **options)
        else:
            optim = OptimConfig(lr=max(bases), horizon=params["expect_iter"], power=params["power"])
        rates = [learning_rate(optim, step, optim.horizon) for step in range(len(want))]
        got = [[group_rate(optim, rate, base / optim.lr) for base in bases] for rate in rates]
        yield Check(name, np.array(got), want, RATE)


def optimizer(vector: Vector, backend) -> Iterator[Check]:
    """Adam with L2 decay, SGD, Ranger and the discriminator's Adam on stored gradients."""
    params = vector.params
    shared = {"lr": params["lr"], "weight_decay": params["weight_decay"]}
    shared |= {"backbone_lr_mult": params["lr_multipliers"]["backbone"]}
    shared |= {"head_lr_mult": params["lr_multipliers"]["decoder"]}
    ranger = params["ranger"]
    rules = {
        "Adam": {"name": "adam", "betas": params["adam_betas"], "eps": params["adam_eps"]},
        "SGD": {"name": "sgd", "momentum": params["sgd_momentum"]},
        "Ranger": {
            "name": "ranger",
            "betas": ranger["betas"],
            "eps": ranger["eps"],
            "lookahead_steps": ranger["k"],
            "lookahead_alpha": ranger["alpha"],
            "ranger_threshold": ranger["n_sma_threshold"],
        },
        "AdamD": {
            **{"name": "adam", "lr": params["disc_lr"], "weight_decay": params["disc_weight_decay"]},
            **{"betas": params["adam_betas"], "eps": params["adam_eps"], "backbone_lr_mult": 1.0, "head_lr_mult": 1.0},
        },
    }
    for name, rule in rules.items():
        names = [key.partition("__")[2] for key in vector.arrays if key.startswith(f"{name}__")]
        if names:
            yield from _trajectory(twin(backend.name), vector.arrays, name, names, OptimConfig(**{**shared, **rule}))


def _trajectory(side: Twin, arrays: dict, rule: str, names: list[str], config: OptimConfig) -> Iterator[Check]:
    """Follow the parameters of one optimizer through all steps."""
    trained = {name: parameter(side, name, arrays[f"init__{name}"]) for name in names}
    groups: dict[str, dict] = {"backbone": {}, "head": {}}
    for name, one in trained.items():
        groups["backbone" if name.startswith("backbone") else "head"][name] = one
    ordered = [name for group in groups.values() for name in group]
    made = side.module("optim").Optimizer(groups, config)
    trace: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for step in range(len(arrays[f"grads__{names[0]}"])):
        made.step([side.tensor(arrays[f"grads__{name}"][step]) for name in ordered], config.lr)
        for name, one in trained.items():
            trace[name].append(side.numpy(one))
    for name in names:
        yield Check(f"{rule} {name}", np.stack(trace[name]), arrays[f"{rule}__{name}"], WEIGHT, "absolute")


def metrics_runner(vector: Vector, backend) -> Iterator[Check]:
    """Intersections and unions exactly; IoU and the means over 19, 16 and 13 classes."""
    for case, arrays in cases_of(vector).items():
        classes = len(arrays["iou"])
        matrix = metrics.confusion(arrays["label"], arrays["pred"], classes)
        yield from _scores(case, matrix, arrays)
        if "hist" in arrays:
            yield Check(f"{case} matrix", matrix, arrays["hist"], kind="exact")
            yield Check(f"{case} accuracy", np.trace(matrix) / matrix.sum(), arrays["acc"], RATIO)
            yield Check(f"{case} eps 1e-5", metrics.iou(matrix, eps=1e-5), arrays["iou_eps"], RATIO)
            weighted = metrics.frequency_weighted_iou(matrix, eps=1e-5)
            yield Check(f"{case} frequency weighted", weighted, arrays["freq_weighted_iou"], RATIO)


def _scores(case: str, matrix: np.ndarray, arrays: dict) -> Iterator[Check]:
    right, union = metrics.intersection_union(matrix)
    yield Check(f"{case} intersection", right, arrays["inter"], kind="exact")
    yield Check(f"{case} union", union, arrays["union"], kind="exact")
    yield Check(f"{case} IoU", metrics.iou(matrix, eps=metrics.IAST_EPS), arrays["iou"], RATIO)
    known = CLASS_SETS.get(f"cityscapes{len(matrix)}")
    means = metrics.shares(matrix, known, eps=metrics.IAST_EPS)
    for name, key in (("all", "miou"), ("mIoU16", "miou16"), ("mIoU13", "miou13")):
        if key in arrays and name in means:
            yield Check(f"{case} {key}", means[name], arrays[key], RATIO)


def evaluation(vector: Vector, backend) -> Iterator[Check]:
    """Sums of probabilities over scales and mirror images, and the protocol of validation while training."""
    side, arrays = twin(backend.name), vector.arrays
    network = strided_convolution(side, arrays["weight"], arrays["bias"])
    images, mean = arrays["images"], imagenet()
    inputs = (images.astype(np.float32) * np.float32(mean.scale) - np.float32(mean.mean)) / np.float32(mean.std)
    inputs = side.tensor(np.ascontiguousarray(inputs.transpose(0, 3, 1, 2)))
    size = tuple(arrays["labels"].shape[1:])
    scales = [tuple(int(one) for one in wh) for wh in arrays["scales_wh"]]
    for case, flip in (("ms", False), ("flip", True)):
        passes = len(scales) * (1 + flip)
        scores = side.predict.predict(network, inputs, size, scales, flip, output="probabilities")
        total, want = side.numpy(scores) * passes, arrays[f"{case}__prob_sum_sub"]
        rows, columns = (round(have / kept) for have, kept in zip(size, want.shape[2:]))
        yield Check(f"{case} probabilities", total[:, :, ::rows, ::columns], want, PROBABILITY, "absolute")
        found = side.numpy(side.predict.label_map(scores))
        yield Check(f"{case} labels", (found != arrays[f"{case}__pred"]).mean(), 0.0, PREDICTED, "absolute")
        if np.array_equal(found, arrays[f"{case}__pred"]):
            matrix = metrics.confusion(arrays["labels"], found, len(arrays["bias"]))
            yield from _scores(case, matrix, {k.partition("__")[2]: v for k, v in arrays.items() if k.startswith(case)})
    scales = [tuple(int(one) for one in arrays["val__size_wh"])]
    scores = side.predict.predict(network, inputs, size, scales, output="input_logits")
    want = arrays["val__logits_sub"]
    rows, columns = (round(have / kept) for have, kept in zip(size, want.shape[2:]))
    yield Check("val logits", side.numpy(scores)[:, :, ::rows, ::columns], want, PROBABILITY, "absolute")
    found = side.numpy(side.predict.label_map(scores))
    yield Check("val labels", (found != arrays["val__pred"]).mean(), 0.0, PREDICTED, "absolute")


RUNNERS = {
    "ias_": selector,
    "schedule": schedule,
    "optimizer": optimizer,
    "metrics": metrics_runner,
    "evaluate": evaluation,
}
