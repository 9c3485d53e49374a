"""Line charts drawn with Pillow."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Points = Sequence[tuple[float, float]]  # (x, y), in the order of x
Range = tuple[float, float]  # least, greatest

COLOURS = ((31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189), (140, 86, 75))
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 26, 24  # pixels around the plot
_SUPER = 2  # drawn larger and shrunk, for smooth lines


def line_chart(title: str, series: Mapping[str, Points], size: tuple[int, int] = (460, 260)) -> np.ndarray:
    """Draw one line for each series, with axes, ticks and a legend.

    Args:
        title: One line above the plot.
        series: Name -> points; those that are not finite are left out. No point at all gives empty axes.
        size: (width, height), pixels.
    Returns:
        (H, W, 3) uint8 RGB.
    """
    finite = {name: [p for p in points if math.isfinite(p[1])] for name, points in series.items()}
    xs, ys = ([p[axis] for points in finite.values() for p in points] or [0.0, 1.0] for axis in (0, 1))
    x_ticks, y_ticks = ticks(min(xs), max(xs), 6), ticks(min(ys), max(ys), 5)
    canvas = Image.new("RGB", (size[0] * _SUPER, size[1] * _SUPER), "white")
    plot = _Plot(ImageDraw.Draw(canvas), size, (x_ticks[0], x_ticks[-1]), (y_ticks[0], y_ticks[-1]))
    plot.axes(title, x_ticks, y_ticks)
    for index, (name, points) in enumerate(finite.items()):
        plot.line(points, COLOURS[index % len(COLOURS)], max(3.0 - 1.5 * index, 1.0))
        plot.legend(index, name, COLOURS[index % len(COLOURS)])
    return np.asarray(canvas.resize(size, Image.Resampling.LANCZOS))


def ticks(low: float, high: float, most: int) -> list[float]:
    """Return round numbers (1, 2 or 5 times a power of ten apart) that span ``low`` to ``high``, about ``most``."""
    span = high - low or abs(low) or 1.0
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, max(last, first + 1) + 1)]


class _Plot:
    """Maps data to pixels and draws."""

    def __init__(self, draw: ImageDraw.ImageDraw, size: tuple[int, int], x: Range, y: Range):
        self.draw, self.size, self.x, self.y = draw, size, x, y
        self.font = ImageFont.load_default(11 * _SUPER)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Pixel of a point."""
        right, bottom = self.size[0] - _RIGHT, self.size[1] - _BOTTOM
        across = _LEFT + (x - self.x[0]) / (self.x[1] - self.x[0]) * (right - _LEFT)
        down = bottom - (y - self.y[0]) / (self.y[1] - self.y[0]) * (bottom - _TOP)
        return across * _SUPER, down * _SUPER

    def axes(self, title: str, x_ticks: Sequence[float], y_ticks: Sequence[float]) -> None:
        """Title, grid and numbers."""
        self.draw.text((_LEFT * _SUPER, 4 * _SUPER), title, fill="black", font=self.font)
        for value in y_ticks:
            start, end = self.place(self.x[0], value), self.place(self.x[1], value)
            self.draw.line([start, end], fill=(225, 225, 225), width=_SUPER)
            self.draw.text((start[0] - 5 * _SUPER, start[1]), f"{value:g}", fill="black", font=self.font, anchor="rm")
        for value in x_ticks:
            at = self.place(value, self.y[0])
            self.draw.line([at, (at[0], at[1] + 4 * _SUPER)], fill="black", width=_SUPER)
            self.draw.text((at[0], at[1] + 5 * _SUPER), f"{value:g}", fill="black", font=self.font, anchor="mt")
        corners = [self.place(self.x[0], self.y[1]), self.place(self.x[0], self.y[0]), self.place(self.x[1], self.y[0])]
        self.draw.line(corners, fill="black", width=_SUPER)

    def line(self, points: Points, colour: tuple[int, int, int], width: float) -> None:
        """One series, later ones thinner, so that equal ones both show; a single point becomes a dot."""
        pixels = [self.place(*point) for point in points]
        if len(pixels) > 1:
            self.draw.line(pixels, fill=colour, width=round(width * _SUPER), joint="curve")
        elif pixels:
            (x, y), r = pixels[0], 3 * _SUPER
            self.draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)

    def legend(self, index: int, name: str, colour: tuple[int, int, int]) -> None:
        """A short line with its name, in the upper right."""
        x, y = (self.size[0] - 130) * _SUPER, (_TOP + 8 + 14 * index) * _SUPER
        self.draw.line([(x, y), (x + 16 * _SUPER, y)], fill=colour, width=3 * _SUPER)
        self.draw.text((x + 22 * _SUPER, y), name, fill="black", font=self.font, anchor="lm")
