"""Hostile files: refused in one clear line, quickly, in bounded memory, with nothing written or run."""

import io
import json
import os
import pickle
import struct
import tarfile
import time
import zipfile
from contextlib import suppress

import numpy as np
import pytest

from common.errors import UserError
from convert.formats import ckpt
from convert.inspection import inspect
from convert.single import convert_file
from tests.convert.checkpoints import cli, peak

SECONDS, MEGABYTES = 3.0, 200  # of processor time: the machine may have other work


class Command:
    """Pickles as a call of ``os.system``."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


class Nested:
    """Pickles as the call of a harmless name with such a call among its arguments."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return dict, ([("w", Command(self.command))],)


def archive(entries: dict[str, bytes], **options) -> bytes:
    """Return a ZIP archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", options.pop("method", zipfile.ZIP_STORED)) as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return buffer.getvalue()


def tensor_pickle(storage=b"torch\nFloatStorage", key=b"0", numel=4, offset=0, shape=(4,), stride=(1,)) -> bytes:
    """Return a protocol 2 pickle of {"w": one tensor}."""

    def numbers(values):
        return b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", value) for value in values) + b"t"

    text = b"X\x07\x00\x00\x00storage" + b"c" + storage + b"\nX" + struct.pack("<I", len(key)) + key
    storage_id = b"(" + text + b"X\x03\x00\x00\x00cpu\x8a\x08" + struct.pack("<q", numel) + b"tQ"
    arguments = storage_id + b"\x8a\x08" + struct.pack("<q", offset) + numbers(shape) + numbers(stride) + b"\x89}"
    return b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tRs."


def pth(pickled: bytes, storage: bytes = b"\0" * 16, **more) -> bytes:
    return archive({"a/data.pkl": pickled, "a/data/0": storage, "a/version": b"3\n", **more})


def twice(name: str) -> bytes:
    """Return an archive in whose directory an entry has the name of another."""
    return pth(tensor_pickle(), **{f"{name[:-1]}1": b"\1" * 16}).replace(f"{name[:-1]}1".encode(), name.encode())


def legacy(obj) -> bytes:
    """Return a file as torch 1.5 wrote it, with any object in it."""
    stream = io.BytesIO()
    for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, obj, []):
        pickle.dump(part, stream, 2)
    return stream.getvalue()


def header(text: str | bytes, size: int | None = None, data: bytes = b"") -> bytes:
    """Return a safetensors file that claims a header of ``size`` bytes."""
    text = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def value(name: bytes, dims=(2,), kind=b"Float32", content=b"\0" * 8) -> bytes:
    """Return one entry of a .ckpt file."""
    tensor = b"".join(b"\x08" + ckpt._varint(dim) for dim in dims) + ckpt._delimited(2, kind)
    tensor += ckpt._delimited(3, content)
    return ckpt._delimited(1, ckpt._delimited(1, name) + ckpt._delimited(2, tensor))


def told(**metadata: str) -> bytes:
    """Return a safetensors file of one tensor with metadata of its own."""
    return header(f'{{"__metadata__":{json.dumps(metadata)},{W}}}', data=b"\0" * 8)


def tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        file.addfile(tarfile.TarInfo("storages"))
    return buffer.getvalue()


W = '"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'
NOTE = b'{"empty":{"x":{"$array":["O",[1],""]}}}'
FORMS = '{"skeleton":{"$optimizer":"x"},"forms":{"x":1}}'
CROWD = ",".join(f'"{number}":{{}}' for number in range(200_001))
EVIL = "/tmp/twinda_was_here"
NESTED = b"\x80\x02" + b"]" * 300_000 + b"a" * 299_999 + b"."
LAUGHS = b"\x80\x02]q\x00" + b"".join(
    b"(h%c" % bytes([i]) + b"h%c" % bytes([i]) + b"lq%c" % bytes([i + 1]) for i in range(60)
)
HOSTILE = {
    "command.pth": (pth(pickle.dumps(Command(f"touch {EVIL}"), 2)), "posix.system"),
    "command_in_state.pth": (pth(pickle.dumps({"w": [1, Command(f"touch {EVIL}")]}, 2)), "posix.system"),
    "command_legacy.pth": (legacy(Command(f"touch {EVIL}")), "posix.system"),
    "command_protocol_0.pth": (pth(f"cos\nsystem\n(S'touch {EVIL}'\ntR.".encode()), "os.system"),
    "command_inst.pth": (pth(f"(S'touch {EVIL}'\nios\nsystem\n.".encode()), "os.system"),
    "command_stack_global.pth": (pth(pickle.dumps(Command("true"), 4)), "posix.system"),
    "eval.pth": (pth(b"\x80\x02cbuiltins\neval\nX\x03\x00\x00\x001+1\x85R."), "builtins.eval"),
    "getattr.pth": (pth(b"\x80\x02cbuiltins\ngetattr\n."), "builtins.getattr"),
    "import_alias.pth": (pth(b"\x80\x02c__builtin__\n__import__\n."), "builtins.__import__"),
    "dotted.pth": (pth(b"\x80\x04\x8c\x0bcollections\x8c\x17OrderedDict.fromkeys.__\x93."), "OrderedDict.fromkeys"),
    "extension.pth": (pth(b"\x80\x02\x82\x01."), "EXT1"),
    "type_called.pth": (pth(b"\x80\x02cbuiltins\nint\nX\x01\x00\x00\x001\x85R."), "only allowed as a name"),
    "whole_network.pth": (pth(pickle.dumps(zipfile.ZipInfo("x"), 2)), "zipfile.ZipInfo"),
    "deep.pth": (pth(NESTED), "nests deeper"),
    "memo.pth": (pth(b"\x80\x02]r\xff\xff\xff\xffj\xfe\xff\xff\xff."), "damaged"),
    "long_text.pth": (pth(b"\x80\x02X\xff\xff\xff\xff."), "damaged"),
    "laughs.pth": (pth(LAUGHS + b"."), ""),
    "no_end.pth": (pth(b"\x80\x02]"), "damaged"),
    "object_array.pth": (pth(pickle.dumps(np.array([{}], object), 2)), "cannot be converted"),
    "digits.pth": (pth(b"\x80\x02}\x8b\x10\x27\0\0" + b"\x7f" * 10_000 + b"K\x01s."), "of 79999 bits"),
    "two_entries.pth": (twice("a/data/0"), "holds a/data/0 twice"),
    "command_in_call.pth": (pth(pickle.dumps(Nested(f"touch {EVIL}"), 4)), "posix.system"),
    "partial.pth": (pth(b"\x80\x02cfunctools\npartial\ncos\nsystem\n\x85R."), "functools.partial"),
    "contains_itself.pth": (pth(b"\x80\x02}q\x00X\x01\x00\x00\x00wh\x00s."), "contains itself"),
    "two_pickles.pth": (archive({"a/data.pkl": b"\x80\x02}.", "b/data.pkl": b"\x80\x02}."}), "it has 2 data.pkl"),
    "no_space.pth": (pth(tensor_pickle(shape=(0, 2**47, 2**47), stride=(1, 1, 1))), "a tensor has the shape"),
    "unhashable.pth": (pth(b"\x80\x02}]K\x01s."), "as a key"),
    "storage_short.pth": (pth(tensor_pickle(numel=5)), "missing or too short"),
    "storage_absent.pth": (pth(tensor_pickle(key=b"../../x")), "missing or too short"),
    "offset.pth": (pth(tensor_pickle(offset=1)), "reaches beyond its storage"),
    "stride.pth": (pth(tensor_pickle(stride=(2,))), "reaches beyond its storage"),
    "negative.pth": (pth(tensor_pickle(shape=(2,), stride=(-1,))), "size, stride or offset -1"),
    "huge.pth": (pth(tensor_pickle(shape=(2**47,), stride=(1,))), "reaches beyond its storage"),
    "expanded.pth": (pth(tensor_pickle(shape=(2**20, 2**10), stride=(0, 0))), "unfold to more than"),
    "axes.pth": (pth(tensor_pickle(shape=(1,) * 65, stride=(1,) * 65)), "65 sizes"),
    "python_path.pth": (archive({"../../a/data.pkl": b"\x80\x02}."}), "leads out of it"),
    "absolute.pth": (archive({"/a/data.pkl": b"\x80\x02}."}), "leads out of it"),
    "compressed.pth": (archive({"a/data.pkl": b"\0" * 10**7}, method=zipfile.ZIP_DEFLATED), "compressed"),
    "no_pickle.pth": (archive({"a/b.npy": b"x"}), "no data.pkl"),
    "script.pth": (pth(tensor_pickle(), **{"a/constants.pkl": b"x"}), "TorchScript"),
    "tar.pth": (tar(), "tar archive"),
    "empty.pth": (b"", "empty"),
    "text.pth": (b"hello world" * 10, "no checkpoint"),
    "pickle.pth": (pickle.dumps({"a": 1}, 2), "torch.save's mark is missing"),
    "web.pth": (b"<!DOCTYPE html>", "web page"),
    "lfs.pth": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    "two_gigabytes.safetensors": (header("{}", 2**31), "header of 2147483648 bytes"),
    "exabytes.safetensors": (header("{}", 2**55), "header of"),
    "overlap.safetensors": (header("{" + W + "," + W.replace('"w"', '"v"') + "}", data=b"\0" * 8), "overlap"),
    "gap.safetensors": (header("{" + W.replace("[0,8]", "[8,16]") + "}", data=b"\0" * 16), "overlap or leave gaps"),
    "shape.safetensors": (header("{" + W.replace("[2]", "[3]") + "}", data=b"\0" * 8), "its shape takes 12"),
    "overflow.safetensors": (header("{" + W.replace("[2]", "[9999999999999999999]") + "}", data=b"\0" * 8), "shape"),
    "no_space.safetensors": (header("{" + W.replace("[2],", "[0,99999999999,9999],").replace("8", "0") + "}"), "shape"),
    "order.safetensors": (told(twinda_order="1,1"), "the order of its tensors"),
    "kinds.safetensors": (told(twinda='{"kinds":[1]}'), "its note"),
    "forms.safetensors": (told(twinda=FORMS), "its note"),
    "crowd.safetensors": (header("{" + CROWD + "}"), "more than 200000 tensors"),
    "negative.safetensors": (header("{" + W.replace("[0,8]", "[-8,0]") + "}", data=b"\0" * 8), "offsets"),
    "twice.safetensors": (header("{" + W + "," + W + "}", data=b"\0" * 8), "twice"),
    "dtype.safetensors": (header("{" + W.replace("F32", "X1") + "}", data=b"\0" * 8), "X1"),
    "deep.safetensors": (header("{" * 100_000), "damaged header"),
    "list.safetensors": (header("{ ]"), "damaged header"),
    "short.safetensors": (header("{" + W + "}", data=b"\0" * 4), "cut off or damaged"),
    "shape_float.safetensors": (header("{" + W.replace("[2]", "[2.0]") + "}", data=b"\0" * 8), "shape or offsets"),
    "shape_nan.safetensors": (header("{" + W.replace("[2]", "[NaN]") + "}", data=b"\0" * 8), "shape or offsets"),
    "path.safetensors": (header("{" + W.replace('"w"', '"../../etc/passwd"') + "}", data=b"\0" * 8), "leads out"),
    "nul.safetensors": (header("{" + W.replace('"w"', r'"a\u0000b"') + "}", data=b"\0" * 8), "control characters"),
    "encrypted.ckpt": (b"\xd8\x5e\x3a\x7f" + b"\0" * 60, "encrypted"),
    "negative_dims.ckpt": (value(b"w", dims=(2**64 - 1, 2**64 - 2)), "damaged"),
    "negative_empty.ckpt": (value(b"w", dims=(2**64 - 1, 0), content=b""), "the shape of w"),
    "size.ckpt": (value(b"w", dims=(3,)), "not 12"),
    "huge_dims.ckpt": (value(b"w", dims=(2**60, 2**60)), "damaged"),
    "no_space.ckpt": (value(b"w", dims=(0, 2**62), content=b""), "the shape of w"),
    "many_dims.ckpt": (value(b"w", dims=(1,) * 40), "more than 32 axes"),
    "kind.ckpt": (value(b"w", kind=b"Object"), "type Object"),
    "twice.ckpt": (value(b"w") + value(b"v") + value(b"w"), "twice"),
    "tail.ckpt": (value(b"w") + b"\x0a\xff\xff\xff\xff\x7f", "cut off or damaged"),
    "varint.ckpt": (value(b"w") + b"\x0a" + b"\xff" * 20, "cut off or damaged"),
    "foreign.ckpt": (value(b"w") + b"\x2a\x01x", "no MindSpore checkpoint"),
    "crc.ckpt": (value(b"w") + b"crc_num" + b"\0" * 10, "its CRC differs"),
    "path.ckpt": (value(b"../../etc/passwd"), "leads out"),
    "drive.ckpt": (value(b"C:\\x"), "leads out"),
    "escape.ckpt": (value(b"\x1b[2Jw"), "control characters"),
    "utf8.ckpt": (value(b"\xff\xfe"), "damaged"),
    "maptensor.ckpt": (ckpt._delimited(1, ckpt._delimited(1, b"m") + ckpt._delimited(3, b"")), "MapParameter"),
    "note.ckpt": (value(b"w") + ckpt._delimited(ckpt.NOTE_FIELD, b"[1"), "its note"),
    "note_depth.ckpt": (value(b"w") + ckpt._delimited(ckpt.NOTE_FIELD, b'{"a":' * 90_000), "its note"),
    "note_type.ckpt": (value(b"w") + ckpt._delimited(ckpt.NOTE_FIELD, NOTE), "note"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_refused_in_one_line_quickly_with_nothing_written(tmp_path, name):
    data, says = HOSTILE[name]
    path, target = tmp_path / name, tmp_path / f"out{'.ckpt' if name.endswith('.pth') else '.pth'}"
    path.write_bytes(data)
    started, before = time.process_time(), peak(afresh=True)
    with pytest.raises(UserError) as error:
        convert_file(path, target)
    assert time.process_time() - started < SECONDS
    assert peak() - before < MEGABYTES * 2**20
    with suppress(UserError):  # what only its note spoils may be looked at
        inspect(path)
    text = str(error.value)
    assert says in text and "\n" not in text and len(text) < 600, text
    assert text.count(name) == 1 and text.isprintable()
    assert sorted(tmp_path.iterdir()) == [path] and path.read_bytes() == data
    assert not os.path.exists(EVIL)


@pytest.mark.parametrize("name", ["command.pth", "two_gigabytes.safetensors", "encrypted.ckpt", "text.pth"])
def test_the_command_line_says_one_line_and_exits_with_2(tmp_path, name):
    (tmp_path / name).write_bytes(HOSTILE[name][0])
    for arguments in (["convert", tmp_path / name, tmp_path / "out.safetensors"], ["inspect", tmp_path / name]):
        done = cli(*arguments)
        assert done.returncode == 2 and done.stdout == ""
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "out.safetensors").exists()
