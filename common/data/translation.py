"""LAB translation of source images made once and kept: ``data.colour: {mode: cached, cache: FOLDER}``.

The online form draws another target image every time a source image is seen; here each source image has one.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from common.colour import lab_statistics, transfer
from common.draws import generator
from common.errors import UserError
from common.pseudo.folder import write_whole


def translation_path(folder: Path, name: str) -> Path:
    """Return where the translation of a source image lies: its own name below ``folder``, as PNG."""
    return (folder / name).with_suffix(".png")


def translate(source: Any, target: Any, folder: Path, seed: int, report: Callable[[int], object] = id) -> int:
    """Translate every source image at its native size into the colours of a target image drawn for it.

    Files that are there are left alone, so that a run that was cut short goes on.

    Args:
        source: Dataset whose images are translated.
        target: Dataset whose colours are taken, uniformly over its images.
        folder: Receives one PNG an image.
        seed: Of the draws.
        report: Called with the number of images done after each one.
    Returns:
        How many images were written.
    """
    written = 0
    for index, name in enumerate(source.names):
        path = translation_path(folder, name)
        if not path.exists():
            style = int(generator(seed, "translation", name).integers(len(target)))
            image = transfer(source.native_image(index), lab_statistics(target.native_image(style)))
            write_whole(path, lambda file, image=image: Image.fromarray(image).save(file, "PNG"))
            written += 1
        report(index + 1)
    return written


def read_translation(folder: Path, name: str) -> np.ndarray:
    """Return the translation of a source image, (H, W, 3) uint8 RGB at its native size.

    Raises:
        UserError: If it is missing or damaged.
    """
    path = translation_path(folder, name)
    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGB"))
    except FileNotFoundError:
        raise UserError(f"{path}: missing. Run: python scripts/prepare_data.py translate CONFIG") from None
    except (OSError, SyntaxError) as error:
        raise UserError(f"{path}: damaged ({error}); remove it and run prepare_data.py translate again") from None
