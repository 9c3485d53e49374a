"""Small datasets on disk, in the official layouts, and the images and labels that go into them."""

import struct
import zlib
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from common.data.labels import CLASS_SETS, ClassSet, label_palette
from common.data.roles import open_dataset
from common.data.segmentation import SegmentationDataset
from common.draws import generator
from common.schema import DatasetConfig

C19, C16 = CLASS_SETS["cityscapes19"], CLASS_SETS["cityscapes16"]
SIZE = (20, 12)  # width, height


def opened(layout: str, root: Path, classes: ClassSet = C19, **keys) -> SegmentationDataset:
    """Open one dataset; ``keys`` are those of its section."""
    return open_dataset(DatasetConfig(layout=layout, root=root, **keys), classes)


def picture(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return a noisy image, (H, W, 3) uint8."""
    return generator(7, "picture", index).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)


def ids(index: int, known: tuple[int, ...], size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return a label of known raw ids, (H, W) uint8, in patches so that resizing keeps most of them."""
    patches = generator(7, "ids", index).integers(0, len(known), (size[1] // 2, size[0] // 2))
    return np.array(known, np.uint8)[patches].repeat(2, 0).repeat(2, 1)


def save(path: Path, pixels: np.ndarray, palette: list[int] | None = None) -> Path:
    """Write pixels as a PNG or JPEG by the name's end; with a palette as an indexed PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if palette:
        image = image.convert("P")
        image.putpalette(palette)
    image.save(path)
    return path


def gta5(root: Path, count: int = 4) -> Path:
    """Write GTA5's layout: palette PNGs with label ids."""
    for i in range(count):
        save(root / "images" / f"{i + 1:05d}.png", picture(i))
        save(root / "labels" / f"{i + 1:05d}.png", ids(i, (0, 7, 11, 26, 34)), label_palette())
    return root


def cityscapes(root: Path, split: str = "train", cities: tuple[str, ...] = ("aachen", "ulm"), count: int = 2) -> Path:
    """Write Cityscapes' layout, ``count`` images a city."""
    for c, city in enumerate(cities):
        for i in range(count):
            stem = f"{split}/{city}/{city}_{i:06d}_000019"
            save(root / f"leftImg8bit/{stem}_leftImg8bit.png", picture(10 * c + i))
            save(root / f"gtFine/{stem}_gtFine_labelIds.png", ids(10 * c + i, (0, 7, 8, 22, 27, 33)))
    return root


def rgb16(path: Path, values: np.ndarray) -> Path:
    """Write (H, W, 3) uint16 as a 16 bit RGB PNG, which Pillow cannot; every row is filtered like a real file's."""
    height, width, _ = values.shape
    raw = values.astype(">u2").tobytes()
    stride = width * 6
    rows = [np.frombuffer(raw[i * stride : (i + 1) * stride], np.uint8) for i in range(height)]
    lines = [b"\x00" + rows[0].tobytes()]
    lines += [b"\x02" + (row - above).tobytes() for above, row in pairwise(rows)]  # filter "up"
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(lines))), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*item) for item in chunks))
    return path


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return one chunk of a PNG file."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def synthia(root: Path, count: int = 3, parsed: bool = False) -> Path:
    """Write SYNTHIA's layout with 16 bit labels, or with parsed ones."""
    for i in range(count):
        raw = ids(i, (0, 1, 3, 4, 16, 22))
        save(root / "RGB" / f"{i:07d}.png", picture(i))
        if parsed:
            save(root / "parsed_LABELS" / f"{i:07d}.png", raw)
        else:
            instances = np.full_like(raw, 200, np.uint16) * 300
            rgb16(root / "GT/LABELS" / f"{i:07d}.png", np.stack([raw, instances, instances], axis=2))
    return root
