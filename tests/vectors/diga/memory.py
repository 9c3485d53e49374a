"""Vectors of DiGA's labels and memory: one-hot, class means, centroids, consensus, mixing, fusion of two scales."""

from collections.abc import Iterator

import numpy as np

from common.data.class_mixing import paste_masks
from tests.twins import twin
from tests.vectors import Check, Vector
from tests.vectors.diga.cases import cases

TOL, MEMORY, MARGIN = 1e-5, 1e-6, 1e-5


def process_label(vector: Vector, backend) -> Iterator[Check]:
    """One-hot labels whose last channel stands for 255."""
    side = twin(backend.name)
    for case, arrays, _ in cases(vector):
        label = side.tensor(_maps(arrays["label"]))
        got = side.module("centroids").one_hot(label, arrays["onehot"].shape[1] - 1)
        yield Check(f"{case} one-hot", side.numpy(got), arrays["onehot"], kind="exact")


def class_mean_vectors(vector: Vector, backend) -> Iterator[Check]:
    """Mean features of the classes of each image, image-major."""
    side = twin(backend.name)
    for case, arrays, params in cases(vector):
        inputs, module = [side.tensor(arrays[name]) for name in ("feat", "logits")], side.module("centroids")
        label = None
        if params.get("has_label", "label" in arrays):
            label = module.nearest(side.tensor(_maps(arrays["label"])), arrays["feat"].shape[2:])
        means, valid = map(side.numpy, module.class_means(*inputs, label))
        yield Check(f"{case} ids", np.nonzero(valid)[1], arrays["ids"].ravel(), kind="exact")
        yield Check(f"{case} vectors", means[valid], arrays["vectors"].reshape(-1, means.shape[2]), TOL)


def centroid_update(vector: Vector, backend) -> Iterator[Check]:
    """Updates of the memory, one vector after the other; the official flag ``start_mean`` holds for 100 updates."""
    side = twin(backend.name)
    for case, arrays, params in cases(vector):
        centroids, counts = side.tensor(arrays["centroids_in"]), side.tensor(arrays["counts_in"])
        momentum = None if params["mode"] == "mean" else params["momentum"]
        for number, vector_in in zip(arrays["ids"], arrays["vectors"]):
            means, valid = np.zeros_like(arrays["centroids_in"])[None], np.zeros((1, len(arrays["counts_in"])), bool)
            means[0, number], valid[0, number] = vector_in, True
            one = (side.tensor(means), side.tensor(valid), momentum, 100 if params.get("start_mean") else 0)
            centroids, counts = side.module("centroids").follow_centroids(centroids, counts, *one)
        yield Check(f"{case} centroids", side.numpy(centroids), arrays["centroids_out"], MEMORY)
        yield Check(f"{case} counts", side.numpy(counts), arrays["counts_out"], kind="exact")


def bilateral_consensus(vector: Vector, backend) -> Iterator[Check]:
    """Labels of the nearest centroids, and where they agree with given ones."""
    side = twin(backend.name)
    module = side.module("centroids")
    for case, arrays, _ in cases(vector):
        feature, centroids = side.tensor(arrays["feat"]), side.tensor(arrays["centroids"])
        distance = module.centroid_distances(feature, centroids)
        size = tuple(arrays["distance"].shape[2:])
        label = side.tensor(_maps(arrays["prob_label"]))
        found, kept = map(side.numpy, module.bilateral_consensus(feature, centroids, label))
        sure = arrays["margin"] > MARGIN
        yield Check(f"{case} distance", side.numpy(distance), arrays["distance"], TOL)
        yield Check(f"{case} weight", side.numpy(module.feature_weights(distance, size)), arrays["weight"], TOL)
        yield Check(f"{case} feature label", found[sure], arrays["feat_label"][sure], kind="exact")
        yield Check(f"{case} consensus", kept[sure], arrays["consensus"][sure], kind="exact")


def mixing(vector: Vector, backend) -> Iterator[Check]:
    """CrDoMix and the target mix with the recorded classes."""
    side = twin(backend.name)
    paste = side.module("centroids").paste
    for case, arrays, params in cases(vector):
        label = arrays["slabel"]
        masks = {name: paste_masks(label, params[f"{name}_sampled"]) for name in ("crdo", "dacs")}
        for name, mask in masks.items():
            yield Check(f"{case} {name} mask", mask, arrays[f"{name}_mask"], kind="exact")
        for mask, above, below, want in (
            ("crdo", "src_aug", "translated", "crdo_out"),
            ("dacs", "src", "tgt_aug", "dacs_out"),
            ("dacs", "slabel", "tgt_pseudo", "dacs_label"),
        ):
            got = paste(side.tensor(masks[mask]), side.tensor(arrays[above]), side.tensor(arrays[below]))
            yield Check(f"{case} {want}", side.numpy(got), arrays[want], kind="exact")


def _maps(label: np.ndarray) -> np.ndarray:
    """Return (N, H, W) int32 of labels that may be floats and have a channel of their own."""
    return label.reshape(len(label), *label.shape[-2:]).astype(np.int32)


RUNNERS = {
    "process_label": process_label,
    "class_mean_vectors": class_mean_vectors,
    "centroid_update": centroid_update,
    "bilateral_consensus": bilateral_consensus,
    "mixing": mixing,
}
