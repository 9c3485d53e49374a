"""Damaged files: cut off, with flipped bits, random; refused, or read as they are where nothing tells the damage."""

import io
from contextlib import suppress

import numpy as np
import pytest

from common.errors import UserError
from convert import formats
from convert.formats.pickle_machine import load as run_pickle
from convert.formats.pickle_rules import rules
from convert.single import convert_file
from tests.convert.checkpoints import write_pth
from tests.convert.test_hostile import header, tensor_pickle, value


def whole_files(tmp_path) -> dict[str, bytes]:
    """Return a sound file of each format, as this project writes it."""
    weights = {f"layer.{i}.weight": np.arange(60, dtype=np.float32).reshape(3, 4, 5) + i for i in range(4)}
    write_pth(tmp_path / "a.pth", weights)
    convert_file(tmp_path / "a.pth", tmp_path / "a.ckpt")
    convert_file(tmp_path / "a.pth", tmp_path / "a.safetensors")
    return {name: (tmp_path / name).read_bytes() for name in ("a.pth", "a.ckpt", "a.safetensors")}


@pytest.mark.parametrize("name", ["a.pth", "a.ckpt", "a.safetensors"])
def test_every_truncation_is_refused(tmp_path, name):
    data = whole_files(tmp_path)[name]
    path = tmp_path / f"cut.{name.split('.')[1]}"
    for size in [*range(0, 64), *range(64, len(data), 37), len(data) - 1]:
        path.write_bytes(data[:size])
        with pytest.raises(UserError):
            formats.load(path)


@pytest.mark.parametrize("name", ["a.pth", "a.ckpt", "a.safetensors"])
def test_every_flipped_bit_is_refused_or_harmless(tmp_path, name):
    data = whole_files(tmp_path)[name]
    path = tmp_path / f"flip.{name.split('.')[1]}"
    path.write_bytes(data)
    want = formats.load(path).content
    for place in range(0, len(data), 11):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :])
        try:
            got = formats.load(path).content
        except UserError:
            continue
        assert list(got) == list(want), place  # times, padding and the like may change; names and numbers may not
        assert all(np.array_equal(got[key], want[key]) for key in want), place


@pytest.mark.parametrize("kind", ["zip", "legacy", "ckpt"])
def test_damage_to_what_the_frameworks_write_is_refused_or_read(tmp_path, kind):
    """Legacy files and .ckpt files have no checksum: a number may change, but nothing else than a refusal is raised."""
    path = tmp_path / f"a.{'ckpt' if kind == 'ckpt' else 'pth'}"
    data = of_framework(kind, path)
    for place in [*range(0, len(data), max(len(data) // 64, 1)), *range(0, 256, 3)]:
        for damaged in (data[:place], data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :]):
            path.write_bytes(damaged)
            with suppress(UserError):
                loaded = formats.load(path)
                assert loaded.format == ("ckpt" if kind == "ckpt" else "pth")
            with suppress(UserError):
                convert_file(path, tmp_path / "out.safetensors")


def of_framework(kind: str, path) -> bytes:
    """Return a small training checkpoint as PyTorch or MindSpore writes it."""
    weights = {f"layer.{i}.weight": np.arange(60, dtype=np.float32).reshape(3, 4, 5) + i for i in range(4)}
    if kind == "ckpt":
        mindspore = pytest.importorskip("mindspore", reason="mindspore is not installed")
        mindspore.save_checkpoint([{"name": n, "data": mindspore.Tensor(a)} for n, a in weights.items()], str(path))
        path.chmod(0o600)
    else:
        torch = pytest.importorskip("torch", reason="torch is not installed")
        tensors = {name: torch.from_numpy(array) for name, array in weights.items()}
        whole = {"state_dict": tensors, "epoch": 3, "name": "x", "rate": 0.1}
        torch.save(whole, path, _use_new_zipfile_serialization=kind == "zip")
    return path.read_bytes()


def test_random_bytes_and_random_pickles_never_raise_anything_else(tmp_path):
    rng = np.random.default_rng(0)
    starts = [b"", b"\x80\x02", b"PK\x03\x04", b"\x0a\x0f\x0a\x01w\x12", header("{}"), tensor_pickle(), value(b"w")]
    for round_ in range(300):
        data = bytearray(starts[round_ % len(starts)] + rng.bytes(round_ % 90))
        for place in rng.integers(0, max(len(data), 1), 3):
            data[place : place + 1] = rng.bytes(1)
        (tmp_path / "a").write_bytes(bytes(data) or b"\0")
        with suppress(UserError):
            formats.load(tmp_path / "a", any_name=True)
        with suppress(ValueError):
            run_pickle(io.BytesIO(bytes(data)), rules())
