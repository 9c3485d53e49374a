"""AuG-KD cut in each of its modules: resumed to the bit, handed over to the other framework, and in two processes."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from common import checkpoint
from common.config import load_config
from convert.folder import convert_folder
from tests.e2e.classes import SIZE, write_config, write_data
from tests.e2e.handover import OTHER, train
from tests.e2e.runs import eager, launch
from tests.tolerances import GRADIENT

pytestmark = pytest.mark.slow
STEPS, RATE = 2, 0.02
STAGES = ("teacher", "datafree", "anchor", "mixup")
CUTS = [number * STEPS + 1 for number in (1, 2, 3)]  # in the middle of each module
SMOOTH = {"name": "resnet", "depth": 10, "width": 4, "stem": "small", "activation": "softplus"}
STUDENT = {**SMOOTH, "freeze_bn_stats": True}  # or each of several processes has statistics of its own
METHOD = {
    "name": "augkd",
    "latent_size": 6,
    "latent_width": 4,
    "image_size": SIZE[0],
    "teacher": {"network": SMOOTH, "steps": STEPS, "lr": RATE},
    "datafree": {"epochs": 1, "iterations": STEPS, "inner": 1, "generator_lr": RATE, "encoder_lr": RATE}
    | {"judge_batches": 1},
    "anchor": {"steps": STEPS, "epochs": 1, "lr": RATE},
    "mixup": {"steps": STEPS, "epochs": 2, "b": 0.4},
}
OPTIM = {"name": "adam", "lr": RATE, "eps": 1.0, "weight_decay": 1e-3}  # with its own eps it steps by signs of noise
SILENT = (  # biases before a BatchNorm, which have no gradient but noise
    *("datafree/encoder/embed_data.bias", "datafree/encoder/encoder.5.0.bias"),
    *("anchor/model/embed_class.bias", "anchor/model/mask."),  # three linear layers one upon the other
    *(f"anchor/model/module.{index}.bias" for index in (1, 4, 7)),
)


def written(root: Path, batch: int) -> Path:
    """Write a configuration of all modules and return its file; every module is scored and shown at its end alone."""
    sized = {"layout": "class_folders", "size": list(SIZE)}
    real, sketch = ({**sized, "root": str(root / "data" / domain)} for domain in ("real", "sketch"))
    data = {"source": real, "target": None, "labelled": {**sketch, "every": 2}, "test": None}
    data["val"] = {**sketch, "every": 2, "offset": 1}
    sections = {"data": data, "network": STUDENT, "optim": OPTIM, "method": METHOD, "baselines": []}
    train = {"steps": STEPS, "batch_size": batch, "evaluate_every": STEPS}
    return write_config(root / "own.yaml", root / "data", train=train, **sections)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """The folder of the data and of configurations."""
    root = tmp_path_factory.mktemp("classes")
    write_data(root / "data")
    return root


@pytest.fixture(scope="module")
def config(root):
    return load_config(written(root, batch=4))


@pytest.fixture(scope="module")
def whole(config, backends, tmp_path_factory) -> dict[str, Path]:
    """Return the folders of uninterrupted runs."""
    places = {name: tmp_path_factory.mktemp("whole") / name for name in backends}
    for name, place in places.items():
        train(config, backends[name], place)
    return places


def parts(run: Path, backend, stages: tuple[str, ...] = STAGES) -> dict[str, np.ndarray]:
    """Return every number of the last checkpoints of a run: weights and statistics, and the optimizers' moments."""
    found = {}
    for stage in stages:
        *_, last = checkpoint.steps(run / "stages" / stage / "checkpoints")
        loaded = checkpoint.load(backend, last)[0]
        found |= {f"{stage}/{part}/{key}": value for part, one in loaded.items() for key, value in one.items()}
    return {name: value for name, value in found.items() if "num_batches" not in name}  # PyTorch's alone


def compare(got: dict[str, np.ndarray], want: dict[str, np.ndarray]) -> None:
    """Compare weights by how far Adam has gone where it went farthest, everything else by the largest of its part."""
    assert got.keys() == want.keys()
    for name, array in want.items():
        if name.startswith(SILENT) and name.endswith(".bias") and name != "anchor/model/mask.3.bias":
            continue
        part = name.rpartition("/")[0]
        weight = "optimizer" not in name and "running_" not in name and "moving_" not in name
        stage, _, network = part.partition("/")
        optimizer = "optimizer" if network == "model" else f"optimizer_{network}"
        first = tuple(f"{stage}/{optimizer}/{slot}." for slot in ("exp_avg", "moment1"))
        measure = first if weight else f"{part}/"
        scale = max(float(np.abs(one).max()) for key, one in want.items() if key.startswith(measure))
        # A first moment is a fifth of the gradients; steps are shorter than the rate where they are below eps
        bound = GRADIENT * (RATE * STEPS * min(1.0, 5.0 * scale) if weight else scale)
        gap = float(np.abs(got[name].astype(np.float64) - array).max())
        assert gap <= bound, f"{name}: {gap:.1e} > {bound:.1e}"


def test_whole_runs_agree(whole, backends, tmp_path):
    convert_folder(whole["mindspore"], tmp_path / "torch")
    got, want = (parts(place, backends["torch"]) for place in (tmp_path / "torch", whole["torch"]))
    assert {name.split("/")[1] for name in want} == {
        *("model", "optimizer"), *("generator", "optimizer_generator", "encoder", "optimizer_encoder"),
    }  # fmt: skip
    compare(got, want)


def test_cut_in_every_module_it_is_resumed_to_the_bit(config, backends, whole, tmp_path):
    for cut in (CUTS[0], STEPS, STEPS):  # steps of each call: to the middle of the next module
        train(config, backends["torch"], tmp_path / "torch", resume=(tmp_path / "torch").exists(), stop_after=cut)
    train(config, backends["torch"], tmp_path / "torch", resume=True)
    equal(parts(tmp_path / "torch", backends["torch"]), parts(whole["torch"], backends["torch"]))


def test_cut_among_three_networks_it_is_resumed_to_the_bit_on_mindspore(config, backends, whole, tmp_path):
    """Module 1, the one with several optimizers; of the others MindSpore resumes what PyTorch began, see below."""
    shutil.copytree(whole["mindspore"], tmp_path / "mindspore")
    for stage in STAGES[1:]:
        shutil.rmtree(tmp_path / "mindspore/stages" / stage)
    for _step in range(STEPS):  # the last of them ends before the module is scored
        train(config, backends["mindspore"], tmp_path / "mindspore", resume=True, stop_after=1)
    equal(*(parts(run, backends["mindspore"], STAGES[1:2]) for run in (tmp_path / "mindspore", whole["mindspore"])))


def equal(got: dict[str, np.ndarray], want: dict[str, np.ndarray]) -> None:
    """Compare to the bit."""
    assert got.keys() == want.keys()
    assert not [name for name, value in want.items() if not np.array_equal(got[name], value)]


@pytest.mark.parametrize("first", ["torch", pytest.param("mindspore", marks=pytest.mark.exhaustive)])
def test_each_module_goes_on_with_the_other_framework(config, backends, whole, tmp_path, first):
    """One run changes hands in the middle of every module; finished modules do not run again."""
    name, place = first, tmp_path / "0" / first
    place.parent.mkdir()
    train(config, backends[name], place, stop_after=CUTS[0])
    for number, stop in enumerate((STEPS, STEPS, None), 1):
        name, before = OTHER[name], place
        place = tmp_path / str(number) / name
        place.parent.mkdir()
        convert_folder(before, place)
        train(config, backends[name], place, resume=True, stop_after=stop)
    done = [checkpoint.read_json(place / f"stages/{stage}/done.json")["backend"]["name"] for stage in STAGES]
    assert done == [first, OTHER[first], first, OTHER[first]]
    if name == "mindspore":
        convert_folder(place, tmp_path / "torch")
        place = tmp_path / "torch"
    compare(parts(place, backends["torch"]), parts(whole["torch"], backends["torch"]))


@pytest.mark.parametrize("name", ["torch", pytest.param("mindspore", marks=pytest.mark.exhaustive)])
def test_the_student_of_two_processes_is_that_of_one_with_twice_the_batch(root, whole, tmp_path, backends, name):
    """Module 3 upon modules of one process."""
    two = tmp_path / "own" / name
    shutil.copytree(whole[name], two)
    shutil.rmtree(two / "stages" / "mixup")
    words = (str(written(root, batch=2)), "--out", str(tmp_path), "--resume", *eager(name))
    done = launch(name, 2, tmp_path, *words)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    marker = checkpoint.read_json(two / "stages/mixup/done.json")
    assert marker["inputs"] == checkpoint.read_json(whole[name] / "stages/mixup/done.json")["inputs"]
    (last,) = checkpoint.steps(two / "stages/mixup/checkpoints")
    assert checkpoint.read_json(last / "state.json")["world"] == 2
    compare(parts(two, backends[name]), parts(whole[name], backends[name]))
