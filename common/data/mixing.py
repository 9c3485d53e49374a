"""Domain mixing: which pixels of a mixed image come from the source, and the mixing itself.

A mask M is 1 where the target is kept and 0 where the source is pasted (DDM, eq. 1):
``mixed = M * target + (1 - M) * source``, for images and labels alike. Random numbers are
arguments, so that a rectangle can be drawn again; ``draw_mask`` takes them from a generator.
"""

from typing import Literal, NamedTuple

import numpy as np

IGNORED = 255
Sampler = Literal["cutmix", "fixed_area", "classmix"]


class Box(NamedTuple):
    """A rectangle of pixels: rows ``top`` to ``bottom - 1``, columns ``left`` to ``right - 1``; may be empty."""

    top: int
    left: int
    bottom: int
    right: int


def cutmix_box(height: int, width: int, lam: float, row: int, column: int) -> Box:
    """Return CutMix's rectangle (Yun et al., ICCV 2019, ``rand_bbox``): its area before clipping is 1 - lam.

    Args:
        height: Of the frame, pixels.
        width: Of the frame, pixels.
        lam: Share of the frame outside the rectangle, in [0, 1]; 1 gives an empty rectangle.
        row: Centre row, in [0, height).
        column: Centre column, in [0, width).
    """
    side = np.sqrt(1.0 - lam)
    half_height, half_width = int(height * side) // 2, int(width * side) // 2
    rows = np.clip([row - half_height, row + half_height], 0, height)
    columns = np.clip([column - half_width, column + half_width], 0, width)
    return Box(int(rows[0]), int(columns[0]), int(rows[1]), int(columns[1]))


def fixed_area_box(height: int, width: int, area: float, aspect: float, down: float, across: float) -> Box:
    """Return a rectangle of a given area that lies inside the frame (French et al., BMVC 2020).

    Args:
        height: Of the frame, pixels.
        width: Of the frame, pixels.
        area: Share of the frame inside the rectangle, in (0, 1].
        aspect: Draw in [0, 1] that chooses the height, log-uniform between ``area`` and the whole frame.
        down: Draw in [0, 1] that chooses the place among the possible rows.
        across: Draw in [0, 1] that chooses the place among the possible columns.
    """
    tall = np.exp(aspect * np.log(area))
    box_height, box_width = int(np.round(tall * height)), int(np.round(area / tall * width))
    top, left = int(np.round((height - box_height) * down)), int(np.round((width - box_width) * across))
    return Box(top, left, top + box_height, left + box_width)


def box_mask(height: int, width: int, box: Box) -> np.ndarray:
    """Return M of a rectangle: (height, width) uint8, 0 inside ``box`` (source), 1 outside (target)."""
    mask = np.ones((height, width), np.uint8)
    mask[box.top : box.bottom, box.left : box.right] = 0
    return mask


def class_mask(label: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return M of ClassMix (Olsson et al., WACV 2021): the pixels of the chosen source classes are pasted.

    Args:
        label: Source labels, (H, W) integers.
        chosen: Train ids to paste; none keeps the whole target.
    Returns:
        (H, W) uint8, 0 where ``label`` is one of ``chosen``.
    """
    return (~np.isin(label, chosen)).astype(np.uint8)


def draw_mask(
    rng: np.random.Generator, source_label: np.ndarray, sampler: Sampler = "cutmix", area: float = 0.5
) -> np.ndarray:
    """Draw a mask for one pair of images.

    Args:
        rng: Generator of this pair's position (``common.draws.generator``).
        source_label: (H, W) integers; its shape is the frame, its classes matter to ``classmix`` only.
        sampler: ``cutmix`` (lam ~ Beta(1, 1), then centre row, centre column), ``fixed_area`` (aspect, down,
            across), or ``classmix`` (half of the classes in ``source_label``, rounded up; ignored pixels stay out).
        area: Share of the frame inside the rectangle of ``fixed_area``, in (0, 1].
    Returns:
        M, (H, W) uint8: 1 keeps the target.
    """
    height, width = source_label.shape
    if sampler == "classmix":
        present = np.unique(source_label[source_label != IGNORED])
        return class_mask(source_label, rng.choice(present, (present.size + 1) // 2, replace=False))
    if sampler == "fixed_area":
        return box_mask(height, width, fixed_area_box(height, width, area, *rng.random(3)))
    lam = rng.beta(1.0, 1.0)
    row, column = int(rng.integers(height)), int(rng.integers(width))
    return box_mask(height, width, cutmix_box(height, width, lam, row, column))


def mix(mask: np.ndarray, target: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Return ``mask * target + (1 - mask) * source`` (DDM, eq. 1) without arithmetic: values pass unchanged.

    Args:
        mask: Broadcasts against the arrays: (H, W) for labels and channel-first images, (H, W, 1) for
            channel-last images, (N, 1, H, W) for a batch; 1 keeps the target.
        target: Image or label of any dtype; 255 in a label travels with its pixel.
        source: The same shape and dtype.
    Raises:
        ValueError: If target and source differ in shape or dtype.
    """
    if target.shape != source.shape or target.dtype != source.dtype:
        raise ValueError(
            f"mixing needs one frame: target {target.shape} {target.dtype}, source {source.shape} {source.dtype}"
        )
    return np.where(mask.astype(bool), target, source)
