"""LAB translation of source images made once and kept: ``data.colour: {mode: cached, cache: FOLDER}``.

The online form draws another target image every time a source image is seen; here each source image has one.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from common.data.colour import lab_statistics, transfer
from common.draws import generator
from common.pseudo.folder import write_whole


def translate(source: Any, target: Any, folder: Path, seed: int) -> Iterator[Path]:
    """Translate source images at their native size, each into the colours of a target image drawn for it.

    Files that are there are left alone, so that a run that was cut short goes on.

    Args:
        source: Dataset whose images are translated.
        target: Dataset whose colours are taken, uniformly over its images.
        folder: Receives one PNG an image.
        seed: Of the draws.
    Yields:
        The file of each image when it is there.
    """
    for index, name in enumerate(source.names):
        path = folder / PurePosixPath(name).with_suffix(".png")
        if not path.is_file():
            style = int(generator(seed, "translation", name).integers(len(target)))
            image = transfer(source.native_image(index), lab_statistics(target.native_image(style)))
            write_whole(path, lambda file, image=image: Image.fromarray(image).save(file, "PNG"))
        yield path
