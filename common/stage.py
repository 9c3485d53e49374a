"""What a stage is: a plain description of one training run or one pass over data.

Methods are lists of stages (``common/methods``); the engine runs them in order.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Batch = dict[str, np.ndarray]


@dataclass(frozen=True)
class StageContext:
    """What a stage may use when it builds its batches or makes its files.

    Attributes:
        config: The resolved configuration (``common.config.Config``).
        data: The open datasets by role ("source", "target", "val"); see ``common.data.roles``.
        stage: Name of the stage; part of every position of a draw.
        folder: The stage's own folder.
        folders: Folders of the finished stages by name: pseudo-labels, thresholds, weights.
        memory: What the stage found with its own network when it was last refreshed; empty for most.
        rank: This process among ``world`` processes.
        world: Number of processes.
    """

    config: Any
    data: Any
    stage: str
    folder: Path
    folders: dict[str, Path]
    memory: dict[str, np.ndarray] = field(default_factory=dict)
    rank: int = 0
    world: int = 1

    def positions(self, step: int, batch_size: int) -> range:
        """Positions in the endless sample sequence that this rank sees in ``step``.

        W ranks see together what one rank with W times the batch sees.
        """
        first = (step * self.world + self.rank) * batch_size
        return range(first, first + batch_size)


@dataclass(frozen=True)
class Refresh:
    """What a stage finds again and again with its own network, and its next batches depend on: pseudo-labels.

    It becomes the memory of the objective, and so a part of every checkpoint.

    Attributes:
        every: Steps between two refreshes; the first is before the first step.
        find: Given the context, a predictor of the network, the backend, the memory so far, and the steps done in this
            stage, returns the new memory.
        stand_in: Given the context, returns a memory for a look at batches without a network.
    """

    every: int
    find: Callable[[StageContext, Any, Any, dict[str, np.ndarray], int], dict[str, np.ndarray]]
    stand_in: Callable[[StageContext], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Stage:
    """One stage of a method.

    Attributes:
        name: Unique in the run, for example ``"round1/region"``; also its folder below ``stages/``.
        title: What a reader sees in the log and the table.
        objective: Key of the objective in the twins' ``methods`` tables; None for a pass that trains nothing.
        steps: Number of optimizer steps; 0 hands the first weights on as they are.
        batches: Given the context, returns the pure function from a step to its batch.
        start: Stage whose model weights initialise this one; None takes the initial weights. ``"NAME@WHICH"`` means
            other weights than those handed on: ``"warmup@best"``, or ``"round1/train@400"``, a snapshot; see
            ``Reference``.
        frozen: Networks held fixed in this stage: role -> the stage that trained them, written as for ``start``.
        produce: Given the context and a predictor, writes files into ``context.folder``; runs after training,
            or alone when there is no objective.
        reads: Names of further stages whose files this stage reads.
        settings: What else the objective and the pass depend on; part of the digest of inputs.
        files: Files beside the data that the objective reads, such as weights: what counts is their content.
        seed: What its draws add to the configuration's seed, where they do: draws are told apart by the stage's name
            already. Part of the digest of inputs.
        score: Whether the trained network is a row of the result table.
        scored_on: Role of the images that its weights are chosen on; "source_val" for a network of the source domain.
        tested: Whether the test images, where there are any, score it too; not what settings are chosen by.
        changes: What this stage has otherwise than the run: section of the configuration -> key -> value, or the whole
            section, such as another network.
        judge: Given the context and the objective, returns losses that choose the best weights before the score does:
            the smaller the better, the first the most important.
        picture: Given the context and the objective, returns a picture (H, W, 3) uint8 RGB of what they have learnt,
            whenever they are scored or judged.
        snapshots: Steps after which the weights are kept for good, for later stages to refer to.
        carry: Whether the optimizer and the count of steps go on as well where ``start`` stopped.
        refresh: What is found again and again while the stage trains.
    """

    name: str
    title: str
    objective: str | None = None
    steps: int = 0
    batches: Callable[[StageContext], Callable[[int], Batch]] | None = None
    start: str | None = None
    frozen: dict[str, str] = field(default_factory=dict)
    produce: Callable[..., dict] | None = None
    reads: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    seed: int = 0
    score: bool = True
    scored_on: str = "val"
    tested: bool = True
    changes: dict[str, Any] = field(default_factory=dict)
    judge: Callable[[StageContext, Any], dict[str, float]] | None = None
    picture: Callable[[StageContext, Any], np.ndarray] | None = None
    snapshots: tuple[int, ...] = ()
    carry: bool = False
    refresh: Refresh | None = None

    def configured(self, config: Any) -> Any:
        """Return the configuration of this stage: the run's with ``changes``.

        Raises:
            ValidationError: If a change is not one that the section allows.
        """
        changed = {}
        for name, change in self.changes.items():
            section = getattr(config, name)
            if isinstance(change, dict):
                change = type(section).model_validate({**section.model_dump(), **change})
            changed[name] = change
        return config.model_copy(update=changed) if changed else config

    def rehearsed(self, context: StageContext) -> StageContext:
        """Return a context for a look at batches without a trained network: its memory is made up."""
        return replace(context, memory=self.refresh.stand_in(context)) if self.refresh else context

    def upstream(self) -> tuple[str, ...]:
        """Names of the stages that must be finished before this one."""
        weights = [self.start] if self.start else []
        names = [reference(text).stage for text in [*weights, *self.frozen.values()]]
        return tuple(dict.fromkeys([*names, *self.reads]))


class Reference(NamedTuple):
    """What a text ``STAGE``, ``STAGE@WHICH``, ``STAGE:PART`` or ``STAGE@WHICH:PART`` means.

    Attributes:
        stage: Name of a stage.
        which: ``"last"``, ``"best"`` or the step of a snapshot; None for the weights that the stage hands on.
        part: A network that trained beside the main one, by its part of the state; None for the main one.
    """

    stage: str
    which: str | None
    part: str | None


def reference(text: str) -> Reference:
    """Take a reference to weights apart."""
    rest, _, part = text.partition(":")
    stage, _, which = rest.partition("@")
    return Reference(stage, which or None, part or None)
