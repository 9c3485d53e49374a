"""Each format against the frameworks' own readers and writers, to the bit."""

import argparse
import collections
import pathlib

import ml_dtypes
import numpy as np
import pytest

from convert import formats
from convert.formats import ckpt, pth_writer, safetensors
from tests.convert.checkpoints import DTYPES, assert_same, content, numbers, odd_tensors, write_ckpt, write_pth

mindspore = pytest.importorskip("mindspore", reason="MindSpore writes and reads beside us; it is not installed")
torch = pytest.importorskip("torch", reason="PyTorch writes and reads beside us; it is not installed")
mindspore.set_device("CPU")  # as the twin does: later than the first operation is too late

TORCH_TYPES = {np.dtype(ml_dtypes.bfloat16): torch.bfloat16}


def to_torch(array: np.ndarray) -> torch.Tensor:
    """Return a tensor with the same bits, dtype and strides."""
    if array.dtype in TORCH_TYPES:
        return torch.from_numpy(array.view(np.int16)).view(TORCH_TYPES[array.dtype])
    return torch.from_numpy(array)


def same_bits(tensor: torch.Tensor, array: np.ndarray) -> bool:
    """Whether a tensor has an array's shape, dtype and bits."""
    want = to_torch(np.array(array, order="C"))
    if tensor.dtype != want.dtype or tensor.shape != want.shape:
        return False
    bits = (one.contiguous().reshape(-1).view(torch.uint8) for one in (tensor, want) if one.numel())
    return not tensor.numel() or torch.equal(*bits)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_reads_what_torch_saves(tmp_path, zipped):
    tensors = odd_tensors()
    base = torch.arange(40.0).reshape(5, 8)
    tree = {
        "odd": {name: to_torch(array) for name, array in tensors.items()},
        "shared": {"whole": base, "columns": base[:, ::3], "expanded": base[:1].expand(4, 8), "row": base[3]},
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "args": argparse.Namespace(lr=0.1, root=pathlib.PosixPath("/data")),
        "counts": collections.defaultdict(list, {3: [1, 2]}),
        "scores": [np.float64(0.5), np.int32(7), np.arange(6).reshape(2, 3).T, np.array([1.5], ">f4")],
        "size": torch.Size([2, 3]),
        "plain": (None, True, -1, 2**70, 1e-300, float("inf"), "text", b"bytes", 1 + 2j),
        "net": torch.nn.BatchNorm2d(3).state_dict(),
    }
    torch.save(tree, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    got = content(tmp_path / "a.pth")
    assert_same(got["odd"], {name: np.array(array) for name, array in tensors.items()})
    assert_same(got["shared"], {name: value.numpy() for name, value in tree["shared"].items()})
    assert_same(got["parameter"], np.ones(2, np.float32))
    assert dict(got["args"])["lr"] == 0.1 and got["counts"] == {3: [1, 2]} and got["size"] == (2, 3)
    assert_same(got["scores"], [np.float64(0.5), np.int32(7), tree["scores"][2], np.array([1.5], "<f4")])
    assert got["plain"] == tree["plain"]
    assert list(got["net"]) == list(tree["net"])


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_reads_every_pickle_protocol(tmp_path, protocol):
    torch.save({"a": torch.ones(2), "n": np.ones((2, 2))}, tmp_path / "a.pth", pickle_protocol=protocol)
    assert_same(content(tmp_path / "a.pth"), {"a": np.ones(2, np.float32), "n": np.ones((2, 2))})


def test_reads_checkpoints_without_checksums_and_newer_dtypes(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(
            {"u": torch.ones(3, dtype=torch.uint16), "f8": torch.ones(2).to(torch.float8_e5m2)}, tmp_path / "a.pth"
        )
    finally:
        torch.serialization.set_crc32_options(True)
    want = {"u": np.ones(3, np.uint16), "f8": np.ones(2, ml_dtypes.float8_e5m2)}
    assert_same(content(tmp_path / "a.pth"), want)


@pytest.mark.parametrize("mmap", [False, True])
def test_torch_reads_what_we_write(tmp_path, mmap):
    tensors = odd_tensors()
    tree = {"weights": tensors, "plain": [1, 2.5, None, True, "text", b"\xff", 2**40, -(2**70), (1, ()), {}, 1j]}
    loaded = torch.load(write_pth(tmp_path / "a.pth", tree), weights_only=True, mmap=mmap)
    assert loaded["plain"] == tree["plain"]
    assert list(loaded["weights"]) == list(tensors)
    for name, array in tensors.items():
        assert same_bits(loaded["weights"][name], array), name


def test_torch_reads_float8_and_complex(tmp_path):
    tree = {"f8": np.ones(3, ml_dtypes.float8_e4m3fn), "c": np.full(2, 1 + 2j, np.complex64)}
    loaded = torch.load(write_pth(tmp_path / "a.pth", tree), weights_only=True)
    assert loaded["f8"].dtype == torch.float8_e4m3fn and loaded["c"].tolist() == [1 + 2j, 1 + 2j]


def savable() -> dict[str, np.ndarray]:
    """Return the odd tensors that MindSpore's own writer takes; it passes over empty ones in silence."""
    return {name: np.array(array) for name, array in odd_tensors().items() if array.size}


def to_mindspore(array: np.ndarray) -> mindspore.Tensor:
    if array.dtype == ml_dtypes.bfloat16:
        return mindspore.Tensor(array.astype(np.float32)).astype(mindspore.bfloat16)
    return mindspore.Tensor(array)


@pytest.mark.parametrize("crc", [False, True])
def test_reads_what_mindspore_saves(tmp_path, crc):
    tensors = {n: a for n, a in savable().items() if a.dtype != ml_dtypes.bfloat16 and n}
    tensors["bf"] = np.arange(6).astype(ml_dtypes.bfloat16)
    listed = [{"name": name, "data": to_mindspore(array)} for name, array in tensors.items()]
    extra = {"epoch": 3, "lr": 0.1, "done": True, "place": "na\u00efve"}
    mindspore.save_checkpoint(listed, str(tmp_path / "a.ckpt"), append_dict=extra, crc_check=crc)
    got = content(tmp_path / "a.ckpt")
    want = {"epoch": np.array(3), "lr": np.array(0.1, np.float32), "done": np.array(True), "place": "na\u00efve"}
    assert_same(got, {**tensors, **want})


@pytest.mark.parametrize("slice_bytes", [ckpt.SLICE_BYTES, 64])
def test_mindspore_reads_what_we_write(tmp_path, monkeypatch, slice_bytes):
    monkeypatch.setattr(ckpt, "SLICE_BYTES", slice_bytes)
    tensors = {name: array for name, array in odd_tensors().items() if ckpt.holds(array)}
    path = write_ckpt(tmp_path / "a.ckpt", {**tensors, "text": "na\u00efve"})
    loaded = mindspore.load_checkpoint(str(path), crc_check=True)
    assert loaded.pop("text") == "na\u00efve" and list(loaded) == list(tensors)
    for name, array in tensors.items():
        got = loaded[name].asnumpy()
        assert got.shape == array.shape and got.tobytes() == array.tobytes(), name
    assert_same(content(path), {**{name: np.array(array) for name, array in tensors.items()}, "text": "na\u00efve"})


def test_reads_a_tensor_that_mindspore_cut_into_slices(tmp_path, monkeypatch):
    monkeypatch.setattr("mindspore.train.serialization.SLICE_SIZE", 1)  # KiB
    array = numbers((40, 50))
    mindspore.save_checkpoint([{"name": "big", "data": mindspore.Tensor(array)}], str(tmp_path / "a.ckpt"))
    assert (tmp_path / "a.ckpt").read_bytes().count(b"big") == 8
    assert_same(content(tmp_path / "a.ckpt"), {"big": array})


def test_safetensors_against_the_library(tmp_path):
    from safetensors.torch import load_file, save_file

    tensors = {name: np.array(array) for name, array in odd_tensors().items()}
    with (tmp_path / "a.safetensors").open("w+b") as file:
        safetensors.write(file, tensors, {"format": "pt"})
    loaded = load_file(tmp_path / "a.safetensors")
    assert set(loaded) == set(tensors)
    for name, array in tensors.items():
        assert same_bits(loaded[name], array), name
    packed = {name: to_torch(np.array(array, order="C")) for name, array in tensors.items()}
    save_file(packed, tmp_path / "b.safetensors", {"format": "pt"})
    for name in ("a", "b"):
        assert_same(content(tmp_path / f"{name}.safetensors"), tensors)


def test_safetensors_against_mindspore(tmp_path):
    tensors = {name: array for name, array in savable().items() if name}
    with (tmp_path / "a.safetensors").open("w+b") as file:
        safetensors.write(file, tensors, {"format": "ms"})
    loaded = mindspore.load_checkpoint(str(tmp_path / "a.safetensors"), format="safetensors")
    for name, array in tensors.items():
        assert loaded[name].asnumpy().tobytes() == array.tobytes(), name


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".ckpt"])
def test_the_note_travels_unseen(tmp_path, suffix):
    path, note = tmp_path / f"a{suffix}", {"held": {"x": 1}, "text": "na\u00efve"}
    formats.save(path, {"w": np.ones(2, np.float32)}, note)
    loaded = formats.load(path)
    assert loaded.note == note and list(loaded.content) == ["w"]
    if suffix == ".pth":
        assert list(torch.load(path, weights_only=True)) == ["w"]
    elif suffix == ".ckpt":
        assert list(mindspore.load_checkpoint(str(path), crc_check=True)) == ["w"]


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: np.dtype(dtype).name)
def test_views_are_lazy_and_read_only(tmp_path, dtype):
    path = write_pth(tmp_path / "a.pth", {"w": numbers((3, 5), dtype)})
    array = content(path)["w"]
    assert not array.flags.writeable and not array.flags.owndata


def test_a_value_that_no_safe_pickle_holds_is_refused(tmp_path):
    with pytest.raises(Exception, match="settings/fn: a type can be no part"):
        pth_writer.pickle_tree({"settings": {"fn": int}})
