"""Which images a stage is scored on: the validation set chooses weights, the test set, where there is one, counts."""

from pathlib import Path
from types import SimpleNamespace

from common.checkpoint import read_json
from common.log import read_journal
from common.stage import Stage
from tests.common.test_engine import STEPS, config, data, run, stages
from tests.fake_backend import FakeDataset

TESTED = {**vars(data()), "test": FakeDataset(6, 40)}


def scores(out: Path, stage: str = "student") -> dict:
    """Return the scores of a finished stage."""
    return read_json(out / "stages" / stage / "done.json")["scores"]


def test_the_test_set_counts_and_the_validation_set_chooses(tmp_path: Path) -> None:
    """The same weights are best with and without a test set; what is reported of them differs."""
    run(tmp_path / "plain")
    run(tmp_path / "tested", roles=SimpleNamespace(**TESTED))
    plain, tested = scores(tmp_path / "plain"), scores(tmp_path / "tested")
    for which in ("last", "best"):
        assert tested[which]["step"] == plain[which]["step"]
        assert tested[which]["val"] == plain[which]["summary"] != tested[which]["summary"]
    logged = [entry for entry in read_journal(tmp_path / "tested/metrics.jsonl") if entry["stage"] == "student"]
    assert logged[-1]["test mIoU"] and (tmp_path / "tested/examples/test/truth").is_dir()
    assert len(list((tmp_path / "tested/stages/student/examples/test").iterdir())) == 4


def test_another_test_set_is_scored_without_training(tmp_path: Path) -> None:
    """Both the last and the best weights; the best stay those that the validation set chose."""
    run(tmp_path, roles=SimpleNamespace(**TESTED))
    before = scores(tmp_path)
    other = SimpleNamespace(**{**TESTED, "test": FakeDataset(8, 41)})
    assert run(tmp_path, roles=other).steps_run == 0
    after = scores(tmp_path)
    for which in ("last", "best"):
        assert after[which]["val"] == before[which]["val"] and after[which]["step"] == before[which]["step"]
        assert after[which]["summary"] != before[which]["summary"]
    run(tmp_path / "again", roles=other)
    assert scores(tmp_path / "again") == after


def test_a_stage_may_be_scored_on_source_images(tmp_path: Path) -> None:
    """A network of the source domain chooses its weights there, and has nothing to do with the test set."""
    plan = stages()[:1]
    source = [Stage(**{**vars(plan[0]), "scored_on": "source_val"})]
    roles = SimpleNamespace(**{**TESTED, "source_val": FakeDataset(5, 2)})
    swapped = SimpleNamespace(**{**vars(data()), "val": FakeDataset(5, 2)})
    run(tmp_path / "a", config(), source, roles=roles)
    run(tmp_path / "b", config(), plan, roles=swapped)
    assert scores(tmp_path / "a", "teacher") == scores(tmp_path / "b", "teacher")
    assert scores(tmp_path / "a", "teacher")["last"]["step"] == STEPS
