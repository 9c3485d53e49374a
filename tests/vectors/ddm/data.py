"""Runners of the data path: preprocessing, label maps, labelled splits."""

import re
from collections.abc import Iterator

import numpy as np

from common.data.labels import CLASS_SETS, cityscapes_table, synthia_table
from common.data.splits import labelled_positions
from common.data.transforms import normalise, resize_image, resize_label
from common.schema import InputConfig
from tests.vectors import Check, Vector

CITYSCAPES_TRAIN = 2975  # images; the official list that the splits are drawn from
TABLES = {"cityscapes": cityscapes_table, "gta5": cityscapes_table, "synthia": synthia_table}
LABEL_MAPS = {"label19": "cityscapes19", "label16": "cityscapes16", "label_gta": "cityscapes19"}


def preprocess(vector: Vector, backend: object) -> Iterator[Check]:
    """Resize and normalise each image as the network gets it; resize and map each label."""
    for case in vector.cases:
        sizes = vector.params["cases"][int(case)]
        mean = InputConfig(mean=tuple(vector.params["mean_bgr"]))
        image = resize_image(vector.arrays[f"rgb_{case}"], tuple(sizes["image_size_wh"]))
        yield Check(f"{case} image", normalise(image, mean), vector.arrays[f"image_{case}"], kind="exact")
        ids = resize_label(vector.arrays[f"label_ids_{case}"], tuple(sizes["labels_size_wh"]))
        for name, classes in LABEL_MAPS.items():
            want = vector.arrays[f"{name}_{case}"]
            yield Check(f"{case} {name}", cityscapes_table(CLASS_SETS[classes])[ids], want, kind="exact")


def label_maps(vector: Vector, backend: object) -> Iterator[Check]:
    """Compare whole tables; ``gta5_19`` is GTA5's map to 19 classes."""
    for name, want in vector.arrays.items():
        dataset, count = re.fullmatch(r"(\D+[0-9]*?)_?(19|16)", name).groups()
        yield Check(name, TABLES[dataset](CLASS_SETS[f"cityscapes{count}"]), want, kind="exact")


def labeled_split(vector: Vector, backend: object) -> Iterator[Check]:
    """Draw the split of each array ``seedS_nN`` from the 2975 training images."""
    for name, want in vector.arrays.items():
        seed, count = map(int, re.fullmatch(r"seed(\d+)_n(\d+)", name).groups())
        yield Check(name, np.array(labelled_positions(CITYSCAPES_TRAIN, count, seed)), want, kind="exact")


RUNNERS = {"preprocess": preprocess, "label_maps": label_maps, "labeled_split": labeled_split}
