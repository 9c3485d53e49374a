"""What a run is going to do: the plan of its stages, and a rehearsal that saves nothing."""

import itertools
import time
from typing import Any

import numpy as np
from rich.console import Console

from common import accumulate
from common.data.check import check
from common.data.labels import class_set
from common.data.transforms import stack_images
from common.engine import Engine
from common.evaluate import true_label
from common.keeper import weights_of
from common.log import format_seconds
from common.report.tables import Table
from common.run_folder import free_gib
from common.schedules import learning_rate
from common.stage import Stage, reference


def plan_table(stages: list[Stage]) -> Table:
    """Return one line a stage: what it trains, for how long, and what it needs from others."""
    table = Table("Stages", ["stage", "trains", "steps", "starts from", "holds fixed", "reads"], texts=6)
    for stage in stages:
        frozen = ", ".join(f"{role}: {name}" for role, name in stage.frozen.items())
        start = (stage.start or "initial weights") if stage.objective else "-"
        cells = (stage.objective or "-", str(stage.steps or "-"), start)
        table.add(stage.name, *cells, frozen or "-", ", ".join(stage.reads) or "-")
    return table


def rehearse(engine: Engine, console: Console) -> None:
    """Check data and weights, do one step of every kind of stage and one prediction, say how long the run will take.

    Networks that a stage holds fixed are stood in for by untrained ones. Stages that read files which other stages
    will write cannot be tried; they are named.

    Args:
        engine: A run that was not begun; nothing is written to its folder.
        console: Where to tell.
    Raises:
        UserError: If a dataset or a weights file is not as it should be.
    """
    for role, dataset in engine.data.named().items():
        console.print(f"{role}: {check(dataset, engine.data.must_have_labels(role)).line()}", soft_wrap=True)
    trained = [stage for stage in engine.stages.values() if stage.steps and stage.objective]
    seconds: dict[str, float] = {}
    for stage in trained:
        if stage.objective not in seconds and not stage.reads:
            seconds[stage.objective] = _one_step(engine, stage, console)
    total = sum(stage.steps * seconds.get(stage.objective, 0.0) for stage in trained)
    untried = [stage.name for stage in trained if stage.objective not in seconds]
    if untried:
        console.print(f"not tried, for they read what other stages will write: {', '.join(untried)}", soft_wrap=True)
    of = " of the stages that were tried" if untried else ""
    free = free_gib(engine.folder.path)
    console.print(f"about {format_seconds(total)} of training{of}; {free:.1f} GiB free on the disk")
    console.print("dry run: everything is in order, nothing was saved")


def _one_step(engine: Engine, stage: Stage, console: Console) -> float:
    """Do two steps of a stage, tell the losses of the first, return the seconds of the second (the first compiles)."""
    backend, config = engine.backend, stage.configured(engine.config)
    frozen = {role: _untrained(engine, text) for role, text in stage.frozen.items()}
    objective = backend.build(config, stage.objective, frozen=frozen)
    batch = accumulate.micro_batches(stage, stage.rehearsed(engine.context(stage)))
    source = accumulate.steps(map(batch, itertools.count()), config.train.accumulate)
    rate = learning_rate(config.optim, 0, stage.steps)
    losses = {name: float(backend.numpy(value)) for name, value in objective.step(next(source), rate).items()}
    started = time.perf_counter()
    losses_then = objective.step(next(source), rate)
    backend.numpy(losses_then["loss"])  # waits for the device
    seconds = time.perf_counter() - started
    shown = "  ".join(f"{name} {value:.3f}" for name, value in losses.items() if "/" not in name)
    console.print(f"{stage.name}: {shown}  {seconds:.2f} s  {backend.memory_gib():.1f} GiB", soft_wrap=True)
    if stage.score:
        _one_prediction(engine, objective, config)
    return seconds


def _untrained(engine: Engine, text: str) -> dict[str, np.ndarray]:
    """Return weights that stand in for those of a stage that was not run."""
    name, _, part = reference(text)
    stage = engine.stages[name]
    state = engine.backend.build(stage.configured(engine.config), stage.objective).state()
    return state[part] if part else weights_of(state)


def _one_prediction(engine: Engine, objective: Any, config: Any) -> None:
    """Predict the first validation image, at the size of its label where that is a map."""
    image, label = engine.data.val.image(0), true_label(engine.data.val, 0)
    predictor = engine.backend.predictor(objective, config.evaluate)
    labels = predictor.labels(stack_images([image]), label.shape)
    assert labels.shape[: 1 + label.ndim] == (1, *label.shape) and labels.max() < len(class_set(config.classes))
