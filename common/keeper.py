"""What a running stage saves and finds again: its checkpoints, and the weights that scored best."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from common import checkpoint
from common.errors import UserError
from common.log import RunLog
from common.meter import Meter
from common.patience import Patience
from common.run_folder import StageFolder, digest_of
from common.stage import Stage

_NO_WEIGHTS = ("optimizer", "scaler", "memory")  # beginnings of the parts of a state that are not weights


class Keeper:
    """Saves and restores one stage. Only rank 0 writes; the others wait until it has."""

    def __init__(self, config: Any, backend: Any, stage: Stage, place: StageFolder, log: RunLog):
        self._config, self._backend, self._stage, self._place, self._log = config, backend, stage, place, log
        self.patience = Patience(config.train.patience)

    def restore(self, objective: Any) -> tuple[int, Meter]:
        """Load the newest whole checkpoint into ``objective``; return the steps done and the meter as it was then."""
        newest = checkpoint.newest(self._place.checkpoints, self._log.warn)
        if newest is None:
            return 0, Meter(self._backend)
        parts, info = checkpoint.load(self._backend, newest)
        (world, parts_then), ours = (info["world"], info.get("accumulate", 1)), self._config.train.accumulate
        if (world, parts_then) != (self._backend.world, ours):
            began = f"{self._stage.name}: begun with {world} processes of {parts_then} micro-batches a step"
            now = f"goes on with {self._backend.world} of {ours}"
            self._log.warn(f"{began}, {now}: equal within tolerance, not to the bit")
        objective.load_state(parts)
        self.patience.load(info.get("patience", {}))
        self._log.note(f"{self._stage.name}: goes on after step {info['step']}")
        return info["step"], Meter(self._backend, info["meter"])

    def save(self, objective: Any, step: int, meter: Meter) -> None:
        """Publish the checkpoint after ``step`` and drop the oldest."""

        def write() -> None:
            info = {**self._info(step), "meter": meter.state(), "patience": self.patience.state()}
            final = self._place.checkpoints / checkpoint.name_of(step)
            checkpoint.save(self._backend, final, objective.state(), info)
            checkpoint.prune(self._place.checkpoints, self._config.train.keep)

        on_writer(self._backend, write)

    def keep_if_best(self, objective: Any, step: int, scores: dict) -> None:
        """Publish the weights as the best unless earlier ones scored as high."""

        def write() -> None:
            before = self.best()
            if improves(order_of(scores), before and order_of(before)):
                parts = {name: arrays for name, arrays in objective.state().items() if is_weights(name)}
                info = {**self._info(step), "scores": {**scores, "step": step}}
                checkpoint.save(self._backend, self._place.best / checkpoint.name_of(step), parts, info)
                checkpoint.prune(self._place.best, 1)

        on_writer(self._backend, write)

    def keep_snapshot(self, objective: Any, step: int) -> None:
        """Publish the weights after ``step`` for later stages."""

        def write() -> None:
            final = self._place.snapshots / checkpoint.name_of(step)
            if final not in checkpoint.steps(self._place.snapshots):  # a resumed stage may pass a step again
                parts = {name: arrays for name, arrays in objective.state().items() if is_weights(name)}
                checkpoint.save(self._backend, final, parts, self._info(step))

        on_writer(self._backend, write)

    def best(self) -> dict | None:
        """Return the scores of the best weights, with their step; None when none were kept."""
        found = checkpoint.newest(self._place.best, self._log.warn)
        return checkpoint.read_json(found / checkpoint.STATE)["scores"] if found else None

    def _info(self, step: int) -> dict:
        """Return what ``state.json`` says of a checkpoint."""
        return {
            "stage": self._stage.name,
            "step": step,
            "steps": self._stage.steps,
            "seed": self._config.seed,
            "method": self._config.method.name,
            "backend": self._backend.name,
            "world": self._backend.world,
            "accumulate": self._config.train.accumulate,
            "versions": self._backend.describe(),
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }


def order_of(scores: dict) -> tuple[float, ...]:
    """Return the numbers by which weights are compared, the most important first; larger is better.

    First come the losses that a stage is judged by, then its score, then, for equal scores, the wider accuracies.
    """
    judged = [-value for value in scores.get("judged", {}).values()]
    wider = [scores.get("summary", {}).get(name) for name in ("top-3", "top-5")]
    return (*judged, scores["value"] or 0.0, *(value or 0.0 for value in wider))


def improves(current: Sequence[float], best: Sequence[float] | None) -> bool:
    """Return whether numbers are better than the best so far: the first that differs decides, larger is better."""
    return best is None or tuple(current) > tuple(best)


def is_weights(part: str) -> bool:
    """Return whether a part of a state holds the weights of a network: the model's, their average, or another's."""
    return not part.startswith(_NO_WEIGHTS)


def weights_of(parts: checkpoint.Parts) -> dict:
    """Return the weights that are evaluated and handed on: the averaged ones where they are kept, else the model's."""
    return parts.get("ema") or parts["model"]


def handed_on(backend: Any, place: StageFolder, which: str, part: str | None = None) -> dict:
    """Return the weights that a finished stage hands on.

    Args:
        backend: Reads native files.
        place: The stage's folder.
        which: ``"last"``, ``"best"`` or the step of a snapshot.
        part: A network that trained beside the main one.
    Returns:
        Parameter name, as its framework spells it -> array.
    Raises:
        UserError: If the checkpoint is missing or damaged.
    """
    folder = place.handed_on(which)
    parts, _ = checkpoint.load(backend, folder, only=[part] if part else ("model", "ema"))
    if part and part not in parts:
        raise UserError(f"{folder}: holds no weights called {part}")
    return parts[part] if part else weights_of(parts)


def optimizer_of(backend: Any, place: StageFolder) -> dict:
    """Return the state of the optimizer with which a finished stage ended.

    Raises:
        UserError: If the checkpoint is missing or damaged.
    """
    parts, _ = checkpoint.load(backend, place.handed_on("last"), only=("optimizer",))
    return parts["optimizer"]


def weights_made(place: StageFolder) -> dict:
    """Return the digests of the weights of a stage: ``last``, ``best`` and ``snapshots`` where some were kept."""
    found = {"last": _weights_digest(place.handed_on("last"))}
    if checkpoint.steps(place.best):
        found["best"] = _weights_digest(place.handed_on("best"))
    if kept := checkpoint.steps(place.snapshots):
        found["snapshots"] = {str(checkpoint.step_of(folder)): _weights_digest(folder) for folder in kept}
    return found


def _weights_digest(folder: Path) -> str:
    """Digest of the weights alone: the state beside them holds times, which say nothing about them."""
    manifest = checkpoint.read_json(folder / checkpoint.MANIFEST)
    return digest_of({name: one for name, one in manifest.items() if name != checkpoint.STATE and is_weights(name)})


def on_writer(backend: Any, write: Callable[[], object]) -> None:
    """Call ``write`` on rank 0; every rank returns when it is done."""
    if backend.rank == 0:
        write()
    backend.barrier()
