"""The report of runs: tables, curves, pictures; one page that needs nothing beside it."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from common.config import dump
from common.errors import UserError
from common.pictures import coloured, errors, fitted, legend, overlay, read_png, sheet
from common.report import results
from common.report.chart import line_chart, ticks
from common.report.collect import read_run
from common.report.page import main_stages, write_report
from common.report.tables import Table, difference, number
from tests.common.engine_runs import config, run, stages
from tests.fake_backend import FakeBackend

PUBLISHED = [{"row": "student", "metric": "mIoU", "value": 57.1, "source": "table 1"}]


class Other(FakeBackend):
    """A second framework whose networks come out a little different."""

    name = "other"

    def build(self, *args, **kwargs):
        """Begin elsewhere."""
        objective = super().build(*args, **kwargs)
        objective.parts["model"]["bias"] += 0.2
        return objective


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list:
    """One configuration on two frameworks."""
    found = []
    for backend in (FakeBackend(), Other()):
        out = tmp_path_factory.mktemp("runs") / backend.name
        run(out, backend=backend)
        tree = {**yaml.safe_load(dump(config())), "published": PUBLISHED}
        (out / "config.yaml").write_text(yaml.safe_dump(tree))
        found.append(read_run(out))
    return found


def test_rows_are_the_scored_stages_in_order(runs: list) -> None:
    """With their titles; what passes over data said is kept apart."""
    assert [(row.stage, row.title) for row in runs[0].rows] == [
        ("teacher", "teacher"), ("student", "student"), ("again", "student again"),
    ]  # fmt: skip
    assert runs[0].made == {"labels": {"kept": 0.5, "precision": None}}
    assert [step for step, _ in runs[0].curves["student"]["loss"]] == [4, 8, 12]


def test_summary_shows_both_frameworks_and_their_difference(runs: list) -> None:
    """Last weights, and the best marked as an oracle."""
    table = results.summary_table(runs)
    assert table.header == [
        "row", "fake last", "fake best (oracle)", "other last", "other best (oracle)", "difference (last)",
    ]  # fmt: skip
    title, one, _, other, _, gap = table.rows[1]
    assert title == "student" and float(one) - float(other) == pytest.approx(float(gap), abs=0.011)


def test_class_table_has_a_line_for_the_difference(runs: list) -> None:
    """Of every class and mean."""
    table = results.class_table(runs)
    assert table.header == ["row", "framework", "mIoU", "accuracy", "red", "green", "blue"]
    assert [row[1] for row in table.rows[:3]] == ["fake", "other", "difference"]
    ours, theirs, gap = ([float(cell) for cell in row[2:]] for row in table.rows[:3])
    assert np.allclose(np.subtract(ours, theirs), gap, atol=0.11)


def test_short_table_has_a_line_for_each_class(runs: list) -> None:
    """For the terminal."""
    table = results.short_table(runs, ["teacher", "again"])
    assert [row[0] for row in table.rows] == ["red", "green", "blue", "mIoU", "accuracy"]
    assert len(table.header) == 7 and table.header[3] == "teacher\ndiff." and table.lines_after == {2}
    assert results.short_table(runs[:1], ["again"]).header == ["class", "SUPERVISED\nfake"]


def test_published_numbers_stand_beside_ours(runs: list) -> None:
    """Matched by the title of a stage; the method's own name means its last row."""
    (row,) = results.published_table(runs).rows
    assert row[:4] == ("student", "mIoU", "table 1", "57.10")
    assert float(row[4]) == pytest.approx(runs[0].row("student").last["value"], abs=0.006)
    assert results.matching_row(runs[0], "Supervised").stage == "again"


def test_published_classes_stand_beside_ours(runs: list) -> None:
    """One line a class behind the mean of the row that states them."""
    names = results.class_names(runs)
    stated = [float(number) for number in range(len(names))]
    run = replace(runs[0], config={**runs[0].config, "published": [{**PUBLISHED[0], "per_class": stated}]})
    mean, *classes = results.published_table([run]).rows
    assert mean[1] == "mIoU" and [row[1] for row in classes] == names
    assert [float(row[3]) for row in classes] == stated
    ours = results.class_scores(run.row("student").last)[0]
    assert [row[4] for row in classes] == [results.number(ours[name]) for name in names]


def test_a_title_that_goes_on_behind_a_comma_is_matched_by_its_beginning(runs: list) -> None:
    """The last of them, unless another has the very name."""
    titles = ("source only, as IAST trains it", "HIAST, round 1", "HIAST, round 2")
    run = replace(runs[0], rows=[replace(row, title=title) for row, title in zip(runs[0].rows, titles)])
    found = {name: results.matching_row(run, name).title for name in ("Source only", "HIAST", "hiast, round 1")}
    assert list(found.values()) == [titles[0], titles[2], titles[1]]
    assert results.matching_row(run, "source") is None


def test_rows_that_nothing_matches_have_no_published_numbers(runs: list) -> None:
    assert results.matching_row(runs[0], "another") is None


def test_pseudo_labels_have_a_table(runs: list) -> None:
    """Shares in percent, a dash where nothing is known."""
    told = results.pseudo_table(runs)
    assert told.rows == [("labels", "fake", "50.00", "-", "-"), ("labels", "other", "50.00", "-", "-")]
    made = {"labels": {"kept": 0.5, "precision": 0.75, "miou": 0.625}}
    assert results.pseudo_table([replace(runs[0], made=made)]).rows == [("labels", "fake", "50.00", "75.00", "62.50")]


def test_page_is_whole_and_alone(runs: list, tmp_path: Path) -> None:
    """Tables and pictures are inside; nothing is fetched from elsewhere."""
    write_report(runs, tmp_path / "report")
    page = (tmp_path / "report" / "index.html").read_text()
    assert page.count("<table>") == 4 and page.count("</tr>") == 19
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert len(sources) >= 6 and all(source.startswith("data:image/png;base64,") for source in sources)
    text = (tmp_path / "report" / "report.md").read_text()
    linked = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert {"pictures/predictions.png", "pictures/student-loss.png", "pictures/student-mIoU.png"} <= set(linked)
    assert all(read_png(tmp_path / "report" / name).ndim == 3 for name in linked)
    write_report(runs[:1], tmp_path / "report")  # replaces the old one
    assert "other" not in (tmp_path / "report" / "report.md").read_text()


def test_short_view_takes_baselines_and_the_last_row(runs: list) -> None:
    """Whatever else was scored."""
    assert main_stages(runs) == ["again"]


@pytest.mark.parametrize(("make", "message"), [(False, "not a run folder"), (True, "no stage is finished yet")])
def test_what_is_no_finished_run_is_refused(tmp_path: Path, make: bool, message: str) -> None:
    """In one line."""
    if make:
        with pytest.raises(UserError):
            run(tmp_path, plan=stages(), poison_at=0)
        (tmp_path / "config.yaml").write_text(dump(config()))
    with pytest.raises(UserError, match=message):
        read_run(tmp_path)


def test_tables_render_three_ways() -> None:
    """Special characters are escaped; rows must fit the header."""
    table = Table("t", ["name", "x"])
    table.add("a|<b>", "1.0")
    table.end_group()
    assert table.markdown() == "| name | x |\n| --- | ---: |\n| a\\|<b> | 1.0 |"
    assert "a|&lt;b&gt;" in table.html() and 'class="end"' in table.html()
    assert table.rich().row_count == 1
    with pytest.raises(ValueError, match="3 columns"):
        table.add("a", "b", "c")


def test_numbers_and_differences() -> None:
    """A dash where there is none."""
    assert (number(None), number(1.005, 1), difference(2.0, 3.5), difference(None, 1.0)) == ("-", "1.0", "-1.50", "-")


@pytest.mark.parametrize(("low", "high"), [(0, 1), (3, 3), (-1.2, 7.9), (0, 0), (1e-7, 2e-7), (-5, -5), (0, 120_000)])
def test_ticks_span_the_data(low: float, high: float) -> None:
    """With few round numbers."""
    found = ticks(low, high, 5)
    assert found[0] <= low + 1e-12 and found[-1] >= high - 1e-12 and 2 <= len(found) <= 8
    assert np.ptp(np.diff(found)) < 1e-9 * max(1.0, abs(high))


@pytest.mark.parametrize("points", [[], [(1, 2.0)], [(1, 2.0), (2, float("nan")), (3, 1.0)]])
def test_charts_of_little_data(points: list) -> None:
    """Empty axes, a dot, a line over the gap."""
    image = line_chart("loss", {"torch": points, "mindspore": []}, (300, 200))
    assert image.shape == (200, 300, 3)
    blue = (image[:, :, 2].astype(int) - image[:, :, 0] > 100)[:, 50:165].any()  # left of the legend
    assert blue == bool(points)


def test_pictures() -> None:
    """Colours, overlays, errors, sheets."""
    palette = np.zeros((256, 3), np.uint8)
    palette[1] = (200, 100, 0)
    labels, image = np.array([[0, 1], [255, 1]], np.uint8), np.full((2, 2, 3), 100, np.uint8)
    assert coloured(labels, palette)[0, 1].tolist() == [200, 100, 0]
    assert overlay(image, labels, palette)[0].tolist() == [[50, 50, 50], [150, 100, 50]]
    assert overlay(image, labels, palette)[1, 0].tolist() == [100, 100, 100]
    wrong = errors(np.zeros((2, 2), np.uint8), labels)
    assert len({tuple(colour) for colour in wrong.reshape(-1, 3)}) == 3 and (wrong[1, 0] == 0).all()
    assert fitted(labels, (4, 6)).shape == (6, 4) and set(fitted(labels, (5, 5)).ravel()) == {0, 1, 255}
    made = sheet([[fitted(image, (50, 30))] * 2] * 3, ["input", "truth"])
    assert made.shape[1] == 2 * 50 + 3 * 4 and made.shape[0] > 3 * 30
    assert legend(["road"] * 40, palette, 300).shape[0] > 18
    with pytest.raises(ValueError, match="no pictures"):
        sheet([], ["input"])
