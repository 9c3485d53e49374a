"""Datasets in memory that tell where each pixel came from, and contexts over them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.config import Config
from common.data.files import read_image
from common.data.labels import CLASS_SETS, ClassSet
from common.data.transforms import resize_image, resize_label
from common.draws import generator
from common.stage import StageContext


class Pictures:
    """A dataset in memory: image i of domain d is noise whose red channel is ``base + i``; its label is i, or 255."""

    def __init__(self, name: str, count: int, size: tuple[int, int], native: tuple[int, int], base: int):
        self.name, self.size, self.native, self.base = name, size, native, base
        self.names = [f"city/{name}_{i:03d}_leftImg8bit.png" for i in range(count)]

    def __len__(self) -> int:
        return len(self.names)

    def native_image(self, i: int) -> np.ndarray:
        """Return noise with a telling red channel."""
        image = generator(1, self.name, i).integers(0, 256, (self.native[1], self.native[0], 3), dtype=np.uint8)
        image[..., 0] = self.base + i
        return image

    def native_label(self, i: int) -> np.ndarray:
        """Return the index everywhere, 255 in the first column."""
        label = np.full(self.native[::-1], i, np.uint8)
        label[:, 0] = 255
        return label

    def image(self, i: int, folder: Path | None = None) -> np.ndarray:
        """Return the image, or its translation in ``folder``, at the configured size."""
        return self.fit(read_image(folder / self.names[i]) if folder else self.native_image(i))

    def fit(self, image: np.ndarray) -> np.ndarray:
        """Return an image at the configured size."""
        return resize_image(image, self.size)

    def resized(self, size: tuple[int, int]) -> "Pictures":
        """Return the same images at another size."""
        return Pictures(self.name, len(self), size, self.native, self.base)

    def truth(self, name: str) -> np.ndarray | None:
        """Return the label of an image by its name."""
        return self.label(self.names.index(name))

    def label(self, i: int) -> np.ndarray:
        """Return the label at the configured size."""
        return resize_label(self.native_label(i), self.size)

    def fingerprint(self) -> str:
        """Return the name."""
        return self.name


@dataclass
class World:
    """A source of 6 images at 20x12, a target of 8 at 16x8 with labelled images 5 and 2."""

    source: Pictures
    target: Pictures
    labelled: list[int]
    val: Pictures | None = None
    classes: ClassSet = CLASS_SETS["cityscapes19"]


def world() -> World:
    """Return a fresh one."""
    return World(Pictures("game", 6, (20, 12), (26, 14), 10), Pictures("camera", 8, (16, 8), (24, 18), 200), [5, 2])


def config(method: dict | None = None, **sections) -> Config:
    """Return a configuration that fits ``world()``."""
    data = {
        "source": {"layout": "gta5", "root": "x", "size": (20, 12)},
        "target": {"layout": "cityscapes", "root": "x", "size": (16, 8)},
        "val": {"layout": "cityscapes", "root": "x"},
        "labelled": {"count": 2},
        **sections.pop("data", {}),
    }
    tree = {"name": "test", "data": data, "train": {"steps": 7, "batch_size": 2}, "method": method or {"name": "ddm"}}
    return Config.model_validate({**tree, **sections})


def context(of: Config, stage: str, folder: Path = Path("nowhere"), **options) -> StageContext:
    """Return the context of a stage over ``world()``; pseudo-labels of round 1 lie in ``folder``."""
    return StageContext(of, world(), stage, folder, {"round1/pseudo": folder}, **options)
