"""Backends: opening by name, devices, native files, copies, and compiling only shapes that come back."""

import os
import stat

import numpy as np
import pytest

from common import backends
from common.backends import open_backend
from common.errors import UserError

PART = {
    "layer.weight": np.arange(12, dtype=np.float32).reshape(3, 4)[:, ::-1],
    "half": np.array([1.5, -2.0], np.float16),
    "step": np.array(7, np.int64),
    "scalar": np.array(0.1, np.float32),
}


def opened(side, **options):
    return open_backend(side.name, device="cpu", compile=False, **options)


def test_native_files_come_back_to_the_bit(side, tmp_path):
    backend = opened(side)
    path = tmp_path / f"part{backend.suffix}"
    backend.save(PART, path)
    got = backend.load(path)
    assert list(got) == list(PART)
    for name, value in PART.items():
        assert (got[name].dtype, got[name].shape) == (value.dtype, value.shape)
        assert np.array_equal(got[name], value)
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_damaged_and_missing_files_are_one_clear_line(side, tmp_path):
    backend = opened(side)
    path = tmp_path / f"part{backend.suffix}"
    with pytest.raises(UserError, match="no such file"):
        backend.load(path)
    backend.save(PART, path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError, match=r"not a readable \.(pth|ckpt)") as caught:
        backend.load(path)
    assert "\n" not in str(caught.value)


def test_torch_files_of_other_things_are_refused(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    backend = open_backend("torch", device="cpu")
    torch.save({"state_dict": {"a": torch.zeros(1)}, "epoch": 3}, tmp_path / "wrapped.pth")
    with pytest.raises(UserError, match="flat dictionary of named tensors"):
        backend.load(tmp_path / "wrapped.pth")


def test_arrays_are_copied_both_ways(side):
    backend = opened(side)
    array = np.zeros((2, 3), np.float32)
    tensor = backend.tensor(array[:, ::2])
    array[:] = 1
    got = backend.numpy(tensor)
    got[:] = 2
    assert np.array_equal(backend.numpy(tensor), np.zeros((2, 2), np.float32))


def test_one_rank_needs_no_others(side):
    backend = opened(side)
    assert (backend.rank, backend.world) == (0, 1)
    assert backend.average({"a": 1.5}) == {"a": 1.5}
    assert backend.total(np.array([1, 2])).tolist() == [1, 2]
    backend.barrier()
    assert 0.01 < backend.memory_gib() < 1000
    assert set(backend.describe()) == {side.name, "device"}
    backend.close()


@pytest.mark.parametrize(("said", "threads"), [("2", 2), (" 3, 1", 3), ("", None), ("many", None)])
def test_mindspore_heeds_the_threads_of_the_environment(monkeypatch, said, threads):
    """As PyTorch does by itself; what says nothing leaves the runtime as it was."""
    mindspore = pytest.importorskip("mindspore", reason="mindspore is not installed")
    before = mindspore.get_context("runtime_num_threads")
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    try:
        open_backend("mindspore", device="cpu", compile=False)
        assert mindspore.get_context("runtime_num_threads") == (threads or before)
    finally:
        mindspore.set_context(runtime_num_threads=before)


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "ascend:1"])
def test_a_device_that_is_not_there(side, device):
    with pytest.raises(UserError, match="device"):
        open_backend(side.name, device=device)


def test_a_backend_that_is_not_there(monkeypatch):
    with pytest.raises(UserError, match="no backend 'jax'; there are: torch, mindspore"):
        open_backend("jax")
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"mindspore is not installed\. Run: pip install mindspore==2\.10\.0"):
        open_backend("mindspore")


def test_only_shapes_that_come_back_are_compiled(side):
    """A data set whose images all differ in size must not be compiled without end."""
    compiled, calls = side.module("compiled"), []
    backend = opened(side)

    def double(x):
        calls.append(tuple(x.shape))  # seen when it is traced, and when it runs op by op
        return x + x

    run = compiled.Compiled(double, enabled=False)
    run._compiled, run._enabled = (lambda x: x + x), True  # stands for the compiler: leaves no trace in ``calls``
    for size in [1, 1, *range(2, 20), 1, 19]:
        got = backend.numpy(run(backend.tensor(np.ones(size, np.float32))))
        assert np.array_equal(got, np.full(size, 2.0, np.float32))
    assert calls == [(size,) for size in [*range(compiled._MOST + 1, 20), 19]]
