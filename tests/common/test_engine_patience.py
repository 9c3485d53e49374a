"""Stages that end because their score rises no more, through the engine."""

from pathlib import Path

from common import checkpoint
from common.run_folder import RunFolder
from tests.common.engine_runs import STEPS, config, run, stages


def restless(patience: int | None):
    """Return settings whose rate is so large that the score falls now and then."""
    return config(train__patience=patience, train__evaluate_every=1, train__checkpoint_every=2, optim__lr=0.9)


def markers(out: Path) -> dict[str, dict]:
    """Return what every finished stage with a network left."""
    folder = RunFolder(out)
    return {stage.name: folder.stage(stage.name).done() for stage in stages() if stage.objective}


def test_a_stage_ends_at_the_first_score_that_is_lower(tmp_path: Path) -> None:
    """It is saved there, marked with the steps it took, and not trained on when the run is asked for again."""
    run(tmp_path / "whole", restless(None))
    run(tmp_path / "short", restless(0))
    assert {marker["steps"] for marker in markers(tmp_path / "whole").values()} == {STEPS}
    short = markers(tmp_path / "short")
    ended = {name: marker["steps"] for name, marker in short.items() if marker["steps"] < STEPS}
    assert ended, "no stage ended early; the rate is too small for this test"
    for name, steps in ended.items():
        (last,) = checkpoint.steps(RunFolder(tmp_path / "short").stage(name).checkpoints)
        assert checkpoint.step_of(last) == steps
        assert checkpoint.read_json(last / checkpoint.STATE)["patience"]["failures"] == 1
    again = run(tmp_path / "short", restless(0), resume=True)
    assert again.steps_run == 0
