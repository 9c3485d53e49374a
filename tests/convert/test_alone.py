"""Without torch, mindspore or both; and how much memory and which modules a conversion takes."""

import subprocess
import sys

import numpy as np
import pytest

from tests.convert.checkpoints import ROOT, assert_same, cli, content, manifest, write_pth


@pytest.mark.parametrize(
    "blocked",
    [
        pytest.param(("torch",), marks=pytest.mark.slow, id="torch"),
        pytest.param(("mindspore",), marks=pytest.mark.slow, id="mindspore"),
        pytest.param(("torch", "mindspore", "safetensors", "google"), id="all"),
    ],
)
def test_converts_inspects_and_imports_without(tmp_path, blocked):
    want = manifest("augkd/resnet18")
    path = write_pth(tmp_path / "a.pth", want)
    for arguments in (
        ["convert", path, tmp_path / "b.ckpt"],
        ["convert", tmp_path / "b.ckpt", tmp_path / "c.safetensors"],
        ["convert", tmp_path / "c.safetensors", tmp_path / "d.pth"],
        ["inspect", tmp_path / "b.ckpt"],
        ["import", "torchvision-resnet", path, tmp_path / "e.ckpt", "--drop-head"],
        ["export", "mindcv-resnet", path, tmp_path / "f.ckpt"],
    ):
        done = cli(*arguments, blocked=blocked)
        assert done.returncode == 0, done.stderr
    assert_same(content(tmp_path / "d.pth"), want)


def test_imports_no_framework_and_little_memory(tmp_path):
    size = 60 * 2**20
    path = write_pth(tmp_path / "a.pth", {f"{i}.weight": np.ones((size // 40, 1, 1), np.float32) for i in range(10)})
    code = (
        "import sys\n"
        "from convert.single import convert_file\n"
        "from tests.convert.checkpoints import peak\n"
        "before = peak()\n"
        "convert_file(sys.argv[1], sys.argv[2])\n"
        "convert_file(sys.argv[2], sys.argv[3])\n"
        "assert not {'torch', 'mindspore'} & set(sys.modules)\n"
        "print(peak() - before)\n"
    )
    files = [str(path), str(tmp_path / "b.ckpt"), str(tmp_path / "c.pth")]
    done = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True, cwd=ROOT, check=True)
    assert 0 < int(done.stdout) < 1.3 * size


@pytest.mark.parametrize("command", ["", "convert", "inspect", "import", "export"])
def test_help_shows_an_example(command):
    done = cli(*[command] if command else [], "--help")
    assert done.returncode == 0 and (
        not command or f"python -m convert {command} " in done.stdout.split("examples:")[1]
    )
