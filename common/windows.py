"""Index arithmetic of multi-scale and sliding-window prediction."""

from collections.abc import Sequence

Window = tuple[int, int, int, int]  # top, left, bottom, right


def scaled(size: Sequence[int], scale: float | Sequence[int]) -> tuple[int, int]:
    """Return (height, width) times ``scale``, at least one pixel; a scale (width, height) is the size itself."""
    if not isinstance(scale, float | int):
        return int(scale[1]), int(scale[0])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def windows(size: Sequence[int], window: Sequence[int], stride: Sequence[int] | None = None) -> list[Window]:
    """Return the windows that cover an image, row by row; the last of an axis is shifted back to end at the edge.

    Args:
        size: (height, width) of the image.
        window: (height, width) of a window; an axis longer than the image's is cut to it.
        stride: (rows, columns) between windows; None takes half a window.
    Raises:
        ValueError: If the stride is larger than the window, which would leave gaps.
    """
    rows, columns = (
        _starts(length, min(extent, length), step)
        for length, extent, step in zip(size, window, stride or [(extent + 1) // 2 for extent in window])
    )
    height, width = min(window[0], size[0]), min(window[1], size[1])
    return [(top, left, top + height, left + width) for top in rows for left in columns]


def _starts(length: int, window: int, step: int) -> list[int]:
    if window < length and not 0 < step <= window:
        raise ValueError(f"a stride of {step} leaves gaps between windows of {window}")
    starts = list(range(0, length - window, step))
    return [*starts, length - window]
