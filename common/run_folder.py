"""What lies where in a run folder, and when a stage counts as finished.

config.yaml  command.txt  plan.json  metrics.jsonl  tensorboard/  report/
examples/ROLE/{input,truth}/...        a few validation or test images, for the report
stages/STAGE/checkpoints/step-000300/{model.pth, optimizer.pth, state.json, manifest.json}
stages/STAGE/best/step-000200/...      weights that scored best on target labels (oracle)
stages/STAGE/snapshots/step-000200/... weights of a moment that a later stage refers to
stages/STAGE/pictures/step-000200.png  what the networks have learnt so far, where the stage shows it
stages/STAGE/examples/ROLE/...         predictions of them
stages/STAGE/files/...                 what the stage's pass over data made, for example pseudo-labels
stages/STAGE/done.json                 written last: digest of the inputs, digests of the outputs, scores
"""

import fcntl
import json
import shutil
from hashlib import sha256
from pathlib import Path
from typing import TextIO

from common import checkpoint
from common.errors import UserError


class StageFolder:
    """The folder of one stage."""

    def __init__(self, path: Path):
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.best = path / "best"
        self.snapshots = path / "snapshots"
        self.files = path / "files"
        self.examples = path / "examples"
        self.pictures = path / "pictures"
        self._done = path / "done.json"
        self._inputs = path / "inputs.json"

    def done(self) -> dict | None:
        """Return what the marker of a finished stage says, or None when the stage is not finished."""
        return checkpoint.read_json(self._done) if self._done.exists() else None

    def inputs(self) -> dict | None:
        """Return the inputs with which the stage was begun, or None when it never was."""
        return checkpoint.read_json(self._inputs) if self._inputs.exists() else None

    def begin(self, inputs: dict) -> None:
        """Make the folder ready for a stage with these inputs; what a stage with other inputs left is removed."""
        if self.inputs() != inputs:
            checkpoint.remove(self.path)
            self.path.mkdir(parents=True)
            checkpoint.write_text(self._inputs, json.dumps(inputs, indent=1))

    def finish(self, marker: dict) -> None:
        """Write the marker that makes the stage finished."""
        checkpoint.write_text(self._done, json.dumps(marker, indent=1))

    def handed_on(self, which: str) -> Path:
        """Return the checkpoint that a finished stage hands on.

        Args:
            which: ``"last"``; ``"best"``: the one with the best score, the last where none was scored; or the step of
                a snapshot.
        Raises:
            UserError: If there is no whole checkpoint.
        """
        if which.isdigit():
            folder = self.snapshots / checkpoint.name_of(int(which))
            if folder not in checkpoint.steps(self.snapshots):
                raise UserError(f"{folder}: no such snapshot; run the stage again without its done.json")
            return folder
        best = checkpoint.steps(self.best)
        folder = best[-1] if which == "best" and best else checkpoint.newest(self.checkpoints, _ignore)
        if folder is None:
            raise UserError(f"{self.checkpoints}: no whole checkpoint; run the stage again without its done.json")
        return folder


class RunFolder:
    """The folder of one run on one backend; one process at a time may write to it."""

    def __init__(self, path: Path):
        self.path = path
        self.metrics = path / "metrics.jsonl"
        self.tensorboard = path / "tensorboard"
        self.report = path / "report"
        self.examples = path / "examples"
        self._lock: TextIO | None = None

    def stage(self, name: str) -> StageFolder:
        """Return the folder of the stage ``name``."""
        return StageFolder(self.path / "stages" / name)

    def exists(self) -> bool:
        """Whether a run was begun here."""
        return (self.path / "config.yaml").exists()

    def open(self, config: str, command: str, resume: bool, overwrite: bool) -> None:
        """Begin or continue a run: lock the folder, clear up after a killed writer, save config and command.

        Args:
            config: The resolved configuration as YAML.
            command: The command line, appended to ``command.txt``.
            resume: Continue what is there.
            overwrite: Remove what is there.
        Raises:
            UserError: If a run is there and neither flag was given, or another process is at work in it.
        """
        if self.exists() and not resume and not overwrite:
            raise UserError(f"{self.path}: holds a run; add --resume to continue it, --overwrite or another --out")
        with checkpoint.naming(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self._take_lock()
        if overwrite:
            for path in (self.path / "stages", self.tensorboard, self.report):
                checkpoint.remove(path)
            for path in (self.metrics, self.path / "command.txt"):
                path.unlink(missing_ok=True)
        checkpoint.sweep(self.path)
        checkpoint.write_text(self.path / "config.yaml", config)
        with checkpoint.naming(self.path), (self.path / "command.txt").open("a", encoding="utf-8") as file:
            file.write(command + "\n")

    def write_plan(self, titles: dict[str, str]) -> None:
        """Save the names and titles of all stages, in order."""
        checkpoint.write_text(self.path / "plan.json", json.dumps(titles, indent=1))

    def plan(self) -> dict[str, str]:
        """Return name -> title of all stages, in order."""
        return checkpoint.read_json(self.path / "plan.json")

    def close(self) -> None:
        """Let go of the folder."""
        if self._lock:
            self._lock.close()
            self._lock = None

    def _take_lock(self) -> None:
        self._lock = (self.path / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{self.path}: another process is training in this folder") from None
        except OSError:  # some network file systems know no locks; then nothing guards the folder
            pass


def digest_of(inputs: dict) -> str:
    """Return the SHA-256 digest of a JSON object, whatever the order of its keys."""
    return sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def differences(old: dict, new: dict, prefix: str = "") -> list[str]:
    """Return the dotted names of the entries in which two nested dictionaries differ."""
    names = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            names += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            names.append(f"{prefix}{key}")
    return names


def free_gib(path: Path) -> float:
    """Return the free space of the disk that holds ``path`` or its nearest existing parent, GiB."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free / 2**30


def _ignore(line: str) -> None:
    """Take no notice of a damaged checkpoint: the one before it does as well or there is none."""
