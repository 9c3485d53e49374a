"""Writes the report folder: ``report.md``, ``index.html`` (nothing outside it is needed) and ``pictures/``."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

import numpy as np

from common.checkpoint import publish
from common.data.labels import ClassSet, class_set
from common.pictures import coloured, errors, legend, png, read_png, sheet
from common.report import results
from common.report.chart import line_chart
from common.report.class_pictures import class_sheets
from common.report.collect import Row, Run
from common.report.seeds import seed_table
from common.report.tables import Table
from common.schema import ClassesConfig

_ENLARGED = 3  # times as large are pictures of what was learnt, whose images are small
_FEW = 4  # rows that a terminal shows side by side, of two runs
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 1500px; padding: 0 1em; color: #222; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .5em 0 1.5em; font-variant-numeric: tabular-nums; font-size: 13px; }
th, td { padding: 3px 8px; border-bottom: 1px solid #e4e4e4; white-space: nowrap; }
th { text-align: left; border-bottom: 2px solid #888; }
td.number { text-align: right; }
tr.end td { border-bottom: 1px solid #888; }
img { max-width: 100%; }
code { background: #f2f2f2; padding: 1px 4px; }
"""


def write_report(runs: Sequence[Run], folder: Path) -> None:
    """Write the report of one run, or of several side by side; an older report in the folder is replaced.

    Args:
        runs: Finished runs, for example of one configuration on either framework.
        folder: The report folder.
    """

    def fill(part: Path) -> None:
        images = dict(_pictures(runs))
        (part / "pictures").mkdir()
        for name, image in images.items():
            (part / "pictures" / f"{name}.png").write_bytes(png(image))
        (part / "report.md").write_text(_markdown(runs, images), encoding="utf-8")
        (part / "index.html").write_text(_html(runs, images), encoding="utf-8")

    publish(folder, fill)


def main_stages(runs: Sequence[Run]) -> list[str]:
    """Return the stages that a short view shows: the baselines and the last row of the method; all, if they are few."""
    stages = list(results.stages_of(runs))
    baselines = [name for name in stages if name.startswith(results.BASELINES)]
    if baselines and len(stages) <= _FEW:
        return stages
    return list(dict.fromkeys([*baselines, *stages[-1:]]))


def _tables(runs: Sequence[Run]) -> list[Table]:
    """Return the tables that have something to say."""
    further = seed_table, results.published_table, results.pseudo_table, results.pseudo_class_table
    scored = [results.summary_table(runs), results.class_table(runs)] if results.stages_of(runs) else []
    return [*scored, *filter(None, (table(runs) for table in further))]


def _pictures(runs: Sequence[Run]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (file name, picture): predictions beside input and truth, where they err, and the curves."""
    config = runs[0].config
    shown = [name for name in main_stages(runs) if name not in ("baselines/joint", "baselines/target_only")]
    titles = results.stages_of(runs)
    found = {f"{titles[name]}, {run.backend}": run.row(name) for name in shown for run in runs if run.row(name)}
    columns = {caption: row for caption, row in found.items() if row.examples.is_dir()}
    sheets, suffix = (class_sheets, ".json") if config["task"] == "classification" else (_sheets, ".png")
    kept = sorted((runs[0].path / "examples" / runs[0].shown_role() / "input").glob("*.png"))
    # Stages that trained in another number of processes kept other images
    inputs = [one for one in kept if all((row.examples / f"{one.stem}{suffix}").is_file() for row in columns.values())]
    if inputs and columns:
        yield from sheets(inputs, columns, class_set(ClassesConfig(**config["classes"])))
    yield from _made(runs)
    yield from _learnt(runs)
    yield from _charts(runs)


def _sheets(inputs: Sequence[Path], columns: dict[str, Row], classes: ClassSet) -> Iterator:
    """Yield the sheets of predictions and of their errors, one example a row, one stage of a run a column."""
    captions = ["input", "truth", *columns]
    palette, painted, wrong = classes.palette(), [], []
    for path in inputs:
        image, truth = read_png(path), read_png(path.parents[1] / "truth" / path.name)
        found = [read_png(row.examples / path.name) for row in columns.values()]
        painted.append([image, *(coloured(labels, palette) for labels in (truth, *found))])
        wrong.append([image, coloured(truth, palette), *(errors(labels, truth) for labels in found)])
    yield "predictions", sheet(painted, captions)
    yield "legend", legend(classes.names, palette)
    yield "errors", sheet(wrong, captions)


def _made(runs: Sequence[Run]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the pictures that stages put beside their files."""
    for name, run in zip(results.labels(runs), runs):
        for stage in run.made:
            for path in sorted((run.path / "stages" / stage / "files" / "pictures").glob("*.png")):
                yield f"{stage.replace('/', '-')}-{path.stem}-{name.replace('/', '-')}", read_png(path)


def _learnt(runs: Sequence[Run]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield what stages showed of their networks while they learnt: at first, half-way and at the end."""
    for name, run in zip(results.labels(runs), runs):
        folders = sorted({path.parent for path in (run.path / "stages").glob("**/pictures/step-*.png")})
        for folder in folders:
            shown, stage = sorted(folder.glob("step-*.png")), folder.parent.relative_to(run.path / "stages")
            for path in dict.fromkeys((shown[0], shown[len(shown) // 2], shown[-1])):
                title = f"{str(stage).replace('/', '-')}-{path.stem}-{name.replace('/', '-')}"
                yield title, read_png(path).repeat(_ENLARGED, 0).repeat(_ENLARGED, 1)


def _charts(runs: Sequence[Run]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield a chart of the loss of every stage, and of its main score where it was scored on its way."""
    stages = list(dict.fromkeys(stage for run in runs for stage in run.curves))
    for stage in stages:
        for value in ("loss", *(name for name in runs[0].curves.get(stage, {}) if name.startswith(results.CHARTED))):
            series = {
                name: run.curves.get(stage, {}).get(value, []) for name, run in zip(results.labels(runs), runs)
            }
            longest = max(map(len, series.values()))
            if longest > 1 or (longest and value == "loss"):
                yield f"{stage.replace('/', '-')}-{value}", line_chart(f"{stage}: {value}", series)


def _facts(runs: Sequence[Run]) -> list[str]:
    """Return what a reader must know of each run: configuration, seed, versions, device, time."""
    lines = []
    for name, run in zip(results.labels(runs), runs):
        config, minutes = run.config, sum(row.seconds for row in run.rows) / 60
        versions = ", ".join(f"{key} {value}" for key, value in run.versions.items())
        network = config["network"]["name"]
        if depth := config["network"].get("depth"):
            network += f"-{depth}" if network == "resnet" else f" on ResNet-{depth}"
        lines.append(f"{name}: {config['name']}, seed {config['seed']}, {network}, {minutes:.1f} min; {versions}")
    return lines


def _title(runs: Sequence[Run]) -> str:
    return f"{runs[0].config['name']} on {' and '.join(dict.fromkeys(run.backend for run in runs))}"


def _markdown(runs: Sequence[Run], images: dict[str, np.ndarray]) -> str:
    parts = [f"# {_title(runs)}", "\n".join(f"- {line}" for line in _facts(runs))]
    parts += [f"## {table.title}\n\n{table.markdown()}" for table in _tables(runs)]
    parts.append("## Pictures and curves\n\n" + "\n".join(f"![{name}](pictures/{name}.png)" for name in images))
    return "\n\n".join(parts) + "\n"


def _html(runs: Sequence[Run], images: dict[str, np.ndarray]) -> str:
    facts = "".join(f"<li>{escape(line)}</li>" for line in _facts(runs))
    tables = "".join(f'<h2>{escape(t.title)}</h2><div class="wide">{t.html()}</div>' for t in _tables(runs))
    shown = "".join(
        f'<img alt="{escape(name)}" src="data:image/png;base64,{b64encode(png(image)).decode()}">\n'
        for name, image in images.items()
    )
    head = f'<meta charset="utf-8"><title>{escape(_title(runs))}</title><style>{_STYLE}</style>'
    body = f"<h1>{escape(_title(runs))}</h1><ul>{facts}</ul>{tables}<h2>Pictures and curves</h2>{shown}"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'
