"""Reads run folders: what was trained, how it scored, how the losses went, which pictures were kept."""

from dataclasses import dataclass, field
from pathlib import Path

import yaml

from common.errors import UserError
from common.log import read_journal
from common.pseudo.statistics import course
from common.run_folder import RunFolder

_NOT_CURVES = ("step", "time", "seconds", "data_seconds", "memory_gib", "eta_seconds", "lr")


@dataclass
class Row:
    """One finished stage that was scored.

    Attributes:
        stage: Name of the stage.
        title: What a reader sees.
        last: Scores of the last weights, as ``Evaluation.record`` gives them.
        best: The same of the weights that scored best on target labels (an oracle); None when nobody looked.
        seconds: How long the stage took.
        steps: Optimizer steps.
        examples: Folder with kept predictions ``INDEX.png`` (classification: ``INDEX.json``), if there are any.
    """

    stage: str
    title: str
    last: dict
    best: dict | None
    seconds: float
    steps: int
    examples: Path


@dataclass
class Run:
    """One run folder.

    Attributes:
        path: The folder.
        config: The resolved configuration, as plain values.
        backend: Name of the framework.
        versions: Versions and device.
        rows: Scored stages in the order of the run.
        made: What stages that wrote files said of them: stage -> values.
        curves: Stage -> name of a value -> points (step, value).
    """

    path: Path
    config: dict
    backend: str
    versions: dict
    rows: list[Row] = field(default_factory=list)
    made: dict[str, dict] = field(default_factory=dict)
    curves: dict[str, dict[str, list[tuple[float, float]]]] = field(default_factory=dict)

    def shown_role(self) -> str:
        """Return the role of the images whose scores are reported: "test" where there is a test set, else "val"."""
        return "test" if self.config["data"].get("test") else "val"

    def row(self, stage: str) -> Row | None:
        """Return the row of a stage, or None."""
        return next((row for row in self.rows if row.stage == stage), None)


def read_run(path: Path) -> Run:
    """Read a run folder.

    Raises:
        UserError: If it is none, or no stage of it is finished.
    """
    folder = RunFolder(path)
    if not folder.exists():
        raise UserError(f"{path}: not a run folder, it has no config.yaml (runs/NAME/BACKEND is one)")
    config = yaml.safe_load((path / "config.yaml").read_text(encoding="utf-8"))
    run = Run(path, config, path.name, {}, curves=_curves(folder.metrics))
    for name, title in folder.plan().items():
        place = folder.stage(name)
        marker = place.done()
        if marker is None:
            continue
        run.versions = dict(marker["backend"])
        run.backend = run.versions.pop("name")
        if marker.get("made"):
            run.made[name] = marker["made"]
            if found := course(place.files):
                run.curves[name] = found
        if marker["scores"]:
            last, best = marker["scores"]["last"], marker["scores"]["best"]
            kept = place.examples / run.shown_role()
            run.rows.append(Row(name, title, last, best, marker["seconds"], marker["steps"], kept))
    if not run.versions:
        raise UserError(f"{path}: no stage is finished yet; continue the run with --resume")
    return run


def _curves(metrics: Path) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Return the curves of every stage; times, rates and marks are left out."""
    curves: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for entry in read_journal(metrics):
        for name, value in entry.items():
            if isinstance(value, int | float) and not isinstance(value, bool) and name not in _NOT_CURVES:
                points = curves.setdefault(entry["stage"], {}).setdefault(name, [])
                points.append((entry["step"], value))
    return curves
