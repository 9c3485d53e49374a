"""Reading single image and label files: bounded, and with one clear line for every file that cannot be read."""

import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from common.errors import UserError

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM")
LOSSY = ("JPEG", "WEBP")
MAX_PIXELS = 1 << 26  # 8192 x 8192; a small file that unpacks to more is refused before it is unpacked
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError, struct.error,
          zlib.error, Image.DecompressionBombError)  # fmt: skip
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # MAX_PIXELS is below Pillow's bound


def read_image(path: Path) -> np.ndarray:
    """Return an image as (H, W, 3) uint8 RGB.

    Raises:
        UserError: If the file is missing, no image, truncated, damaged or too large.
    """
    return _read(path, lambda picture: np.array(picture.convert("RGB")))


def read_ids(path: Path) -> np.ndarray:
    """Return the ids of a label file as (H, W) uint8: grey values, or the indices of a palette PNG.

    Raises:
        UserError: As ``read_image``; or the file holds colours, ids above 255, or is lossy.
    """
    return _read(path, lambda picture: _ids(path, picture))


def read_ids_16bit(path: Path) -> np.ndarray:
    """Return the first channel of a 16 bit RGB PNG as (H, W) uint8, as SYNTHIA's original label files need.

    Pillow reads such a file as 8 bit RGB and keeps the high bytes, so that every id becomes 0. Told that the
    values are little-endian it keeps the low bytes instead; the high ones must then be 0. Files of other kinds
    are read as ``read_ids`` does.

    Raises:
        UserError: As ``read_ids``.
    """

    def low_bytes(picture: Image.Image) -> np.ndarray:
        if not picture.tile or picture.tile[0].args != "RGB;16B":
            return _ids(path, picture)
        picture.tile = [tile._replace(args="RGB;16L") for tile in picture.tile]
        return np.array(picture)[:, :, 0]

    def high_bytes(picture: Image.Image) -> bool:
        return bool(picture.tile) and picture.tile[0].args == "RGB;16B" and bool(np.array(picture)[:, :, 0].any())

    if _read(path, high_bytes):
        raise UserError(f"{path}: holds ids above 255; not a SYNTHIA label file")
    return _read(path, low_bytes)


def _ids(path: Path, picture: Image.Image) -> np.ndarray:
    if picture.format in LOSSY:
        raise UserError(f"{path}: {picture.format} changes ids; label files must be lossless, for example PNG")
    packed = getattr(picture.tile[0], "args", None) if picture.tile else None
    if picture.mode == "1" or packed in ("L;1", "L;2", "L;4"):
        raise UserError(f"{path}: grey PNG of less than 8 bit, whose values would be scaled; save the ids with 8 bit")
    if picture.mode in ("L", "P"):
        return np.array(picture)
    if picture.mode.startswith("I"):
        wide = np.array(picture)
        if wide.size and (wide.max() > 255 or wide.min() < 0):
            raise UserError(f"{path}: holds ids outside 0..255 (up to {wide.max()}); label files hold 8 bit ids")
        return wide.astype(np.uint8)
    raise UserError(
        f"{path}: holds colours (mode {picture.mode}), not ids; set label_ids: palette and palette (colour: train id)"
    )


def _read(path: Path, take: Callable[[Image.Image], object]):
    """Open ``path``, check its size and return ``take(picture)``; every failure becomes one line."""
    try:
        with Image.open(path, formats=FORMATS) as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise UserError(f"{path}: {width}x{height} pixels are more than the {MAX_PIXELS} that are read")
            return take(picture)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except PermissionError:
        raise UserError(f"{path}: not readable, permission denied") from None
    except IsADirectoryError:
        raise UserError(f"{path}: a folder, not an image") from None
    except Image.UnidentifiedImageError:
        raise UserError(f"{path}: empty, damaged or not an image ({', '.join(FORMATS)})") from None
    except DAMAGE as error:
        raise UserError(f"{path}: truncated or damaged ({error}); fetch it again") from None
