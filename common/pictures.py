"""Pictures of label maps and of images with their classes, side by side with captions; written with Pillow."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_CAPTION_HEIGHT, _GAP, _LINE = 18, 4, 14  # pixels


def coloured(labels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Paint train ids.

    Args:
        labels: (H, W) uint8.
        palette: (256, 3) uint8, the colour of each id; see ``ClassSet.palette``.
    Returns:
        (H, W, 3) uint8 RGB.
    """
    return palette[labels]


def overlay(image: np.ndarray, labels: np.ndarray, palette: np.ndarray, opacity: float = 0.5) -> np.ndarray:
    """Lay the colours of train ids over their image; ignored pixels (255) show the image alone.

    Args:
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) uint8.
        palette: (256, 3) uint8.
        opacity: Share of the colour, in [0, 1].
    Returns:
        (H, W, 3) uint8 RGB.
    """
    mixed = image * (1.0 - opacity) + coloured(labels, palette) * opacity
    return np.where((labels == 255)[..., None], image, mixed.round().astype(np.uint8))


def errors(labels: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Paint where a prediction is wrong: red wrong, grey right, black where the truth is ignored.

    Args:
        labels: (H, W) uint8 predicted train ids.
        truth: (H, W) uint8, 255 ignored.
    Returns:
        (H, W, 3) uint8 RGB.
    """
    colours = np.array([[200, 200, 200], [210, 30, 30], [0, 0, 0]], np.uint8)
    return colours[np.where(truth == 255, 2, labels != truth)]


def fitted(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a picture of ``size`` (width, height): RGB resampled smoothly, label maps (H, W) by nearest pixel."""
    how = Image.Resampling.NEAREST if image.ndim == 2 else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(image).resize(size, how))


def sheet(rows: Sequence[Sequence[np.ndarray]], captions: Sequence[str]) -> np.ndarray:
    """Put pictures side by side, one row an example, with a caption above each column.

    Args:
        rows: Pictures (H, W, 3) uint8; every row has as many as there are captions, all of one row have one size.
        captions: One line a column.
    Returns:
        (H, W, 3) uint8 RGB, white between the pictures.
    Raises:
        ValueError: If there is nothing to show.
    """
    if not rows or not captions:
        raise ValueError("no pictures to put on a sheet")
    widths = [max(row[column].shape[1] for row in rows) for column in range(len(captions))]
    heights = [row[0].shape[0] for row in rows]
    size = sum(widths) + _GAP * (len(widths) + 1), _CAPTION_HEIGHT + sum(heights) + _GAP * (len(heights) + 1)
    canvas = Image.new("RGB", size, "white")
    draw, x = ImageDraw.Draw(canvas), _GAP
    for column, width in enumerate(widths):
        draw.text((x, 2), captions[column], fill="black", font=ImageFont.load_default(12))
        y = _CAPTION_HEIGHT
        for row, height in zip(rows, heights):
            canvas.paste(Image.fromarray(row[column]), (x, y))
            y += height + _GAP
        x += width + _GAP
    return np.asarray(canvas)


def captioned(image: np.ndarray, lines: Sequence[tuple[str, tuple[int, int, int]]], width: int) -> np.ndarray:
    """Return an image, (H, W, 3) uint8, centred above some lines of coloured text, on white of a given width.

    Args:
        image: Not wider than ``width``.
        lines: (text, RGB) each; texts that are too long are cut.
        width: Pixels.
    """
    canvas = Image.new("RGB", (width, image.shape[0] + _LINE * len(lines) + 2), "white")
    canvas.paste(Image.fromarray(image), ((width - image.shape[1]) // 2, 0))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(11)
    for number, (text, colour) in enumerate(lines):
        while text and font.getlength(text) > width:
            text = text[:-1]
        draw.text((width // 2, image.shape[0] + 1 + _LINE * number), text, fill=colour, font=font, anchor="mt")
    return np.asarray(canvas)


def grid(tiles: Sequence[np.ndarray] | np.ndarray, columns: int) -> np.ndarray:
    """Return pictures, (H, W, 3) uint8, in rows of ``columns``, white between them.

    Raises:
        ValueError: If there is nothing to show.
    """
    if not len(tiles):
        raise ValueError("no pictures to put in a grid")
    height, width = (max(tile.shape[side] for tile in tiles) for side in (0, 1))
    rows = -(-len(tiles) // columns)
    result = np.full((rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP, 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        top, left = (_GAP + (side + _GAP) * place for side, place in zip((height, width), divmod(number, columns)))
        result[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return result


def legend(names: Sequence[str], palette: np.ndarray, width: int = 960) -> np.ndarray:
    """Return the classes' names beside their colours, as (H, W, 3) uint8, wrapped to ``width`` pixels."""
    font, line = ImageFont.load_default(12), 18
    lengths = [24 + int(font.getlength(name)) + 14 for name in names]
    places, x, y = [], 0, 0
    for length in lengths:
        if x and x + length > width:
            x, y = 0, y + line
        places.append((x, y))
        x += length
    canvas = Image.new("RGB", (width, y + line), "white")
    draw = ImageDraw.Draw(canvas)
    for (x, y), name, colour in zip(places, names, palette):
        draw.rectangle((x, y + 2, x + 18, y + line - 4), fill=tuple(map(int, colour)), outline="black")
        draw.text((x + 24, y + 1), name, fill="black", font=font)
    return np.asarray(canvas)


def png(image: np.ndarray) -> bytes:
    """Encode a picture (H, W, 3) or a label map (H, W), uint8."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def write_png(path: Path, image: np.ndarray) -> None:
    """Write a picture or a label map, uint8, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(image))


def read_png(path: Path) -> np.ndarray:
    """Read what ``write_png`` wrote."""
    with Image.open(path) as image:
        return np.array(image)
