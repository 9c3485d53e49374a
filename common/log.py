"""What a run says while it works: one line for people, one for programs, curves for TensorBoard.

    round1/region 1200/4000  loss 0.412  main 0.388  lr 1.7e-4  0.31 s (data 0.01)  9.8 GiB  eta 0:14:28

The same numbers go to ``metrics.jsonl``, one JSON object a line, and to ``tensorboard/STAGE``.
"""

import json
import math
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from common import checkpoint
from common.pictures import write_png
from common.run_folder import RunFolder
from common.tensorboard import EventFile, write_all

LOG_WIDTH = 200  # columns of tables in a log file
SHARES = ("kept",)  # values in [0, 1] that read better in percent


@dataclass(frozen=True)
class Pace:
    """How fast a stage runs: seconds a step, those of them spent waiting for data, peak memory in GiB."""

    seconds: float
    data_seconds: float
    memory_gib: float


def format_line(stage: str, step: int, steps: int, values: Mapping[str, float], lr: float, pace: Pace) -> str:
    """Return the line for people; ``values`` are losses and shares in the order in which they are shown.

    Those by class, ``PART/CLASS``, are for programs alone.
    """
    shown = [f"{stage} {step}/{steps}", *(f"{n} {_number(n, value)}" for n, value in values.items() if "/" not in n)]
    shown.append(f"lr {_scientific(lr)}")
    shown.append(f"{pace.seconds:.2f} s (data {pace.data_seconds:.2f})")
    shown.append(f"{pace.memory_gib:.1f} GiB")
    shown.append(f"eta {format_seconds((steps - step) * pace.seconds)}")
    return "  ".join(shown)


def format_seconds(seconds: float) -> str:
    """Return ``h:mm:ss``; hours may have any number of digits."""
    minutes, second = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{second:02}"


def _number(name: str, value: float) -> str:
    if name in SHARES:
        return f"{100 * value:.1f}%"
    return f"{value:.3f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else _scientific(value)


def _scientific(value: float) -> str:
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


class Journal:
    """``metrics.jsonl``: one JSON object a line, in the order of the run."""

    def __init__(self, path: Path):
        self._path = path
        self._file: FileIO | None = None

    def write(self, entry: dict) -> None:
        """Append one entry and hand it to the operating system.

        Raises:
            UserError: If the disk refuses; what was written before stays.
        """
        whole = {name: _json_number(value) for name, value in entry.items()}
        with checkpoint.naming(self._path):
            self._file = self._file or self._path.open("ab", buffering=0)
            write_all(self._file, json.dumps({**whole, "time": round(time.time(), 3)}).encode() + b"\n")

    def rewind(self, stage: str, step: int) -> None:
        """Drop what ``stage`` wrote after ``step`` or after training, and a last line that was torn by a kill."""
        self.close()
        if not self._path.exists():
            return
        part = self._path.with_name(f".{self._path.name}.part")
        with self._path.open(encoding="utf-8", errors="replace") as old, part.open("w", encoding="utf-8") as new:
            new.writelines(line for line in old if _keeps(line, stage, step))
        os.replace(part, self._path)

    def sync(self) -> None:
        """Wait until everything is on the disk."""
        if self._file:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; the next ``write`` opens it again."""
        if self._file:
            self._file.close()
            self._file = None


def read_journal(path: Path) -> list[dict]:
    """Return the whole entries of a ``metrics.jsonl``; empty when there is no such file."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [entry for entry in map(_parse, lines) if entry is not None]


def _parse(line: str) -> dict | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _keeps(line: str, stage: str, step: int) -> bool:
    entry = _parse(line)
    if entry is None or not line.endswith("\n"):
        return False
    return entry.get("stage") != stage or (entry["step"] <= step and not entry.get("final"))


def _json_number(value: object) -> object:
    """JSON has no NaN (the score of an absent class): null stands for it."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


class RunLog:
    """Console, journal and curves of a run; on other ranks than 0 it does nothing."""

    def __init__(self, folder: RunFolder | None, console: Console | None = None):
        """Write to ``folder``; None makes a silent log."""
        self._folder = folder
        self.journal = Journal(folder.metrics) if folder else None
        width = None if sys.stdout.isatty() else LOG_WIDTH
        self.console = console or Console(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False)

    def note(self, line: str) -> None:
        """Print a line."""
        if self._folder:
            self.console.print(line, soft_wrap=True)

    def warn(self, line: str) -> None:
        """Print a warning."""
        self.note(f"warning: {line}")

    def stage(self, name: str, step: int, steps: int) -> "StageLog":
        """Return the log of a stage that begins after ``step`` of ``steps``; what it wrote later before is dropped."""
        curves = self._folder and self._folder.tensorboard / name
        if self._folder:
            self.journal.rewind(name, step)
            if step == 0:
                checkpoint.remove(curves)
        return StageLog(self, name, step, steps, curves)


class StageLog:
    """The log of one stage: a progress bar on a terminal, plain lines elsewhere."""

    def __init__(self, run: RunLog, name: str, step: int, steps: int, curves: Path | None):
        self._run, self._name, self._steps = run, name, steps
        self._curves = EventFile(curves, step + 1 if step else 0) if curves else None
        self._bar = self._task = None
        if curves and run.console.is_terminal:
            self._bar = Progress(BarColumn(20), TextColumn("{task.description}"), console=run.console, transient=True)
            self._task = self._bar.add_task(f"{name} {step}/{steps}", total=steps, completed=step)

    def __enter__(self) -> "StageLog":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()
        if self._curves:
            self._curves.close()
            self._run.journal.close()

    def advance(self, step: int) -> None:
        """Move the bar to ``step``."""
        if self._bar:
            self._bar.update(self._task, completed=step)

    def losses(self, step: int, values: Mapping[str, float], lr: float, pace: Pace) -> None:
        """Report the means of an interval that ends after ``step``."""
        line = format_line(self._name, step, self._steps, values, lr, pace)
        if self._bar:
            self._bar.update(self._task, completed=step, description=line)
        else:
            self._run.note(line)
        eta = round((self._steps - step) * pace.seconds, 1)
        times = {"seconds": round(pace.seconds, 4), "data_seconds": round(pace.data_seconds, 4)}
        self._write(step, {**values, "lr": lr, **times, "memory_gib": round(pace.memory_gib, 3), "eta_seconds": eta})
        self._draw(step, {**values, "lr": lr})

    def scores(self, step: int, scores: Mapping[str, float], final: bool = False) -> None:
        """Report scores in percent of the weights after ``step``; ``final`` marks those after training."""
        shown = "  ".join(f"{name} {value:.2f}" for name, value in scores.items() if math.isfinite(value))
        self._run.note(f"{self._name} {step}/{self._steps}  {shown}")
        self._write(step, {**scores, **({"final": True} if final else {})})
        self._draw(step, scores)

    def picture(self, step: int, picture: np.ndarray, folder: Path) -> None:
        """Keep a picture, (H, W, 3) uint8 RGB, of the weights after ``step``: in a folder, and beside the curves."""
        if self._curves:
            path = folder / f"step-{step:06d}.png"
            write_png(path, picture)
            with checkpoint.naming(self._curves.path):
                self._curves.picture(step, "pictures", path.read_bytes(), (picture.shape[1], picture.shape[0]))

    def sync(self) -> None:
        """Wait until what was reported is on the disk; before a checkpoint, so that it never is ahead of the log."""
        if self._curves:
            self._run.journal.sync()

    def _write(self, step: int, values: Mapping[str, object]) -> None:
        if self._curves:
            self._run.journal.write({"stage": self._name, "step": step, **values})

    def _draw(self, step: int, values: Mapping[str, float]) -> None:
        if self._curves:
            with checkpoint.naming(self._curves.path):
                self._curves.scalars(step, values)
