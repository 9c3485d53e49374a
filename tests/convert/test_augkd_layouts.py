"""AuG-KD's official files: one network a file, several in one, and an enumeration among them that nothing executes."""

import sys
import types
from collections import OrderedDict
from enum import Enum
from pathlib import Path

import numpy as np
import pytest

from convert.layouts import LAYOUTS, guess
from convert.reading import Reading
from convert.transfer import export_layout, import_layout
from tests.convert.checkpoints import assert_same, content, manifest, write_pth

FILES = {  # layout -> manifest of the official network
    "augkd-generator": "augkd/generator",
    "augkd-encoder": "augkd/encoder",
    "augkd-anchor": "augkd/anchornet",
    "torchvision-resnet": "augkd/resnet18",
    "torchvision-mobilenetv3": "augkd/mobilenet_v3_small",
    "torchvision-mobilenetv2": "augkd/mobilenet_v2",
    "torchvision-shufflenetv2": "augkd/shufflenet_v2_x1_0",
    "torchvision-efficientnet": "augkd/efficientnet_b0",
}


@pytest.mark.parametrize("name", FILES)
def test_an_official_network_comes_in_for_either_framework_and_goes_out_as_it_came(tmp_path: Path, name: str) -> None:
    official = manifest(FILES[name])
    source = write_pth(tmp_path / "official.pt", official)
    for suffix in (".pth", ".ckpt"):
        ours = tmp_path / f"ours{suffix}"
        import_layout(LAYOUTS[name], source, ours, Reading())
        export_layout(LAYOUTS[name], ours, tmp_path / f"back{suffix}.pth", Reading())
        assert_same(content(tmp_path / f"back{suffix}.pth"), official)
    assert name in guess({key: value.shape for key, value in official.items()})


@pytest.mark.parametrize("name", ["augkd-generator", "augkd-encoder", "augkd-anchor"])
def test_another_networks_file_is_refused(tmp_path: Path, name: str) -> None:
    source = write_pth(tmp_path / "official.pt", manifest("augkd/mobilenet_v3_small"))
    with pytest.raises(Exception, match=f"is no {name} checkpoint"):
        import_layout(LAYOUTS[name], source, tmp_path / "ours.pth", Reading())
    assert not (tmp_path / "ours.pth").exists()


@pytest.fixture
def module_1(tmp_path: Path, monkeypatch) -> tuple[Path, dict[str, dict[str, np.ndarray]]]:
    """The file of module 1 as the official code saves it: three networks, and a member of ``utils.trainer.Stage``."""
    torch = pytest.importorskip("torch", reason="torch is not installed")

    class Stage(Enum):
        DF = "df"

    Stage.__module__, Stage.__qualname__ = "utils.trainer", "Stage"
    trainer = types.ModuleType("utils.trainer")
    trainer.Stage = Stage
    monkeypatch.setitem(sys.modules, "utils", types.ModuleType("utils"))
    monkeypatch.setitem(sys.modules, "utils.trainer", trainer)
    stems = {"decoder": "generator", "encoder": "encoder", "student": "mobilenet_v3_small"}
    parts = {name: manifest(f"augkd/{stem}") for name, stem in stems.items()}
    states = {
        name: OrderedDict((key, torch.from_numpy(np.array(value))) for key, value in part.items())
        for name, part in parts.items()
    }
    tree = {"epoch": 200, "best_result": (1.5, 2.5, {"Acc": 0.5}), "cur_stage": Stage.DF, **states}
    torch.save(tree, tmp_path / "df_stat_ckpt.pt")
    return tmp_path / "df_stat_ckpt.pt", parts


def test_every_network_of_module_1_is_taken_out_of_its_file(tmp_path: Path, module_1) -> None:
    source, parts = module_1
    layouts = {"decoder": "augkd-generator", "encoder": "augkd-encoder", "student": "torchvision-mobilenetv3"}
    for section, name in layouts.items():
        target = tmp_path / f"{section}.pth"
        import_layout(LAYOUTS[name], source, target, Reading(section=section))
        assert_same(content(target), parts[section])
