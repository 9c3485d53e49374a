"""The tables of a report: scores by row and framework, IoU by class, published numbers beside ours, pseudo-labels."""

from collections.abc import Mapping, Sequence

from common.data.labels import class_set
from common.report.collect import Row, Run
from common.report.tables import NOTHING, Table, difference, number
from common.schema import ClassesConfig

BASELINES = "baselines/"  # how the names of the rows begin that a method is compared with
MEASURES = {"iou": "IoU", "recall": "Accuracy"}  # key of the classes' values in a record -> what they are
CHARTED = ("mIoU", "accuracy", "kept", "precision")  # how the names of scores begin whose course is drawn
_MOST = 40  # classes that a terminal shows


def stages_of(runs: Sequence[Run]) -> dict[str, str]:
    """Return name -> title of all scored stages, in the order of the first run that has them.

    The method's last row carries the method's name: it is what the method is judged by.
    """
    titles = {row.stage: row.title for run in runs for row in run.rows}
    last, method = next(reversed(titles), ""), runs[0].config["method"]["name"]
    if last and not last.startswith(BASELINES) and method not in titles[last].lower().replace("-", ""):
        titles[last] = f"{method.upper()}: {titles[last]}"
    return titles


def summary_table(runs: Sequence[Run]) -> Table:
    """Return one line a stage: the main score of every run with last weights and with the best (an oracle).

    Where a test set is scored, the best weights were chosen on the validation set, which makes them no oracle.
    """
    names = labels(runs)
    best = "best (oracle)" if runs[0].shown_role() == "val" else "best on val"
    header = ["row", *(f"{name} {kind}" for name in names for kind in ("last", best))]
    table = Table("Scores in percent", header + (["difference (last)"] if len(runs) == 2 else []))
    for stage, title in stages_of(runs).items():
        rows = [run.row(stage) for run in runs]
        cells = [number(value) for row in rows for value in (_value(row), _value(row, "best"))]
        gap = [difference(_value(rows[0]), _value(rows[1]))] if len(runs) == 2 else []
        table.add(title, *cells, *gap)
    return table.without_empty_columns()


def class_table(runs: Sequence[Run]) -> Table:
    """Return the score of every class and all means, last weights: one line a stage and run, and their difference."""
    classes, means, measure = _score_names(runs)
    header = ["row", "framework", *means, *classes]
    table = Table(f"{measure} of each class in percent, last weights", header, texts=2)
    for stage, title in stages_of(runs).items():
        found = {name: _scores(run.row(stage)) for name, run in zip(labels(runs), runs) if run.row(stage)}
        for name, scores in found.items():
            table.add(title, name, *(number(scores.get(column), 1) for column in [*means, *classes]))
        if len(found) == 2:
            one, other = found.values()
            gaps = (difference(one.get(column), other.get(column), 1) for column in [*means, *classes])
            table.add(title, "difference", *gaps)
        table.end_group()
    return table.without_empty_columns()


def short_table(runs: Sequence[Run], stages: Sequence[str]) -> Table:
    """Return a table for the terminal, one line a class: scores of some stages in every run, and their difference."""
    classes, means, measure = _score_names(runs)
    classes = classes if len(classes) <= _MOST else []
    titles, names = stages_of(runs), [*labels(runs), *(["diff."] if len(runs) == 2 else [])]
    columns = [f"{titles[stage].split(':')[0]}\n{name}" for stage in stages for name in names]
    table = Table(f"{measure} in percent, last weights", ["class", *columns])
    for name in [*classes, *means]:
        cells = []
        for stage in stages:
            values = [_scores(run.row(stage)).get(name) for run in runs]
            cells += [number(value, 1) for value in values] + ([difference(*values, 1)] if len(runs) == 2 else [])
        if any(cell != NOTHING for cell in cells):  # the class occurs
            table.add(name, *cells)
        if name in classes[-1:]:
            table.end_group()
    return table


def published_table(runs: Sequence[Run]) -> Table | None:
    """Return the numbers that the paper states beside ours; None when the configuration holds none."""
    published = runs[0].config.get("published") or []
    if not published:
        return None
    table = Table("Published numbers beside ours", ["row", "metric", "source", "published", *labels(runs)], texts=3)
    classes = class_names(runs)
    for entry in published:
        add_published(table, entry, classes, [_scores(matching_row(run, entry["row"])) for run in runs])
    return table


def add_published(table: Table, entry: Mapping, classes: Sequence[str], ours: Sequence[Mapping]) -> None:
    """Add a number that was published to a table, and behind it those of single classes, where they were too.

    Args:
        table: Its columns are the row, the metric or class, the source, the number, and each of ``ours``.
        entry: As in the section ``published`` of a configuration.
        classes: Names of the classes, in the order of ``per_class``.
        ours: Scores by the names of metrics and classes, in percent; what is missing becomes a dash.
    """
    wanted = {entry["metric"]: entry["value"]} | dict(zip(classes, entry.get("per_class") or ()))
    for name, value in wanted.items():
        table.add(entry["row"], name, entry["source"], number(value), *(number(one.get(name)) for one in ours))


def class_names(runs: Sequence[Run]) -> list[str]:
    """Return the names of the classes that runs were scored on; none where nothing was scored."""
    return _score_names(runs)[0] if any(run.rows for run in runs) else []


def matching_row(run: Run, name: str) -> Row | None:
    """Return the row that a published one is compared with.

    That is the last one for the method's name, else the stage of that title, else the last stage whose title begins
    with it and goes on behind a comma: "source only" is "source only, as IAST trains it", "HIAST" is "HIAST, round 3".
    """
    wanted = name.lower()
    if wanted == run.config["method"]["name"]:
        return run.rows[-1] if run.rows else None
    equal = [row for row in run.rows if row.title.lower() == wanted]
    begun = [row for row in run.rows if row.title.lower().partition(",")[0] == wanted]
    return equal[0] if equal else begun[-1] if begun else None


def pseudo_table(runs: Sequence[Run]) -> Table | None:
    """Return the share of pixels that each pseudo-label pass kept, of these the right ones, and their mIoU, or None."""
    found = [(s, name, m) for name, run in zip(labels(runs), runs) for s, m in run.made.items() if "kept" in m]
    if not found:
        return None
    table = Table("Pseudo-labels", ["stage", "framework", "kept %", "right %", "mIoU"], texts=2)
    for stage, name, made in sorted(found, key=lambda item: item[0]):
        shares = ((share := made.get(key)) and 100 * share for key in ("kept", "precision", "miou"))
        table.add(stage, name, *(number(share) for share in shares))
    return table


def pseudo_class_table(runs: Sequence[Run]) -> Table | None:
    """Return how much of each predicted class the passes kept, and how much of that is right; None without a pass."""
    found = [
        (s, name, m) for name, run in zip(labels(runs), runs) for s, m in run.made.items() if "class_precision" in m
    ]
    if not found:
        return None
    names = class_set(ClassesConfig(**runs[0].config["classes"])).names
    table = Table("Pseudo-labels by class", ["stage", "framework", "percent", *names], texts=3)
    for stage, name, made in sorted(found, key=lambda item: item[0]):
        for what, key in (("kept", "class_kept"), ("right", "class_precision")):
            shares = made.get(key) or []
            if any(share is not None for share in shares):
                table.add(stage, name, what, *(number(share and 100 * share) for share in shares))
    return table if table.rows else None


def labels(runs: Sequence[Run]) -> list[str]:
    """Return a name for each run: its framework; where frameworks repeat, with what sets the runs apart."""
    names, seeds = ({run.config[key] for run in runs} for key in ("name", "seed"))
    if len({run.backend for run in runs}) == len(runs):
        return [run.backend for run in runs]
    if len(seeds) == 1:
        return [f"{run.config['name']} {run.backend}" for run in runs]
    named = ["" if len(names) == 1 else f"{run.config['name']} " for run in runs]
    return [f"{name}{run.backend} seed {run.config['seed']}" for name, run in zip(named, runs)]


def _value(row: Row | None, which: str = "last") -> float | None:
    scores = row and getattr(row, which)
    return scores["value"] if scores else None


def class_scores(record: dict) -> tuple[dict[str, float | None], str]:
    """Return the value of each class in the record of an evaluation, and what it is: "IoU" or "Accuracy"."""
    key = next(key for key in MEASURES if key in record)
    return record[key], MEASURES[key]


def scores_by_name(record: dict) -> dict[str, float | None]:
    """Return the values of the classes and all means in the record of an evaluation."""
    return {**class_scores(record)[0], **record["summary"]}


def _scores(row: Row | None) -> dict[str, float | None]:
    """Return the values of the classes and all means by name; empty for what was not scored."""
    return scores_by_name(row.last) if row else {}


def _score_names(runs: Sequence[Run]) -> tuple[list[str], list[str], str]:
    """Return the names of the classes, those of the means, and what is measured."""
    record = next(row.last for run in runs for row in run.rows)
    values, measure = class_scores(record)
    return list(values), list(record["summary"]), measure
