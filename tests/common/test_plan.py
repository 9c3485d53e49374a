"""The rehearsal of a run: what it tries, and what it says it could not try."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

from rich.console import Console

from common.engine import Engine
from common.log import RunLog
from common.plan import rehearse
from common.run_folder import RunFolder
from common.stage import Stage
from tests.common.engine_runs import config, data, stages
from tests.fake_backend import FakeBackend


def rehearsed(plan: list[Stage], place: Path) -> str:
    """Return what the rehearsal of a plan says."""
    roles = data()
    roles.named, folder = dict, RunFolder(place / "run")
    engine = Engine(config(), FakeBackend(), plan, roles, folder, RunLog(None))
    said = StringIO()
    rehearse(engine, Console(width=200, file=said))
    assert not folder.path.exists()
    return said.getvalue()


def test_one_stage_of_every_objective_is_tried(tmp_path: Path) -> None:
    """The second network of a kind is not; that it reads labels which are not there yet does not matter then."""
    said = rehearsed(stages(), tmp_path)
    assert "teacher: loss" in said and "student: loss" not in said
    assert "not tried" not in said and " of training;" in said


def test_what_reads_files_of_others_is_named(tmp_path: Path) -> None:
    """Its steps are not in the time that is told."""
    plan = [replace(stage, objective="other") if stage.reads else stage for stage in stages()]
    said = rehearsed(plan, tmp_path)
    assert "not tried, for they read what other stages will write: again" in said
    assert " of training of the stages that were tried;" in said
