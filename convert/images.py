"""The images on which two networks are compared: drawn ones, or the first of a validation set."""

from collections.abc import Sequence

import numpy as np

from common.config import Config
from common.data.labels import class_set
from common.data.roles import open_dataset
from common.data.toy_streets import draw
from common.draws import generator

Sizes = Sequence[tuple[int, int]]  # (width, height), pixels

SIZES = ((128, 64), (193, 98), (163, 131))  # of drawn images for segmentation: even, odd, and small
SHAPES = ((1, 64, 96), (2, 65, 98), (3, 131, 67))  # (N, H, W) on which an exported file is checked: even, odd, both
USUAL = (224, 224)  # what networks that are made for one size see where the configuration does not say it
_BATCH = (128, 64)
_CLASSIFIED = 8  # images of a batch for classification: the batch statistics of small last maps are those of many


def fixed_size(config: Config) -> tuple[int, int] | None:
    """Return the size of the images that the network is made for; None when any will do."""
    if config.network.any_size():
        return None
    return config.data.val.crop or config.data.val.size or USUAL


def sizes(config: Config) -> Sizes:
    """Return the sizes at which two networks of a configuration are compared."""
    size = fixed_size(config)
    return SIZES if size is None else (size,) * len(SIZES)


def shapes(config: Config) -> tuple[tuple[int, int, int], ...]:
    """Return the (N, H, W) at which an exported file is checked; a network for one size frees N alone."""
    size = fixed_size(config)
    return SHAPES if size is None else tuple((count, size[1], size[0]) for count, _, _ in SHAPES)


def drawn_images(seed: int = 0, wanted: Sizes = SIZES) -> tuple[list[np.ndarray], list[str]]:
    """Return images of toy streets, (3, H, W) uint8 RGB, one of each domain and size, and their names."""
    images, names = [], []
    for index, size in enumerate(wanted):
        for domain in ("game", "camera"):
            picture = draw(domain, seed, index, size)
            images.append(np.ascontiguousarray(picture[0].transpose(2, 0, 1)))
            names.append(f"toy streets, {domain} {index}, {size[0]}x{size[1]}, seed {seed}")
    return images, names


def data_images(config: Config, count: int) -> tuple[list[np.ndarray], list[str]]:
    """Return the first images of the configuration's validation set, (3, H, W) uint8 RGB, and their names."""
    dataset = open_dataset(config.data.val, class_set(config.classes), "data.val")
    count = min(count, len(dataset))
    images = [np.ascontiguousarray(dataset.image(index).transpose(2, 0, 1)) for index in range(count)]
    return images, [f"data.val: {name}" for name in dataset.names[:count]]


def labelled_batch(config: Config) -> dict[str, np.ndarray]:
    """Return drawn images with random labels: eight with classes, or two with maps of which a tenth is ignored."""
    size, classes = fixed_size(config) or _BATCH, len(class_set(config.classes))
    count, domains = _CLASSIFIED if config.task == "classification" else 2, ("game", "camera")
    images = np.stack([draw(domains[i % 2], 0, i // 2, size)[0].transpose(2, 0, 1) for i in range(count)])
    rng = generator(0, "deep")
    if config.task == "classification":
        return {"source_image": images, "source_label": rng.integers(classes, size=count).astype(np.int32)}
    blocks = rng.integers(classes, size=(2, size[1] // 8, size[0] // 8))
    blocks[rng.random(blocks.shape) < 0.1] = 255
    return {"source_image": images, "source_label": np.kron(blocks, np.ones((8, 8), np.int64)).astype(np.int32)}
