"""What of S3D holds no tensor: schedules, the ramp, pseudo-labels, pairs, when to score and when to stop."""

import json
from collections.abc import Iterator

import numpy as np

from common.methods.s3d_rules import distillation_weight, pair_batches, ramp, ramp_start
from common.patience import Patience, due
from common.pseudo.margin import margin_labels, margins, mean_margin
from common.schedules import learning_rate
from common.schema import OptimConfig
from tests.vectors import Check, Vector
from tests.vectors.s3d.cases import cases

EXACT = 1e-12
INVERSE = {"schedule": "inverse", "power": 0.75}


def kd_weight(vector: Vector, backend: object) -> Iterator[Check]:
    """The ramp, its start, and the weight of a step."""
    arrays = vector.arrays
    for row, sharpness in enumerate(arrays["kd_lambda"]):
        starts = [ramp_start(float(accuracy), float(sharpness)) for accuracy in arrays["stage1_acc"]]
        weights = [
            [distillation_weight(start, int(step), float(sharpness)) for step in arrays["steps_since_start"]]
            for start in starts
        ]
        factors = [ramp(float(x), float(sharpness)) for x in arrays["x"]]
        yield Check(f"{row} start", np.array(starts), arrays["first_lambda_step"][row], kind="exact")
        yield Check(f"{row} weights", np.array(weights), arrays["lamb"][row], EXACT)
        yield Check(f"{row} factors", np.array(factors), arrays["factor"][row], EXACT)


def stage2_control(vector: Vector, backend: object) -> Iterator[Check]:
    """Steps of the second stage: refreshes, weight, rates, scoring."""
    for case, arrays in cases(vector):
        start, count = int(arrays["start_step"]), int(arrays["iterations"])
        every, sharpness = int(arrays["pseudo_interval"]), float(arrays["kd_lambda"])
        optim = OptimConfig(**INVERSE, lr=1e-3, head_lr_mult=10.0)
        first = ramp_start(float(arrays["stage1_test_acc"]), sharpness)
        rates = np.array([learning_rate(optim, start + step, count) for step in range(count)])
        refreshed = [start + step for step in range(count) if step == 0 or due(start + step, every)]
        scored = [start + step for step in range(count) if due(start + step + 1, int(arrays["save_interval"]), 1)]
        weights = [distillation_weight(first, step, sharpness) for step in range(count)]
        yield Check(f"{case} steps", start + np.arange(count), arrays["steps"], kind="exact")
        yield Check(f"{case} refresh", np.array(refreshed), arrays["refresh_steps"], kind="exact")
        yield Check(f"{case} eval", np.array(scored), arrays["eval_steps"], kind="exact")
        yield Check(f"{case} weight", np.array(weights), arrays["lamb"], EXACT)
        yield Check(f"{case} lr backbone", rates * optim.backbone_lr_mult, arrays["lr_backbone"], EXACT)
        yield Check(f"{case} lr head", rates * optim.head_lr_mult, arrays["lr_head"], EXACT)


def lr_schedule(vector: Vector, backend: object) -> Iterator[Check]:
    """The inverse schedule with the factors of the groups."""
    arrays, options = vector.arrays, json.loads(str(vector.arrays["kwargs"]))
    names = {"init_lr": "lr", "gamma": "gamma", "power": "power"}
    optim = OptimConfig(**{**INVERSE, **{names[key]: value for key, value in options.items() if key in names}})
    rates = np.array([learning_rate(optim, int(step), 1) for step in arrays["steps"]])
    yield Check("lr", rates[:, None] * arrays["multipliers"], arrays["lr"], EXACT)


def pseudo_label(vector: Vector, backend: object) -> Iterator[Check]:
    """Mean margin of the first logits; labels and margins of the present ones."""
    for case, arrays in cases(vector):
        threshold, now = mean_margin(arrays["logits_stage1"]), arrays["logits_now"]
        yield Check(f"{case} threshold", threshold, arrays["mean_margin_threshold"], 1e-5)
        labels = margin_labels(now, float(threshold), float(arrays["alpha"]))
        yield Check(f"{case} labels", labels, arrays["pseudo_label"], kind="exact")
        yield Check(f"{case} margins", margins(now), arrays["margins_now"], 1e-6)
        yield Check(f"{case} largest", margins(now).max(), arrays["largest_margin_now"], 1e-6)
        yield Check(f"{case} mean", mean_margin(now), arrays["mean_margin_now"], 1e-5)
        lines = json.loads(str(arrays["first_file_lines"]))
        got = [f"{line.split()[0]} {label}" for line, label in zip(lines, labels)]
        yield Check(f"{case} lines", np.array(got), np.array(lines), kind="exact")


def pair_sampler(vector: Vector, backend: object) -> Iterator[Check]:
    """Batches of pairs from the stored orders and draws."""
    for case, arrays in cases(vector):
        source, target = arrays["labels_source"], arrays["labels_target"]
        groups, first = (1, 0) if arrays["uda"] else (2, len(source))
        size, batches = int(arrays["batch_size"]), int(arrays["iterations"])
        positions, lengths = iter(arrays["choice_pos"].tolist()), []

        def choose(count):
            lengths.append(count)  # noqa: B023
            return next(positions)  # noqa: B023

        chosen, partners = pair_batches(
            [source, target][:groups],
            arrays["pseudo_unlabeled"],
            [arrays["order_source"], arrays["order_target"] - first][:groups],
            [size // (2 * groups)] * groups,
            batches,
            choose,
        )
        offsets = [0, len(source)]
        whole = [group + offset for group, offset in zip(chosen, offsets)]
        whole.append(partners + len(source) + len(target))
        yield Check(f"{case} batches", np.concatenate(whole, axis=1), arrays["batches"], kind="exact")
        yield Check(f"{case} candidates", np.array(lengths), arrays["choice_len"], kind="exact")
        yield Check(f"{case} length", np.array(len(source) // (size // (2 * groups))), arrays["len_none"], kind="exact")


def early_stopping(vector: Vector, backend: object) -> Iterator[Check]:
    """The official loop's scores, one after the other, through the rule that stops a stage."""
    for case, arrays in cases(vector):
        rule = Patience(int(arrays["patience"]) if arrays["early"] else None)
        steps, every = int(arrays["steps"]), int(arrays["save_interval"])
        scored = [step for step in range(1, steps + 1) if due(step, every, 1)]
        best, done, stopped = [], 0, -1
        for step, val, test in zip(scored, arrays["val_acc"], arrays["test_acc"]):
            done += 1
            if rule.see(float(val), float(test)):
                stopped = step
                break
            best.append(rule.beside)
        yield Check(f"{case} evaluations", np.array(done), arrays["n_evaluations"], kind="exact")
        yield Check(f"{case} best test", np.array(best), arrays["best_test_after_each_eval"], kind="exact")
        yield Check(f"{case} saved", np.array(stopped > 0), arrays["checkpoint_saved"], kind="exact")
        yield Check(f"{case} step", np.array(stopped), arrays["checkpoint_step"], kind="exact")


RUNNERS = {
    "kd_weight": kd_weight,
    "stage2_control": stage2_control,
    "lr_schedule": lr_schedule,
    "pseudo_label": pseudo_label,
    "pair_sampler": pair_sampler,
    "early_stopping": early_stopping,
}
