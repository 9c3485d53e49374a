"""Vectors of DiGA's training mechanics and scores: teacher, schedules, repeated updates, metrics, two-scale fusion."""

import re
from collections.abc import Iterator
from importlib import import_module

import numpy as np

from common.metrics import confusion, iou, overall
from common.networks.residual_layers import Block
from common.schedules import learning_rate, teacher_momentum
from common.schema import OptimConfig
from tests.twins import Twin, twin
from tests.vectors import Check, Vector
from tests.vectors.diga.cases import cases

EXACT, TEACHER, FUSED = 1e-12, 1e-6, 1e-5
UDA = {"lr": 2.5e-4, "power": 0.9, "horizon": 80_000}
SCHEDULES = {  # section of the official code -> options
    "uda_dg": OptimConfig(**UDA),
    "synthia_warmup": OptimConfig(lr=2.5e-4, schedule="ramp", horizon=60_000),
    "translator": OptimConfig(lr=1e-4, power=0.9, horizon=50_000),
    "semi": OptimConfig(lr=1e-3, power=1.0, horizon=80_000),
}


def ema(vector: Vector, backend) -> Iterator[Check]:
    """The teacher's momentum, a trajectory of its parameters, its statistics, and an update late in training."""
    side, arrays = twin(backend.name), vector.arrays
    alpha = np.array([teacher_momentum(int(step)) for step in arrays["steps"]])
    yield Check("alpha", alpha, arrays["alpha"], EXACT)
    still = arrays["teacher_buffer_after_each_update"]
    teacher, students = Tiny(side, arrays["teacher_init"], still[0]), arrays["student_per_iter"]
    teacher.follow(students[0], 0.0)  # created as a copy
    got, statistics = [teacher.value()], []
    for step, value in enumerate(students):
        teacher.follow(value, teacher_momentum(step))
        got.append(teacher.value())
        statistics.append(teacher.statistic())
    yield Check("trajectory", np.stack(got), arrays["teacher_after_create_and_each_update"], TEACHER)
    yield Check("statistics stay", np.stack(statistics), still, kind="exact")
    late = Tiny(side, arrays["alpha_sat_teacher_in"], still[0])
    late.follow(arrays["alpha_sat_student"], teacher_momentum(4000))
    yield Check("late update", late.value(), arrays["alpha_sat_out"], TEACHER)


class Tiny:
    """A convolution and a BatchNorm that hold a stored parameter and a stored statistic."""

    def __init__(self, side: Twin, value: np.ndarray, statistic: np.ndarray) -> None:
        self._side, self._shape = side, value.shape
        self._network = self._holding(value, statistic)

    def follow(self, value: np.ndarray, momentum: float) -> None:
        """Move towards a network that holds another value."""
        student = self._holding(value, np.zeros_like(value))
        self._side.module("averaging").follow_parameters(self._network, student, momentum)

    def value(self) -> np.ndarray:
        """Return the parameter."""
        return self._canonical()["0.weight"].reshape(self._shape)

    def statistic(self) -> np.ndarray:
        """Return the running mean."""
        return self._canonical()["1.running_mean"].reshape(self._shape)

    def _canonical(self) -> dict[str, np.ndarray]:
        return self._side.canonical(self._side.weights.get_weights(self._network), self._network)

    def _holding(self, value: np.ndarray, statistic: np.ndarray):
        network = self._side.module("nets.resnet").shortcut(Block(1, 1, 1, 1, True), value.size)
        kinds = self._side.weights.layer_kinds(network)
        given = {"0.weight": value.reshape(-1, 1, 1, 1), "1.running_mean": statistic.ravel()}
        weights = {self._side.own_name(name, kinds): array for name, array in given.items()}
        self._side.weights.set_weights(network, {**self._side.weights.get_weights(network), **weights})
        return network


def lr_schedules(vector: Vector, backend) -> Iterator[Check]:
    """Learning rates of every group at stored steps; the second group trains ten times as fast."""
    for name, want in vector.arrays.items():
        if not name.endswith("_lr"):
            continue
        stem = name.removesuffix("_lr")
        optim = next((options for key, options in SCHEDULES.items() if stem.startswith(key)), SCHEDULES["uda_dg"])
        base = [learning_rate(optim, int(step), optim.horizon) for step in vector.arrays[f"{stem}_steps"]]
        factors = (1.0, optim.head_lr_mult)[: want.shape[1]]
        yield Check(name, np.outer(base, factors), want, EXACT)


def sgd_multiplicity(vector: Vector, backend) -> Iterator[Check]:
    """SGD with momentum whose parameters are updated once, twice, three and four times a step."""
    side = twin(backend.name)
    for case, arrays, _ in cases(vector):
        names = [f"p{index}" for index in range(len(arrays["param_init"]))]
        options = {"repeats": dict(zip(names, map(int, arrays["multiplicity"])))}
        config = OptimConfig(
            momentum=float(arrays["momentum"]), weight_decay=float(arrays["weight_decay"]), **options
        )
        parameters = [parameter(side, value, name) for name, value in zip(names, arrays["param_init"])]
        optimizer = side.module("optim").Optimizer({"backbone": dict(zip(names, parameters)), "head": {}}, config)
        moment = "momentum_buffer" if side.name == "torch" else "accum"
        for step, lr in enumerate(arrays["lr"]):
            optimizer.step([side.tensor(one) for one in arrays["grads"][step]], float(lr))
            state = optimizer.state()
            got = np.stack([side.numpy(one) for one in parameters])
            buffers = np.stack([state[f"{moment}.{name}"] for name in names])
            yield Check(f"{case} parameters {step}", got, arrays["params_after_step"][step], TEACHER)
            yield Check(f"{case} momentum {step}", buffers, arrays["momentum_after_step"][step], TEACHER)


def metrics(vector: Vector, backend) -> Iterator[Check]:
    """Confusion matrix of all batches, IoU, and the four overall scores."""
    arrays, classes = vector.arrays, len(vector.arrays["iou"])
    batches = sorted(name.removesuffix("_gt") for name in arrays if re.fullmatch(r"b\d+_gt", name))
    matrix = sum(confusion(arrays[f"{b}_gt"], arrays[f"{b}_pred"], classes) for b in batches)
    yield Check("confusion", matrix, arrays["confusion"], EXACT)
    yield Check("iou", iou(matrix), arrays["iou"], EXACT)
    yield Check("scores", np.array(overall(matrix)), arrays["scores"], EXACT)


def two_scale_fusion(vector: Vector, backend) -> Iterator[Check]:
    """The element-wise maximum of two scales' logits, and its labels."""
    side = twin(backend.name)
    for case, arrays, _ in cases(vector):
        stored = iter([side.tensor(arrays["full_logits"]), side.tensor(arrays["half_logits"])])
        size = tuple(map(int, arrays["size"]))
        images = side.tensor(np.zeros((len(arrays["full_logits"]), 3, *size), np.float32))
        scores = side.predict.predict(lambda _: next(stored), images, size, scales=(1.0, 0.5), fuse="max")  # noqa: B023
        label = side.numpy(side.predict.label_map(scores))
        fused, want = side.numpy(scores), arrays["fused_sub"]
        yield Check(f"{case} fused", fused[:, :, ::3, ::3], want, FUSED)
        yield Check(f"{case} label", label.reshape(arrays["label"].shape), arrays["label"], kind="exact")


def parameter(side: Twin, value: np.ndarray, name: str):
    """Return a trainable parameter of the twin's framework."""
    if side.name == "torch":
        return import_module("torch").nn.Parameter(side.tensor(value))
    return import_module("mindspore").Parameter(side.tensor(value), name=name)


RUNNERS = {
    "ema": ema,
    "lr_schedules": lr_schedules,
    "sgd_multiplicity": sgd_multiplicity,
    "metrics": metrics,
    "two_scale_fusion": two_scale_fusion,
}
