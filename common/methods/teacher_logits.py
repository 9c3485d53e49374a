"""Logits of the fixed teachers on the unlabelled images, predicted once and kept (option ``cache_teachers``).

While a student trains, teachers and images stay as they are; predicting them in every step is two thirds of the
forward cost. One float16 file an image and teacher: (C, h, w) at the network's stride, 0.3 MB at 1024x512.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import UserError
from common.pseudo.folder import write_whole
from common.pseudo.predictions import Predictor, image_batches


def write_logits(folder: Path, dataset: Any, names: Sequence[str], predictor: Predictor, batch_size: int) -> dict:
    """Predict images and write ``NAME.npy``.

    Args:
        folder: Receives the files.
        dataset: Holds the images.
        names: Which of them.
        predictor: The teacher.
        batch_size: Images of equal size predicted together.
    Returns:
        The number of images.
    Raises:
        UserError: If a logit is not finite, in float16 that is beyond 65504.
    """
    for some, images in image_batches(dataset, names, batch_size):
        for name, logits in zip(some, predictor.logits(images)):
            with np.errstate(over="ignore"):  # infinities are found below
                small = logits.astype(np.float16)
            if not np.isfinite(small).all():
                raise UserError(f"the teacher's logits of {name} do not fit float16; set method.cache_teachers: false")
            write_whole(_path(folder, name), lambda file, array=small: np.save(file, array))
    return {"images": len(names)}


def read_logits(folder: Path, name: str) -> np.ndarray:
    """Return the logits of an image, (C, h, w) float16.

    Raises:
        UserError: If the file is missing or damaged.
    """
    try:
        return np.load(_path(folder, name), allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"{_path(folder, name)}: unreadable ({error}); remove its stage and run it again") from None


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.npy"
