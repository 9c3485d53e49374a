"""Where files lie: wrong names and places, failing disks, killed writers, modes, reports."""

import json
import os
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest

from common.errors import UserError
from convert.__main__ import main
from convert.single import convert_file
from tests.convert.checkpoints import ROOT, cli, write_ckpt, write_pth


@pytest.mark.parametrize(
    ("name", "says"), [("a.ckpt", "PyTorch checkpoint by its content; name it .pth"), ("a.h5", "must end in")]
)
def test_a_wrong_extension_is_named(tmp_path, name, says):
    path = write_pth(tmp_path / name, {"w": np.ones(2, np.float32)})
    with pytest.raises(UserError, match=says):
        convert_file(path, tmp_path / "out.safetensors")


def test_places_that_cannot_be(tmp_path):
    path = write_pth(tmp_path / "a.pth", {"w": np.ones(2, np.float32)})
    (tmp_path / "dir.ckpt").mkdir()
    os.symlink(path, tmp_path / "link.pth")
    os.mkfifo(tmp_path / "pipe.pth")
    for source, target, says in [
        (path, path, "the source itself"),
        (path, tmp_path / "link.pth", "the source itself"),
        (path, tmp_path / "no" / "b.ckpt", "does not exist"),
        (path, tmp_path / "dir.ckpt", "is a folder"),
        (path, tmp_path / "b.txt", "must end in"),
        (tmp_path / "none.pth", tmp_path / "b.ckpt", "no such file"),
        (tmp_path / "pipe.pth", tmp_path / "b.ckpt", "not a regular file"),
        ("a\0b.pth", tmp_path / "b.ckpt", "NUL byte"),
        (path, "a\0b.ckpt", "NUL byte"),
    ]:
        with pytest.raises(UserError, match=says):
            convert_file(source, target)
    assert {p.name for p in tmp_path.iterdir()} == {"a.pth", "dir.ckpt", "link.pth", "pipe.pth"}


def test_a_failing_disk_leaves_the_older_target_and_no_rest(tmp_path, monkeypatch):
    path = write_pth(tmp_path / "a.pth", {"w": np.ones(20000, np.float32)})
    old = write_ckpt(tmp_path / "b.ckpt", {"old": np.ones(2, np.float32)}).read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limit[1]))
    try:
        with pytest.raises(OSError, match=r"File too large.*b\.ckpt"):
            convert_file(path, tmp_path / "b.ckpt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
    assert (tmp_path / "b.ckpt").read_bytes() == old and len(list(tmp_path.iterdir())) == 2


def test_a_killed_writer_leaves_the_older_target_and_its_rest_is_swept(tmp_path):
    path = write_pth(tmp_path / "a.pth", {"w": np.ones(2, np.float32)})
    old = write_ckpt(tmp_path / "b.ckpt", {"old": np.ones(2, np.float32)}).read_bytes()
    code = (
        "import os, signal, sys\n"
        "from convert.formats.files import published\n"
        "with published(sys.argv[1]) as file:\n"
        "    file.write(b'half')\n"
        "    file.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "b.ckpt")], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "b.ckpt").read_bytes() == old and len(list(tmp_path.iterdir())) == 3
    convert_file(path, tmp_path / "b.ckpt")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.pth", "b.ckpt"]


def test_the_target_has_the_umask_mode_and_the_source_is_untouched(tmp_path):
    path = write_pth(tmp_path / "a.pth", {"w": np.ones(2, np.float32)})
    path.chmod(0o444)
    status, data = path.stat(), path.read_bytes()
    old = os.umask(0o027)
    try:
        convert_file(path, tmp_path / "b.ckpt")
    finally:
        os.umask(old)
    assert (tmp_path / "b.ckpt").stat().st_mode & 0o777 == 0o640
    assert path.read_bytes() == data and path.stat().st_mtime_ns == status.st_mtime_ns


def test_json_report_is_written_whole(tmp_path):
    path = write_pth(tmp_path / "a.pth", {"bn.running_mean": np.ones(2, "f4"), "bn.running_var": np.ones(2, "f4")})
    done = cli("convert", path, tmp_path / "b.ckpt", "--report", tmp_path / "r.json")
    assert done.returncode == 0, done.stderr
    (entry,) = json.loads((tmp_path / "r.json").read_text())["files"]
    assert entry["renamed"] == {"bn.running_mean": "bn.moving_mean", "bn.running_var": "bn.moving_variance"}


def test_a_report_never_takes_the_place_of_a_checkpoint(tmp_path):
    path = write_pth(tmp_path / "a.pth", {"w": np.ones(2, np.float32)})
    (tmp_path / "folder").mkdir()
    os.link(path, tmp_path / "hard.json")
    data, target = path.read_bytes(), tmp_path / "b.ckpt"
    for report in (path, target, path / "r.json", tmp_path / "hard.json", tmp_path / "folder"):
        with pytest.raises(UserError, match=r"--report .*(lies within it|is a folder)"):
            main(["convert", str(path), str(target), "--report", str(report)])
    assert path.read_bytes() == data and not target.exists()


def test_a_link_as_target_is_replaced_not_followed(tmp_path):
    path = write_pth(tmp_path / "a.pth", {"w": np.ones(2, np.float32)})
    (tmp_path / "precious").write_bytes(b"1")
    os.symlink(tmp_path / "precious", tmp_path / "b.ckpt")
    convert_file(path, tmp_path / "b.ckpt")
    assert (tmp_path / "precious").read_bytes() == b"1" and not (tmp_path / "b.ckpt").is_symlink()
