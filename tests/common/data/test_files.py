"""Files that are read, and files that are refused in one line that names them."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.data.files import read_ids, read_ids_16bit, read_image
from common.errors import UserError
from tests.common.data.trees import chunk, picture, rgb16, save


def test_images_of_every_mode_become_rgb(tmp_path: Path) -> None:
    """Grey, palette and transparent images are read as three channels."""
    pixels = picture(0)
    for mode in ("RGB", "L", "P", "RGBA", "LA"):
        path = tmp_path / f"{mode}.png"
        Image.fromarray(pixels).convert(mode).save(path)
        got = read_image(path)
        assert got.shape == pixels.shape and got.dtype == np.uint8
        assert np.array_equal(got, pixels) == (mode in ("RGB", "RGBA"))


def test_ids_are_grey_values_or_palette_indices(tmp_path: Path) -> None:
    """The colours of a palette PNG do not touch its ids; 16 bit grey is read where it fits."""
    label = np.arange(240, dtype=np.uint8).reshape(12, 20)
    assert np.array_equal(read_ids(save(tmp_path / "l.png", label)), label)
    assert np.array_equal(read_ids(save(tmp_path / "p.png", label, palette=list(range(255, -1, -1)) * 3)), label)
    assert np.array_equal(read_ids(save(tmp_path / "i.png", label.astype(np.uint16))), label)
    with pytest.raises(UserError, match=r"wide\.png: holds ids outside 0\.\.255"):
        read_ids(save(tmp_path / "wide.png", label.astype(np.uint16) * 2))


def test_first_channel_of_16_bit_rgb(tmp_path: Path) -> None:
    """SYNTHIA's ids survive, whatever the other channels hold; Pillow's own reading would give zeros."""
    values = np.random.default_rng(0).integers(0, 65536, (12, 20, 3)).astype(np.uint16)
    values[:, :, 0] %= 23
    path = rgb16(tmp_path / "a.png", values)
    assert np.array_equal(read_ids_16bit(path), values[:, :, 0])
    assert not np.array_equal(read_image(path)[:, :, 0], values[:, :, 0])
    values[3, 4, 0] = 256
    with pytest.raises(UserError, match=r"b\.png: holds ids above 255"):
        read_ids_16bit(rgb16(tmp_path / "b.png", values))
    label = np.full((4, 4), 9, np.uint8)
    assert np.array_equal(read_ids_16bit(save(tmp_path / "c.png", label)), label)


def _bomb(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 999)) + chunk(b"IEND", b"")
    )


BROKEN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "half": (lambda good: good[: len(good) // 2], "truncated"),
    "header": (lambda good: good[:20], "truncated or damaged"),
    "empty": (lambda good: b"", "empty, damaged or not an image"),
    "text": (lambda good: b"<html>404</html>" * 9, "not an image"),
    "flipped": (lambda good: good[:300] + bytes([good[300] ^ 0x55]) + good[301:], "damaged"),
    "bomb": (lambda good: _bomb(100_000, 100_000), "exceeds limit"),
    "large": (lambda good: _bomb(9_000, 9_000), "9000x9000 pixels are more than"),
    "short": (lambda good: _bomb(100, 100), "truncated"),
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("read", [read_image, read_ids, read_ids_16bit])
def test_broken_files_are_named(tmp_path: Path, kind: str, read: Callable) -> None:
    """A damaged file ends in one line with its name and what is wrong."""
    spoil, message = BROKEN[kind]
    path = save(tmp_path / "x.png", picture(0, (40, 24))[:, :, 0])
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(UserError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_what_is_no_label_is_refused(tmp_path: Path) -> None:
    """Colours, lossy files, folders, missing files and packed grey PNGs are refused with the reason."""
    save(tmp_path / "rgb.png", picture(0))
    save(tmp_path / "lossy.jpg", np.zeros((8, 8), np.uint8))
    Image.fromarray(np.zeros((8, 8), np.uint8)).convert("1").save(tmp_path / "bits.png")
    reasons = {
        "rgb.png": "label_ids: palette",
        "lossy.jpg": "lossless",
        "bits.png": "less than 8 bit",
        "no.png": "no such file",
    }
    for name, reason in reasons.items():
        with pytest.raises(UserError, match=reason):
            read_ids(tmp_path / name)
    with pytest.raises(UserError, match="a folder"):
        read_ids(tmp_path)
