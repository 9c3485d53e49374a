"""Checkpoint folders appear whole or not at all, and are checked before they are read."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from common import checkpoint
from common.errors import UserError
from tests.fake_backend import FakeBackend

ROOT = Path(__file__).resolve().parents[2]
PARTS = {"model": {"w": np.arange(6, dtype=np.float32)}, "optimizer": {"m": np.ones(3)}, "ema": {}}


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    """Parts, empty ones too, and the state."""
    final = tmp_path / "step-000007"
    checkpoint.save(FakeBackend(), final, PARTS, {"step": 7})
    parts, info = checkpoint.load(FakeBackend(), final)
    assert info["step"] == 7 and set(parts) == set(PARTS) and parts["ema"] == {}
    assert np.array_equal(parts["model"]["w"], PARTS["model"]["w"]) and parts["optimizer"]["m"].dtype == np.float64
    assert sorted(json.loads((final / "manifest.json").read_text())) == ["model.npz", "optimizer.npz", "state.json"]
    only, _ = checkpoint.load(FakeBackend(), final, only=("model",))
    assert list(only) == ["model"]


def test_modes_follow_the_umask(tmp_path: Path) -> None:
    """Also when a framework's writer leaves its file read-only for the owner."""

    class Private(FakeBackend):
        def save(self, part: dict, path: Path) -> None:
            super().save(part, path)
            path.chmod(0o400)

    before = os.umask(0o027)
    try:
        checkpoint.save(Private(), tmp_path / "step-000001", PARTS, {"step": 1})
    finally:
        os.umask(before)
    assert {p.stat().st_mode & 0o777 for p in (tmp_path / "step-000001").iterdir()} == {0o640}
    assert (tmp_path / "step-000001").stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("name", ["model.npz", "optimizer.npz", "state.json"])
def test_a_flipped_bit_is_found_and_named(tmp_path: Path, name: str) -> None:
    """In every file of the folder."""
    checkpoint.save(FakeBackend(), tmp_path / "step-000001", PARTS, {"step": 1})
    path = tmp_path / "step-000001" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"{name}: damaged"):
        checkpoint.load(FakeBackend(), tmp_path / "step-000001")


@pytest.mark.parametrize("manifest", ["", "[]", '{"model.npz": '])
def test_a_damaged_manifest_is_named(tmp_path: Path, manifest: str) -> None:
    """Empty, of another kind, torn."""
    checkpoint.save(FakeBackend(), tmp_path / "step-000001", PARTS, {"step": 1})
    (tmp_path / "step-000001" / "manifest.json").write_text(manifest)
    with pytest.raises(UserError, match=r"manifest.json: damaged"):
        checkpoint.verify(tmp_path / "step-000001")


def test_resuming_falls_back_to_the_checkpoint_before_a_damaged_one(tmp_path: Path) -> None:
    """With one warning for each that is passed over."""
    for step in (9, 10, 100):
        checkpoint.save(FakeBackend(), tmp_path / checkpoint.name_of(step), PARTS, {"step": step})
    (tmp_path / "step-000100" / "model.npz").unlink()
    (tmp_path / "step-000010" / "manifest.json").unlink()
    warnings: list[str] = []
    assert checkpoint.newest(tmp_path, warnings.append) == tmp_path / "step-000009"
    assert len(warnings) == 2 and "step-000100" in warnings[0] and "model.npz: missing" in warnings[0]
    assert checkpoint.newest(tmp_path / "nothing", warnings.append) is None


def test_a_damaged_checkpoint_is_replaced(tmp_path: Path) -> None:
    """When the run reaches its step again."""
    final = tmp_path / "step-000002"
    checkpoint.save(FakeBackend(), final, PARTS, {"step": 2})
    (final / "model.npz").write_bytes(b"torn")
    checkpoint.save(FakeBackend(), final, PARTS, {"step": 2})
    checkpoint.verify(final)
    assert [p.name for p in tmp_path.iterdir()] == ["step-000002"]


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    """In the order of steps, not of names."""
    for step in (999_999, 1_000_000, 1_000_001):
        checkpoint.save(FakeBackend(), tmp_path / checkpoint.name_of(step), PARTS, {"step": step})
    checkpoint.prune(tmp_path, 2)
    assert [p.name for p in checkpoint.steps(tmp_path)] == ["step-1000000", "step-1000001"]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nothing_that_is_not_finite_is_written(tmp_path: Path, bad: float) -> None:
    """The error names the array; a method's memory may hold NaN."""
    broken = {"model": {"w": np.array([1.0, bad], np.float32)}}
    with pytest.raises(UserError, match=r"model 'w' holds values that are not finite"):
        checkpoint.save(FakeBackend(), tmp_path / "step-000001", broken, {"step": 1})
    assert not list(tmp_path.iterdir())
    checkpoint.save(FakeBackend(), tmp_path / "step-000001", {"memory": broken["model"]}, {"step": 1})


def test_a_failing_writer_leaves_the_old_checkpoint_alone(tmp_path: Path) -> None:
    """Whatever it raises."""
    final = tmp_path / "step-000001"
    checkpoint.save(FakeBackend(), final, PARTS, {"step": 1})
    before = tree(tmp_path)

    def fill(folder: Path) -> None:
        (folder / "half").write_bytes(b"x")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        checkpoint.publish(final, fill)
    assert tree(tmp_path) == before


WRITER = """
import os, sys
from pathlib import Path
import numpy as np
from common import checkpoint
from tests.fake_backend import FakeBackend
calls = 0
def counted(function):
    def call(*args, **kwargs):
        global calls
        calls += 1
        if calls == int(sys.argv[2]):
            os._exit(9)          # as kill -9: nothing is cleaned up
        return function(*args, **kwargs)
    return call
for name in ("fsync", "replace"):
    setattr(os, name, counted(getattr(os, name)))
folder = Path(sys.argv[1])
for step in (1, 2):
    parts = {"model": {"w": np.full(1000, step, np.float32)}}
    checkpoint.save(FakeBackend(), folder / checkpoint.name_of(step), parts, {"step": step})
    checkpoint.prune(folder, 1)
print(calls)
"""


@pytest.mark.slow
def test_killed_at_every_moment_a_whole_checkpoint_remains(tmp_path: Path) -> None:
    """A process that dies before any of its flushes and renames leaves the old or the new one, never half of one."""

    def write(folder: Path, die_at: int) -> subprocess.CompletedProcess:
        command = [sys.executable, "-c", WRITER, str(folder), str(die_at)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    moments = int(write(tmp_path / "whole", 0).stdout)
    first_done = False
    for moment in range(1, moments + 1):
        folder = tmp_path / str(moment)
        assert write(folder, moment).returncode == 9
        checkpoint.sweep(folder)
        assert all(not p.name.startswith(".") for p in folder.iterdir())
        warnings: list[str] = []
        found = checkpoint.newest(folder, warnings.append)
        assert not warnings and (found is not None or not first_done)
        first_done = found is not None
        if found:
            parts, info = checkpoint.load(FakeBackend(), found)
            assert (parts["model"]["w"] == info["step"]).all()
    assert first_done


def test_a_replacement_cut_short_is_undone(tmp_path: Path) -> None:
    """The folder that was moved aside comes back when its successor never came."""
    checkpoint.save(FakeBackend(), tmp_path / "step-000001", PARTS, {"step": 1})
    os.replace(tmp_path / "step-000001", tmp_path / ".step-000001.old")
    checkpoint.sweep(tmp_path)
    checkpoint.verify(tmp_path / "step-000001")


def test_a_full_disk_is_one_line_and_tears_nothing(tmp_path: Path) -> None:
    """A file size limit stands for the full disk: the kernel refuses the write in the middle of a file."""
    checkpoint.save(FakeBackend(), tmp_path / "step-000001", PARTS, {"step": 1})
    before = tree(tmp_path)
    large = {"model": {"w": np.zeros(100_000, np.float32)}}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(UserError, match=r"step-000002: not written .*untouched") as caught:
            checkpoint.save(FakeBackend(), tmp_path / "step-000002", large, {"step": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value) and tree(tmp_path) == before


def test_a_framework_that_hides_the_reason_is_still_one_line(tmp_path: Path) -> None:
    """PyTorch and MindSpore report a failed write as a RuntimeError of several lines."""

    class Failing(FakeBackend):
        def save(self, part: dict, path: Path) -> None:
            path.write_bytes(b"half")
            raise RuntimeError("[enforce fail at inline_container.cc:664]\nframe #0: 0x1234")

    with pytest.raises(UserError, match="not written") as caught:
        checkpoint.save(Failing(), tmp_path / "step-000001", PARTS, {"step": 1})
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_a_checkpoint_of_the_other_framework_says_how_to_convert(tmp_path: Path) -> None:
    """Instead of a missing file."""
    checkpoint.save(FakeBackend(), tmp_path / "step-000001", PARTS, {"step": 1, "backend": "fake"})

    class Other(FakeBackend):
        name, suffix = "other", ".ckpt"

    with pytest.raises(UserError, match=r"model.npz: written by fake, not other; .*python -m convert"):
        checkpoint.load(Other(), tmp_path / "step-000001")


def test_small_files_are_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails leaves the old text."""
    checkpoint.write_text(tmp_path / "done.json", "old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"done.json: cannot be written: No space left"):
        checkpoint.write_text(tmp_path / "done.json", "new")
    assert tree(tmp_path) == {"done.json": b"old"}
