"""The data path of S3D: list files, the image pipeline, accuracy."""

import json
from collections.abc import Iterator

import numpy as np

from common.accuracy import accuracy, correct, place_of_truth, ranked
from common.data.labels import ClassSet
from common.data.lists import folder_classes, parse_class_list
from common.data.transforms import centre_crop, normalise, resize_image
from common.metrics import confusion
from common.schema import AugmentConfig, InputConfig
from tests.twins import twin
from tests.vectors import Check, Vector
from tests.vectors.s3d.cases import cases
from tests.vectors.views import FLIP, prescribed_view

SIZE = (256, 256)
FILTERS = ("nearest", "bicubic", "bilinear")
PIXEL, TENSOR = 0.0, 1e-6


def list_parsing(vector: Vector, backend: object) -> Iterator[Check]:
    """Paths, labels and classes of a list file."""
    for case, arrays in cases(vector):
        entries = parse_class_list(str(arrays["text"]))
        paths, labels = [path for path, _ in entries], np.array([label for _, label in entries])
        yield Check(f"{case} paths", np.array(paths), np.array(json.loads(str(arrays["paths"]))), kind="exact")
        yield Check(f"{case} labels", labels, arrays["labels"], kind="exact")
        want = json.loads(str(arrays["class_list"]))
        yield Check(f"{case} classes", np.array(folder_classes(paths)), np.array(want), kind="exact")
        yield Check(f"{case} count", np.array(len(entries)), arrays["data_num"], kind="exact")


def preprocess(vector: Vector, backend: object) -> Iterator[Check]:
    """Resize, flip, crop, normalise, with the draws that the file holds."""
    mean, std = (tuple(map(float, vector.arrays[name])) for name in ("mean", "std"))
    config = InputConfig(order="rgb", scale=1 / 255, mean=mean, std=std)
    for case, arrays in cases(vector):
        crop = (int(arrays["crop"]),) * 2
        augmented = AugmentConfig(flip=FLIP, crop=crop)
        for method in FILTERS:
            if f"resized_{method}_s8" not in arrays:
                continue
            resized = resize_image(arrays["image"], SIZE, method)
            yield Check(f"{case} {method}", resized[::8, ::8], arrays[f"resized_{method}_s8"], PIXEL, "absolute")
            seen = prescribed_view(resized, augmented, int(arrays["top"]), int(arrays["left"]), bool(arrays["flip"]))
            for name, view in (("train", seen), ("test", centre_crop(resized, crop))):
                got = normalise(view, config)[:, ::8, ::8]
                yield Check(f"{case} {method} {name}", got, arrays[f"{name}_{method}_s8"], TENSOR, "absolute")
        offset = round((SIZE[0] - crop[0]) / 2)
        marked = np.zeros((*SIZE, 3), np.uint8)
        marked[offset, offset] = 255
        yield Check(f"{case} offset", np.array(centre_crop(marked, crop)[0, 0, 0]), np.array(255), kind="exact")
        yield Check(f"{case} centre", np.array(offset), arrays["center_offset"], kind="exact")


def metric(vector: Vector, backend) -> Iterator[Check]:
    """Accuracy and confusion matrix of stored logits, and the mean of the batches' cross entropies."""
    side = twin(backend.name)
    for case, arrays in cases(vector):
        logits, target = arrays["logits"], arrays["target"]
        classes, guesses = logits.shape[1], ranked(logits)
        places = np.bincount([place_of_truth(int(t), g) for t, g in zip(target, guesses)], minlength=6)
        matrix = confusion(target, guesses[:, 0], classes)
        names = tuple(f"class {index}" for index in range(classes))
        rounded = accuracy(matrix, places, ClassSet("custom", names, ((0, 0, 0),) * classes)).main()
        ends = np.cumsum(arrays["batch_sizes"])
        parts = [slice(end - count, end) for end, count in zip(ends, arrays["batch_sizes"])]
        losses = [
            side.numpy(side.losses.cross_entropy(side.tensor(logits[p]), side.tensor(target[p].astype(np.int32))))
            for p in parts
        ]
        yield Check(f"{case} confusion", matrix, arrays["confusion"], kind="exact")
        yield Check(f"{case} accuracy", np.array(correct(matrix)), arrays["acc"], 1e-12)
        yield Check(f"{case} reported", np.array(rounded), np.round(arrays["acc"], 2), 1e-12)
        yield Check(f"{case} loss", np.mean(losses), arrays["loss"], 1e-5)


def split_lists(vector: Vector, backend: object) -> Iterator[Check]:
    """Lines, classes and labels of the official lists: the first and the last line of each parse as stated."""
    for name, facts in vector.content.items():
        entries = parse_class_list(f"{facts['first']}\n{facts['last']}\n", name)
        labels = np.array([label for _, label in entries])
        yield Check(f"{name} first and last label", labels, np.array([0, facts["classes"] - 1]), kind="exact")
        folders = folder_classes(path for path, _ in entries)
        want = [line.split(" ")[0].split("/")[-2] for line in (facts["first"], facts["last"])]
        yield Check(f"{name} classes", np.array(folders), np.array(want), kind="exact")


RUNNERS = {"list_parsing": list_parsing, "preprocess": preprocess, "metric": metric, "split_lists": split_lists}
