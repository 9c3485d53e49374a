"""The framework-free parts of DDM: colour transfer, mixing, pseudo-labels, metrics, schedule."""

from collections.abc import Iterator

import numpy as np

from common import metrics
from common.data.colour import lab_statistics, lab_to_rgb, match, rgb_to_lab, transfer
from common.data.labels import CLASS_SETS
from common.data.mixing import box_mask, cutmix_box, fixed_area_box, mix
from common.data.transforms import resize_image
from common.pseudo import bdl, cbst
from common.pseudo.produce import label_and_confidence
from common.schedules import learning_rate
from common.schema import OptimConfig
from tests.twins import twin
from tests.vectors import Check, Vector

MEANS = ("mIoU19", "mIoU16", "mIoU13")  # the official order; 0 for a mean that the class set does not have


def lab_transfer(vector: Vector, backend) -> Iterator[Check]:
    """LAB statistics, transfer and result, before and after resizing."""
    arrays = vector.arrays
    for case in vector.cases:
        source, lab = arrays[f"src_{case}"], rgb_to_lab(arrays[f"src_{case}"])
        style = lab_statistics(arrays[f"tgt_{case}"])
        own, moved = lab_statistics(source), match(lab, style)
        result = transfer(source, style)
        yield Check(f"{case} lab", lab, arrays[f"lab_src_{case}"], 1e-9, "absolute")
        yield Check(f"{case} source", np.stack([own.mean, own.std]), arrays[f"lab_src_stats_{case}"], 1e-9, "absolute")
        yield Check(
            f"{case} target", np.stack([style.mean, style.std]), arrays[f"lab_tgt_stats_{case}"], 1e-9, "absolute"
        )
        yield Check(f"{case} moved", moved, arrays[f"lab_out_{case}"], 1e-9, "absolute")
        yield Check(f"{case} rgb", lab_to_rgb(moved), arrays[f"rgb_float_{case}"], 1e-9, "absolute")
        yield Check(f"{case} result", result, arrays[f"out_{case}"], kind="exact")
        if f"out_resized_{case}" in arrays:
            size = _options(vector, case).get("resized_wh") or arrays[f"out_resized_{case}"].shape[1::-1]
            yield Check(f"{case} resized", resize_image(result, size), arrays[f"out_resized_{case}"], kind="exact")


def cutmix(vector: Vector, backend) -> Iterator[Check]:
    """Rectangles of both samplers from stored draws, masks, and mixing."""
    arrays = vector.arrays
    height, width = vector.params.get("hw") or arrays["mask_M"].shape[1:]
    draws = zip(arrays["lam"], arrays["centre_yx"])
    boxes = [cutmix_box(height, width, float(lam), int(row), int(column)) for lam, (row, column) in draws]
    masks = np.stack([box_mask(height, width, box) for box in boxes])
    images = [mix(*one) for one in zip(masks, arrays["xt"], arrays["xs"])]
    labels = [mix(*one) for one in zip(masks, arrays["yt"], arrays["ys"])]
    yield Check("boxes", np.array(boxes), arrays["box_r1c1r2c2"], kind="exact")
    yield Check("masks", masks, arrays["mask_M"], kind="exact")
    yield Check("mixed images", np.stack(images), arrays["x_rl"], kind="exact")
    yield Check("mixed labels", np.stack(labels), arrays["y_rl"], kind="exact")
    names = [name.removesuffix("_u_aspect") for name in arrays if name.endswith("_u_aspect")]
    for name, area in zip(names, vector.params["fr_props"] if names else ()):
        draws = zip(arrays[f"{name}_u_aspect"], arrays[f"{name}_u_pos_yx"])
        boxes = [fixed_area_box(height, width, area, aspect, *place) for aspect, place in draws]
        inside = 1 - np.stack([box_mask(height, width, box) for box in boxes])
        yield Check(f"fixed area {area}", inside, arrays[f"{name}_box_mask"], kind="exact")


def pl_bdl(vector: Vector, backend) -> Iterator[Check]:
    """Labels and confidences from logits by the backend; thresholds and labels from the stored confidences."""
    side, arrays = twin(backend.name), vector.arrays
    for case in vector.cases:
        options, label, confidence = _options(vector, case), arrays[f"label_{case}"], arrays[f"prob_{case}"]
        if f"logits_{case}" in arrays:
            got = _from_logits(side, arrays[f"logits_{case}"], label.shape[1:])
            yield Check(f"{case} labels", np.stack([one[0] for one in got]), label, kind="exact")
            yield Check(f"{case} confidences", np.stack([one[1] for one in got]), confidence, 1e-5, "absolute")
        images = list(zip(label, confidence))
        found = bdl.thresholds(lambda i=images: i, len(arrays[f"thres_{case}"]), options.get("portion", 0.5))
        limits = bdl.capped(found.values, options.get("cap", 0.9))
        yield Check(f"{case} raw thresholds", found.values, arrays[f"thres_raw_{case}"], kind="exact")
        yield Check(f"{case} thresholds", limits, arrays[f"thres_{case}"], kind="exact")
        yield Check(
            f"{case} pseudo-labels", bdl.select(label, confidence, limits), arrays[f"pseudo_{case}"], kind="exact"
        )


def _from_logits(side, logits: np.ndarray, size: tuple[int, int]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return label and confidence of each image at ``size``, the network being replaced by its stored logits."""
    images = side.tensor(np.zeros((len(logits), 3, *size), np.float32))
    stored = side.tensor(logits)
    scores = side.predict.predict(lambda _: stored, images, tuple(size), output="coarse_probabilities")
    return [label_and_confidence(f"image {i}", one) for i, one in enumerate(side.numpy(scores))]


def pl_cbst(vector: Vector, backend) -> Iterator[Check]:
    """Thresholds and labels of both forms from stored probabilities."""
    arrays = vector.arrays
    for case in vector.cases:
        options, probabilities = _options(vector, case), arrays[f"prob_{case}"].transpose(0, 3, 1, 2)
        images = [label_and_confidence(f"image {i}", one) for i, one in enumerate(probabilities)]
        sample = [cbst.subsample(*one, options.get("ds_rate", 4)) for one in images]
        for form, suffix in (("crst", ""), ("mxnet", "_mx")):
            if f"thresh{suffix}_{case}" not in arrays:
                continue
            values = cbst.thresholds(lambda s=sample: s, probabilities.shape[1], options["portion"], form).values
            labels = np.stack([cbst.select(one, values) for one in probabilities])
            yield Check(f"{case} {form} thresholds", values, arrays[f"thresh{suffix}_{case}"], kind="exact")
            yield Check(f"{case} {form} labels", labels, arrays[f"pseudo{suffix}_{case}"], kind="exact")


def metrics_runner(vector: Vector, backend) -> Iterator[Check]:
    """Confusion matrix, IoU and means of stored labels and predictions."""
    arrays = vector.arrays
    for case in vector.cases:
        classes = _options(vector, case).get("num_classes") or len(arrays[f"iou_{case}"])
        matrix = metrics.confusion(arrays[f"label_{case}"], arrays[f"pred_{case}"], classes)
        yield Check(f"{case} confusion", matrix, arrays[f"hist_{case}"], kind="exact")
        yield Check(f"{case} IoU", metrics.iou(matrix), arrays[f"iou_{case}"], kind="exact")
        yield Check(f"{case} means", official_means(matrix), arrays[f"miou_{case}"], kind="exact")


def official_means(matrix: np.ndarray) -> np.ndarray:
    """Return [mIoU19, mIoU16, mIoU13] in percent as the official evaluation returns them."""
    means = metrics.score(matrix, CLASS_SETS[f"cityscapes{len(matrix)}"]).means
    return np.array([means.get(name, 0.0) for name in MEANS])


def lr_schedule(vector: Vector, backend) -> Iterator[Check]:
    """Poly schedule of backbone and heads at stored iterations."""
    arrays = vector.arrays
    for case in vector.cases:
        options = _options(vector, case)
        optim = OptimConfig(lr=options["base_lr"], power=options["power"], horizon=options["max_iters"])
        base = [learning_rate(optim, int(step), optim.horizon) for step in arrays[f"iters_{case}"]]
        got = np.outer(base, (1.0, optim.head_lr_mult))
        yield Check(f"{case}", got, arrays[f"lr_{case}"], 1e-12)


def _options(vector: Vector, case: str) -> dict:
    """Return the parameters of a case: its own before those of the whole file."""
    cases = vector.params.get("cases", [])
    return {**vector.params, **(cases[int(case)] if int(case) < len(cases) else {})}


RUNNERS = {
    "lab_transfer": lab_transfer,
    "cutmix": cutmix,
    "pl_bdl": pl_bdl,
    "pl_cbst": pl_cbst,
    "metrics": metrics_runner,
    "lr_schedule": lr_schedule,
}
