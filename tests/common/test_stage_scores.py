"""Which images a stage is scored on: the validation set chooses weights, the test set, where there is one, counts."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from common import checkpoint
from common.checkpoint import read_json
from common.config import dump
from common.log import read_journal
from common.report.collect import read_run
from common.report.page import write_report
from common.stage import Stage
from tests.common.engine_runs import STEPS, config, data, run, stages
from tests.fake_backend import FakeBackend, FakeDataset

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


def test_a_stage_may_be_judged_by_losses_before_its_score_and_show_what_it_learns(tmp_path: Path) -> None:
    """The smallest loss is best whatever the score; pictures lie beside the stage, on its curves and in the report."""
    losses = iter([3.0, 1.0, 2.0])

    def judge(context, objective) -> dict[str, float]:
        return {"judged loss": next(losses)}

    def picture(context, objective) -> np.ndarray:
        return np.full((4, 6, 3), 200, np.uint8)

    stage = Stage(**{**vars(stages()[0]), "judge": judge, "picture": picture})
    run(tmp_path, config(), [stage])
    every = config().train.evaluate_every
    best = read_json(next((tmp_path / "stages/teacher/best").iterdir()) / "state.json")
    assert (best["step"], best["scores"]["judged"]) == (2 * every, {"judged loss": 1.0})
    logged = [entry["judged loss"] for entry in read_journal(tmp_path / "metrics.jsonl") if "judged loss" in entry]
    assert logged == [3.0, 1.0, 2.0]
    shown = sorted((tmp_path / "stages/teacher/pictures").iterdir())
    steps = (every, 2 * every, STEPS)
    assert [path.stem for path in shown] == [f"step-{step:06d}" for step in steps]
    (tmp_path / "config.yaml").write_text(dump(config()), encoding="utf-8")
    write_report([read_run(tmp_path)], tmp_path / "page")
    names = {path.stem for path in (tmp_path / "page/pictures").iterdir()}
    assert {f"teacher-step-{step:06d}-fake" for step in steps} <= names


def test_a_stage_that_is_no_row_may_be_judged(tmp_path: Path) -> None:
    """Its best weights are kept for later stages; nothing is scored."""
    losses = iter([1.0, 2.0, 3.0])
    judged = {"score": False, "judge": lambda context, objective: {"judged loss": next(losses)}}
    run(tmp_path, config(), [Stage(**{**vars(stages()[0]), **judged})])
    assert scores(tmp_path, "teacher") == {}
    best = read_json(next((tmp_path / "stages/teacher/best").iterdir()) / "state.json")
    assert best["step"] == config().train.evaluate_every


def test_the_best_weights_are_handed_on_when_asked(tmp_path: Path) -> None:
    """To the stage that starts from them and as the frozen teacher; chosen on the validation set."""
    seen: list[dict] = []

    class Watched(FakeBackend):
        def build(self, *args, frozen=None):
            seen.append(frozen)
            return super().build(*args, frozen=frozen)

    settings = config(train__hand_on="best", train__evaluate_every=1, optim__lr=0.9)
    run(tmp_path, settings=settings, backend=Watched())
    scores = read_json(tmp_path / "stages" / "teacher" / "done.json")["scores"]
    assert scores["best"]["step"] < STEPS and scores["best"]["value"] > scores["last"]["value"]
    best, _ = checkpoint.load(FakeBackend(), tmp_path / f"stages/teacher/best/step-{scores['best']['step']:06d}")
    assert set(best) == {"model", "ema"}
    assert np.array_equal(seen[1]["teacher"]["weight"], best["ema"]["weight"])
