"""A run that is cut in the middle of a stage and goes on on the other framework: what the tests of rung P5 share."""

import signal
from pathlib import Path

import numpy as np
from rich.console import Console

from common import checkpoint
from common.config import Config, dump, load_config
from common.data.roles import open_roles
from common.engine import Engine
from common.log import RunLog
from common.methods import stages
from common.run_folder import RunFolder
from common.stop import Stopped, StopSignal
from convert.folder import convert_folder
from convert.reading import read
from convert.single import convert_file
from tests.compare import assert_close
from tests.tolerances import GRADIENT

STEPS, HALF = 4, 2
OTHER = {"torch": "mindspore", "mindspore": "torch"}


def train(config: Config, backend, place: Path, resume: bool = False, stop_after: int | None = None) -> None:
    """Run all stages; stop politely after ``stop_after`` steps of this call."""
    folder = RunFolder(place)
    folder.open(dump(config), "test", resume, overwrite=False)
    log = RunLog(folder, Console(quiet=True))
    engine = Engine(config, backend, stages(config), open_roles(config, checked=False), folder, log)
    engine.stop = StopAfter(backend, stop_after)
    try:
        engine.run()
    except Stopped:
        assert stop_after is not None
    finally:
        log.journal.close()
        folder.close()


def hand_over(config: Config, backends: dict, trained: tuple[str, ...], stage: str, first: str, place: Path) -> Path:
    """Train until the middle of a stage, convert the run, and end it on the other framework, running nothing twice.

    Args:
        config: Of the run.
        backends: Both, by name.
        trained: The stages that train, in order.
        stage: Where the run is cut, one of them.
        first: Framework that begins.
        place: Holds a folder for the run on each framework, called like it.
    Returns:
        The folder of the run that ended.
    """
    before, after, number = place / first, place / OTHER[first], trained.index(stage)
    steps = {one.name: one.steps for one in stages(config)}
    earlier = sum(steps[name] for name in trained[:number])
    train(config, backends[first], before, stop_after=earlier + steps[stage] // 2)
    convert_folder(before, after)
    config = load_config(after / "config.yaml")  # names the converted files
    train(config, backends[OTHER[first]], after, resume=True)
    done = [checkpoint.read_json(after / f"stages/{name}/done.json")["backend"]["name"] for name in trained]
    assert done == [first] * number + [OTHER[first]] * (len(trained) - number)  # nothing finished ran again
    return after


class StopAfter(StopSignal):
    """Asks for a stop after a number of steps, as a signal would."""

    def __init__(self, backend, steps: int | None):
        super().__init__(backend)
        self.left = steps

    def asked(self, together: bool) -> int:
        if self.left is not None:
            self.left -= 1
        return signal.SIGTERM if self.left == 0 else 0


def final(place: Path, trained: tuple[str, ...], parts: tuple[str, ...] = ("model", "ema")) -> dict[str, np.ndarray]:
    """Return the weights that the stages of a finished run left, under PyTorch's names: ``stage/part/name``."""
    result = {}
    for stage in trained:
        (folder,) = checkpoint.steps(place / "stages" / stage / "checkpoints")
        for path in [path for part in parts for path in folder.glob(f"{part}.*")]:
            target = place / f"{path.stem}.safetensors"
            convert_file(path, target)
            result |= {f"{stage}/{path.stem}/{name}": np.array(a) for name, a in read(target).weights.items()}
    return {name: array for name, array in result.items() if "num_batches" not in name}


def compare(got: dict, want: dict, start: dict) -> None:
    """Compare the changes since the start, each by the largest of its tensor."""
    assert set(got) == set(want) and {name.rpartition("/")[2] for name in want} == set(start)
    for name, array in want.items():
        first = start[name.rpartition("/")[2]]
        assert_close(name, got[name] - first, array - first, GRADIENT)
