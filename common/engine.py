"""Runs the stages of a method on a backend: data -> objective.step -> log, evaluate, checkpoint, resume.

``Engine.run`` shows what happens to a stage, ``Engine._train`` what happens in a step. All that a resumed stage needs
is in its last checkpoint; the data need no more than the number of the step.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from fnmatch import filter as filter_names
from pathlib import Path
from typing import Any

from common import accumulate, checkpoint, keeper
from common.data.loader import batches
from common.errors import UserError
from common.inputs import score_inputs, stage_inputs
from common.keeper import Keeper, on_writer
from common.log import Pace, RunLog, StageLog
from common.meter import Clock, Meter
from common.patience import due
from common.pseudo.statistics import told
from common.refresh import spans
from common.run_folder import RunFolder, StageFolder, differences, digest_of
from common.schedules import learning_rate
from common.scoring import Scorer
from common.stage import Batch, Stage, StageContext, reference
from common.stop import Stopped, StopSignal


class Engine:
    """One run: the stages of a configuration on a backend, in a run folder that is open for it."""

    def __init__(self, config: Any, backend: Any, stages: Sequence[Stage], data: Any, folder: RunFolder, log: RunLog):
        self.config, self.backend, self.data = config, backend, data
        self.stages = {stage.name: stage for stage in stages}
        self.folder, self.log = folder, log
        self.outputs: dict[str, dict] = {}  # finished stage -> digests of what it made
        self.done: dict[str, int] = {}  # finished stage -> steps it took
        self.stop = StopSignal(backend)
        self.scorer = Scorer(config, backend, data, folder)

    def run(self, wanted: str = "*") -> None:
        """Bring every stage whose name matches ``wanted`` to its end; what is finished and unchanged is passed over.

        Args:
            wanted: Patterns of the shell (``round1/*``), separated by commas.

        Raises:
            UserError: If a loss is not finite, a stage that a wanted one needs is not finished, a pattern of
                ``wanted`` fits nothing, or the disk refuses.
            Stopped: If the process was asked to stop; a stage in training has been saved.
        """
        chosen = {pattern: filter_names(self.stages, pattern) for pattern in wanted.split(",")}
        for pattern, names in chosen.items():
            if not names:
                raise UserError(f"--stages {pattern}: no such stage; the stages are: {', '.join(self.stages)}")
        on_writer(self.backend, lambda: self.folder.write_plan({s.name: s.title for s in self.stages.values()}))
        with self.stop:
            for number, stage in enumerate(self.stages.values(), 1):
                title = f"[{number}/{len(self.stages)}] {stage.name}"
                asked_for = any(stage.name in names for names in chosen.values())
                missing = [name for name in stage.upstream() if name not in self.outputs]
                if missing and asked_for:
                    raise UserError(f"{stage.name} needs {', '.join(missing)}, not finished with these settings")
                if missing:
                    continue
                place = self.folder.stage(stage.name)
                inputs = stage_inputs(self.config, stage, self.data, self.outputs, self.backend.world)
                marker = place.done()
                if marker and marker["inputs"] == inputs:
                    self.log.note(f"{title}: finished, unchanged")
                    self._score_again(stage, place, marker)
                elif asked_for:
                    self._begin(place, inputs, title)
                    marker = self._do(stage, place, inputs)
                else:
                    continue
                self.outputs[stage.name], self.done[stage.name] = marker["outputs"], marker["steps"]
                self.backend.release()

    def _do(self, stage: Stage, place: StageFolder, inputs: dict) -> dict:
        """Train a stage and score it, let it make its files, and mark it finished; return the marker."""
        started = time.monotonic()
        marker = {"digest": digest_of(inputs), "inputs": inputs, "outputs": {}, "scores": {}, "steps": stage.steps}
        if stage.objective:
            objective = self.objective(stage)
            marker["scores"], marker["steps"] = self._train_and_score(stage, place, objective)
            marker["outputs"] = keeper.weights_made(place)
        if stage.produce:
            network = objective if stage.objective else self._frozen_network(stage)
            marker["made"], marker["outputs"]["files"] = self._produce(stage, place, network)
        marker["score_inputs"] = score_inputs(stage.configured(self.config), self.data)
        marker["seconds"] = round(time.monotonic() - started, 1)
        marker["backend"] = {"name": self.backend.name, **self.backend.describe()}
        on_writer(self.backend, lambda: (checkpoint.prune(place.checkpoints, 1), place.finish(marker)))
        return marker

    def _train_and_score(self, stage: Stage, place: StageFolder, objective: Any) -> tuple[dict, int]:
        """Train to the end from wherever the stage stands; return the scores of last and best weights, and the step."""
        config = stage.configured(self.config)
        keep = Keeper(config, self.backend, stage, place, self.log)
        step, meter = keep.restore(objective)
        with self.log.stage(stage.name, step, stage.steps) as log:
            if stage.steps:
                step = self._train(stage, objective, step, meter, keep, log)
            else:  # weights that a file gave are handed on as they are
                keep.save(objective, 0, meter)
            if not stage.score and not stage.judge:
                return {}, step
            last = self._assess(stage, objective, log, step, final=True)
            if config.train.evaluate_every:
                keep.keep_if_best(objective, step, last)
            scores = {"last": last, "best": keep.best()}
            return (self._reported(stage, objective, log, scores) if stage.score else {}), step

    def _train(self, stage: Stage, objective: Any, step: int, meter: Meter, keep: Keeper, log: StageLog) -> int:
        """Run the steps after ``step``; return how many are done at the end, fewer when the score rises no more.

        Losses stay on the device until they are logged or a checkpoint is due.
        """
        if keep.patience.exhausted:
            return step
        config, clock, logged = stage.configured(self.config), Clock(), step
        train, begun = config.train, self._begun(stage)
        source = self._batches(stage, objective, step)
        with closing(source), self.stop.at_next_step():
            for batch in source:
                clock.lap("data")
                lr = learning_rate(config.optim, begun + step, stage.steps)
                meter.add(objective.step(batch, lr))
                step += 1
                clock.lap("step")

                last, to_log = step == stage.steps, step % train.log_every == 0
                stopping = self.stop.asked(together=to_log)
                scoring = due(begun + step, train.evaluate_every, train.evaluate_offset)
                to_score = (stage.score or stage.judge) and not last and scoring
                to_save = last or stopping or due(step, train.checkpoint_every)
                to_keep = step in stage.snapshots
                if to_log or to_score or to_save or to_keep:
                    meter.check(f"{stage.name}, step {step}")  # the device catches up here
                    clock.lap("step")
                if to_log or last:
                    log.losses(step, meter.take(), lr, Pace(*clock.take(step - logged), self.backend.memory_gib()))
                    logged = step
                if to_score:
                    scores = self._assess(stage, objective, log, step)
                    keep.keep_if_best(objective, step, scores)
                    keep.patience.see(scores["value"] or 0.0)
                if to_keep:
                    keep.keep_snapshot(objective, step)
                if to_save or keep.patience.exhausted:
                    log.sync()
                    keep.save(objective, step, meter)
                if stopping:
                    raise Stopped(f"{stage.name}: stopped and saved after step {step} of {stage.steps}", stopping)
                log.advance(step)
                clock.lap("other")
                if keep.patience.exhausted:
                    self.log.note(f"{stage.name}: ends after step {step} of {stage.steps}, the score rises no more")
                    break
        return step

    def _batches(self, stage: Stage, objective: Any, step: int) -> Iterator[Batch | list[Batch]]:
        """Yield what the steps after ``step`` learn from; before some of them the stage's memory is refreshed."""
        workers, every = (self.config.data.workers, self.config.data.prefetch), stage.refresh and stage.refresh.every
        predictor = self.backend.predictor(objective, stage.configured(self.config).evaluate) if every else None
        for first, stop, refreshes in spans(step, stage.steps, every, self._begun(stage)):
            if refreshes:
                known = self.context(stage), predictor, self.backend, objective.memory(), first
                objective.load_memory(stage.refresh.find(*known))
            context = self.context(stage)
            if stage.refresh:
                context = replace(context, memory=objective.memory())
            count = context.config.train.accumulate
            build = accumulate.micro_batches(stage, context)
            with closing(batches(build, first * count, stop * count, *workers)) as source:
                yield from accumulate.steps(source, count)

    def _begun(self, stage: Stage) -> int:
        """Return the steps of the stage before whose count goes on."""
        return self.done[reference(stage.start).stage] if stage.carry else 0

    def objective(self, stage: Stage) -> Any:
        """Build a stage's objective with its frozen networks, and the weights it starts from."""
        frozen = {role: self._handed_on(text) for role, text in stage.frozen.items()}
        objective = self.backend.build(stage.configured(self.config), stage.objective, frozen=frozen)
        if stage.start:
            objective.load_weights(self._handed_on(stage.start))
        if stage.carry:
            before = self.folder.stage(reference(stage.start).stage)
            objective.load_optimizer(keeper.optimizer_of(self.backend, before))
        return objective

    def context(self, stage: Stage, folder: Path | None = None) -> StageContext:
        """Return what a stage may use; it writes to ``folder``, and reads those of the stages upstream."""
        return StageContext(
            config=stage.configured(self.config),
            data=self.data,
            stage=stage.name,
            folder=folder or self.folder.stage(stage.name).files,
            folders={name: self.folder.stage(name).files for name in stage.upstream()},
            rank=self.backend.rank,
            world=self.backend.world,
        )

    def _begin(self, place: StageFolder, inputs: dict, title: str) -> None:
        """Say what is going to happen, and make the stage's folder ready."""
        before = place.inputs()
        changed = differences(before, inputs) if before else []
        self.log.note(f"{title}: runs again, changed: {', '.join(changed[:6])}" if changed else title)
        self.backend.barrier()  # every rank has read the folder before it changes
        on_writer(self.backend, lambda: place.begin(inputs))

    def _assess(self, stage: Stage, objective: Any, log: StageLog, step: int, final: bool = False) -> dict:
        """Score a network, judge it and show it as its stage asks; return what ``Keeper.keep_if_best`` compares."""
        context = self.context(stage)
        judged = self.backend.average(stage.judge(context, objective)) if stage.judge else {}
        if judged:
            log.scores(step, judged)
        if stage.picture and self.backend.rank == 0:
            log.picture(step, stage.picture(context, objective), self.folder.stage(stage.name).pictures)
        scores = self.scorer.score(stage, objective, log, step, final) if stage.score else {"value": None, "step": step}
        return {**scores, "judged": judged}

    def _reported(self, stage: Stage, objective: Any, log: StageLog, scores: dict) -> dict:
        """Return the scores that count, of the last weights and of the best; see ``Scorer.reported``."""

        def best() -> Any:
            chosen = self.objective(stage)
            chosen.load_weights(keeper.handed_on(self.backend, self.folder.stage(stage.name), "best"))
            return chosen

        return self.scorer.reported(stage, {"last": lambda: objective, "best": best}, log, scores)

    def _score_again(self, stage: Stage, place: StageFolder, marker: dict) -> None:
        """Score a finished stage anew when the validation set or the way of predicting has changed."""
        now = score_inputs(stage.configured(self.config), self.data)
        if not marker["scores"] or marker["score_inputs"] == now:
            return
        self.log.note(f"{stage.name}: scored again, changed: {', '.join(differences(marker['score_inputs'], now))}")
        objective = self.objective(stage)
        with self.log.stage(stage.name, stage.steps, stage.steps) as log:
            for which in ("best", "last"):  # the last weights remain in the network, to be scored on further images
                if scores := marker["scores"][which]:
                    objective.load_weights(keeper.handed_on(self.backend, place, which))
                    marker["scores"][which] = self.scorer.score(stage, objective, log, scores["step"], which == "last")
            marker["scores"] = self._reported(stage, objective, log, marker["scores"])
        marker["score_inputs"] = now
        on_writer(self.backend, lambda: place.finish(marker))

    def _produce(self, stage: Stage, place: StageFolder, objective: Any) -> tuple[dict, str]:
        """Let a stage write its files, which appear as a whole; return what it says of them, and their digest."""
        made: dict = {}
        predictor = self.backend.predictor(objective, stage.configured(self.config).evaluate)
        memory = objective.memory() if stage.refresh else {}

        def fill(folder: Path) -> None:
            made.update(stage.produce(replace(self.context(stage, folder), memory=memory), predictor))

        on_writer(self.backend, lambda: checkpoint.publish(place.files, fill))
        if "class_pixels" in made:
            self.log.note(f"{stage.name}  {told(made, self.data.classes.names)}")
        return made, checkpoint.sha256(place.files / checkpoint.MANIFEST)

    def _frozen_network(self, stage: Stage) -> Any:
        """Return the objective of the one network that a stage without training uses, with its trained weights.

        It computes in float32 whatever ``train.precision`` is: half precision is for training.
        """
        (text,) = stage.frozen.values()
        trained = self.stages[reference(text).stage]
        train = trained.configured(self.config).train.model_copy(update={"precision": "fp32"})
        objective = self.objective(replace(trained, changes={**trained.changes, "train": train}))
        objective.load_weights(self._handed_on(text))
        return objective

    def _handed_on(self, text: str) -> dict:
        """Return the weights of a finished stage that a reference means."""
        name, which, part = reference(text)
        return keeper.handed_on(self.backend, self.folder.stage(name), which or self.config.train.hand_on, part)
