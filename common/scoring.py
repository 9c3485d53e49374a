"""Which images score the network of a stage, what is kept of them for the report, and which scores count."""

from collections.abc import Callable, Mapping
from typing import Any

from common.data.labels import class_set
from common.drawn_scores import scored_images
from common.evaluate import evaluate
from common.examples import EXAMPLES
from common.log import StageLog
from common.run_folder import RunFolder
from common.stage import Stage

TEST = "test"  # role of the images that are scored when the weights are chosen


class Scorer:
    """Scores the networks of one run."""

    def __init__(self, config: Any, backend: Any, data: Any, folder: RunFolder):
        """Prepare; nothing is read.

        Args:
            config: The run's configuration.
            backend: The open backend.
            data: The open datasets by role.
            folder: Receives examples.
        """
        self._config, self._backend, self._data, self._folder = config, backend, data, folder

    def score(
        self, stage: Stage, objective: Any, log: StageLog, step: int, final: bool = False, role: str | None = None
    ) -> dict:
        """Score a network on a dataset, report it, and return the scores with their step.

        Args:
            stage: Whose network it is.
            objective: Holds it.
            log: Of the stage.
            step: Steps that it has trained.
            final: Whether the stage is over; then examples are kept for the report.
            role: Key of the dataset; None is the one that the stage chooses its weights on.
        """
        role, backend = role or stage.scored_on, self._backend
        config = stage.configured(self._config)
        dataset, which = scored_images(config, self._data, role, stage.name, step)
        kept = self._folder.examples / role, self._folder.stage(stage.name).examples / role
        examples = EXAMPLES[dataset.task](dataset, *kept, every=backend.world)
        result = evaluate(
            backend.predictor(objective, config.evaluate).labels,
            dataset,
            class_set(config.classes),
            config.classes.left_out,
            config.evaluate.batch_size,
            examples.keep if final and backend.rank == 0 else None,
            backend,
            which,
            config.classes.absent,
        )
        summary = result.summary()
        log.scores(step, summary if role != TEST else {f"{TEST} {name}": v for name, v in summary.items()}, final)
        return {**result.record(), "step": step}

    def reported(self, stage: Stage, networks: Mapping[str, Callable[[], Any]], log: StageLog, scores: dict) -> dict:
        """Return the scores that count: those on the test set where there is one, with the validation's beside them.

        Args:
            stage: Scored on the validation set.
            networks: "last" and "best" -> returns an objective that holds these weights.
            log: Of the stage.
            scores: "last" and "best" -> scores on the validation set; the best may be None.
        """
        if stage.scored_on != "val" or not stage.tested or getattr(self._data, TEST, None) is None:
            return scores
        found: dict[str, dict | None] = {"last": None, "best": None}
        for which in ("last", "best"):
            chosen = scores[which]
            if which == "best" and chosen and chosen["step"] == scores["last"]["step"]:
                found[which] = found["last"]
            elif chosen:
                tested = self.score(stage, networks[which](), log, chosen["step"], which == "last", TEST)
                found[which] = {**tested, "val": chosen["summary"]}
        return found
