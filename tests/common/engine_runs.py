"""Small runs of the engine on a backend without a framework, for the tests of what the engine does."""

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from common.checkpoint import read_json
from common.config import Config
from common.draws import generator
from common.engine import Engine
from common.log import RunLog, read_journal
from common.pictures import write_png
from common.run_folder import RunFolder
from common.stage import Stage
from tests.fake_backend import FakeBackend, FakeDataset

STEPS = 12


def config(**changes) -> Config:
    """A configuration with the engine's settings and whatever else the schema asks for."""
    tree = {
        "name": "fake",
        "data": {"val": {"layout": "folders", "root": "nowhere"}, "workers": 0},
        "classes": {"set": "custom", "names": ["red", "green", "blue"]},
        "method": {"name": "supervised"},
        "optim": {"lr": 0.1},
        "train": {"log_every": 4, "checkpoint_every": 3, "evaluate_every": 5, "batch_size": 2},
    }
    for name, value in changes.items():
        section, key = name.split("__")
        tree.setdefault(section, {})[key] = value
    return Config.model_validate(tree)


def data(seed: int = 0) -> SimpleNamespace:
    """Datasets by role."""
    return SimpleNamespace(source=FakeDataset(9, seed), target=FakeDataset(7, seed + 1), val=FakeDataset(5, seed + 2))


def stage_batches(context, role: str):
    """Two images a step and rank, drawn by position."""

    def batch(step: int) -> dict:
        dataset = getattr(context.data, role)
        rng = generator(context.config.seed, context.stage, step * context.world + context.rank)
        picked = rng.integers(len(dataset), size=context.config.train.batch_size)
        images = np.stack([dataset.image(i).transpose(2, 0, 1) for i in picked])
        return {"image": images, "label": np.stack([dataset.label(i) for i in picked]).astype(np.int32)}

    return batch


def write_labels(context, predictor) -> dict:
    """Label the target set."""
    for index in range(len(context.data.target)):
        image = context.data.target.image(index)
        labels = predictor.labels(image.transpose(2, 0, 1)[None], image.shape[:2])[0]
        write_png(context.folder / "city" / f"{index}.png", labels)
    return {"kept": 0.5, "precision": None}


def stages(steps: int = STEPS, settings: dict | None = None) -> list[Stage]:
    """A teacher, a student beside the frozen teacher, a pass that labels, and a stage that reads the labels."""
    source, target = partial(stage_batches, role="source"), partial(stage_batches, role="target")
    return [
        Stage("teacher", "teacher", "fake", steps, source, settings=settings or {}),
        Stage("student", "student", "fake", steps, target, start="teacher", frozen={"teacher": "teacher"}),
        Stage("labels", "labels", produce=write_labels, frozen={"student": "student"}, score=False),
        Stage("again", "student again", "fake", steps, target, reads=("labels",)),
    ]


def run(out: Path, settings: Config | None = None, plan: list[Stage] | None = None, **options) -> FakeBackend:
    """One run or its continuation; returns the backend, which counts its steps."""
    backend = options.pop("backend", None) or FakeBackend(poison_at=options.pop("poison_at", None))
    folder, settings = RunFolder(out), settings or config()
    folder.open("config: here", "command", resume=options.pop("resume", True), overwrite=False)
    try:
        roles = options.pop("roles", None) or data()
        engine = Engine(settings, backend, plan or stages(), roles, folder, RunLog(folder))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("common.examples.WIDTH", 40)  # pixels; these tests write thousands of pictures
            engine.run(options.pop("wanted", "*"))
    finally:
        folder.close()
    return backend


def final_state(out: Path) -> dict[str, bytes]:
    """Everything of a finished run that must not depend on how it was cut: weights, moments, memory, files, scores."""
    found = {}
    for path in sorted((out / "stages").rglob("*")):
        if path.suffix in (".npz", ".png"):
            found[str(path.relative_to(out))] = path.read_bytes()
        if path.name == "done.json":
            kept = {key: read_json(path)[key] for key in ("outputs", "scores", "digest")}
            found[str(path.relative_to(out))] = json.dumps(kept).encode()
    return found


def losses(out: Path) -> list[tuple]:
    """What metrics.jsonl says, without times."""
    kept = ("stage", "step", "loss", "main", "scale", "lr", "mIoU", "accuracy", "final")
    return [tuple(entry.get(key) for key in kept) for entry in read_journal(out / "metrics.jsonl")]
