"""Class centroids and bilateral consensus against plain formulas: classes that are absent, empty or few, odd sizes."""

import numpy as np
import pytest

from tests.compare import assert_close
from tests.tolerances import LOSS

IGNORED = 255
CASES = {  # images, classes, channels, size of the features, size of the labels
    "odd sizes": (2, 5, 7, (5, 3), (13, 11)),
    "one row": (1, 3, 4, (1, 6), (1, 17)),
    "equal sizes": (2, 4, 6, (6, 7), (6, 7)),
    "labels smaller than features": (1, 19, 8, (9, 8), (4, 5)),
    "one class": (2, 1, 3, (4, 4), (9, 9)),
}


def drawn(case: str) -> dict[str, np.ndarray]:
    """Return features, logits, centroids and labels of a case; the last class has no centroid, some labels are 255."""
    images, classes, channels, small, large = CASES[case]
    rng = np.random.default_rng(len(case))
    centroids = rng.standard_normal((classes, channels)).astype(np.float32)
    centroids[classes - 1] = 0.0
    label = rng.integers(0, classes, (images, *large)).astype(np.int32)
    return {
        "feature": rng.standard_normal((images, channels, *small)).astype(np.float32),
        "logits": rng.standard_normal((images, classes, *small)).astype(np.float32),
        "centroids": centroids,
        "label": np.where(rng.random(label.shape) < 0.2, IGNORED, label).astype(np.int32),
    }


def resized(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return float64 (N, K, *size), bilinear with aligned corners, one axis after the other."""
    for axis, wanted in zip((2, 3), size):
        length = values.shape[axis]
        place = np.linspace(0.0, length - 1.0, wanted)
        low = np.minimum(place.astype(int), max(length - 2, 0))
        part = (place - low).reshape([-1 if one == axis else 1 for one in range(4)])
        high = np.minimum(low + 1, length - 1)
        values = values.take(low, axis) * (1 - part) + values.take(high, axis) * part
    return values


@pytest.mark.parametrize("case", CASES)
def test_labels_stay_where_the_nearest_centroid_agrees(side, case):
    given = drawn(case)
    feature, centroids = given["feature"].astype(np.float64), given["centroids"].astype(np.float64)
    distance = np.sqrt(((feature[:, None] - centroids[None, :, :, None, None]) ** 2).sum(2))
    weight = np.exp(-distance) / np.exp(-distance).sum(1, keepdims=True)
    large = resized(weight, given["label"].shape[1:])
    found, kept = side.module("centroids").bilateral_consensus(
        *(side.tensor(given[name]) for name in ("feature", "centroids", "label"))
    )
    found, kept = side.numpy(found), side.numpy(kept)
    ordered = np.sort(np.concatenate([large, np.full_like(large[:, :1], -1.0)], 1), axis=1)
    sure = ordered[:, -1] - ordered[:, -2] > LOSS
    assert sure.mean() > 0.9 and np.array_equal(found[sure], large.argmax(1)[sure])
    assert np.array_equal(kept, np.where(found == given["label"], found, IGNORED))


@pytest.mark.parametrize("classes", [1, 16, 19])
def test_every_label_has_one_channel_and_what_is_no_class_the_last(side, classes):
    """As ProDA's ``process_label``, which DiGA's code took over: whatever is not below the number of classes."""
    label = np.array([[[0, classes - 1, classes], [200, IGNORED, classes + 1]]], np.int32)
    found = side.numpy(side.module("centroids").one_hot(side.tensor(label), classes))
    want = np.arange(classes + 1)[None, :, None, None] == np.minimum(label, classes)[:, None]
    assert np.array_equal(found, want.astype(np.float32))


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_a_class_counts_where_five_pixels_show_it(side, case, labelled):
    given, module = drawn(case), side.module("centroids")
    small = given["feature"].shape[2:]
    label = module.nearest(side.tensor(given["label"]), small) if labelled else None
    arrays = [side.tensor(given[name]) for name in ("feature", "logits")]
    means, valid = map(side.numpy, module.class_means(*arrays, label))
    rows, columns = (np.arange(n) * full // n for n, full in zip(small, given["label"].shape[1:]))
    belongs = given["label"][:, rows][:, :, columns] if labelled else None
    for image, classes in enumerate(valid):
        for number, counted in enumerate(classes):
            mask = given["logits"][image].argmax(0) == number
            mask &= belongs[image] == number if labelled else True
            assert counted == (mask.sum() >= 5), (image, number)
            if counted:
                want = given["feature"][image][:, mask].astype(np.float64).mean(1)
                assert_close(f"image {image}, class {number}", means[image, number], want, LOSS)


@pytest.mark.parametrize(("momentum", "mean_below"), [(None, 0), (0.0, 0), (0.25, 0), (0.25, 3), (1.0, 3000)])
def test_centroids_follow_image_after_image(side, momentum, mean_below):
    rng = np.random.default_rng(0)
    centroids, counts = rng.standard_normal((4, 3)).astype(np.float32), np.array([0, 2, 2999, 3000], np.float32)
    means, valid = rng.standard_normal((3, 4, 3)).astype(np.float32), rng.random((3, 4)) < 0.6
    valid[:, 3], valid[:, 0] = True, [False, True, True]
    means[1, 3] = 0.0  # moves nothing, though it is valid
    given = (side.tensor(one) for one in (centroids, counts, means, valid))
    got, numbers = map(side.numpy, side.module("centroids").follow_centroids(*given, momentum, mean_below))
    want, many = centroids.astype(np.float64), counts.astype(np.float64)
    for image in range(3):
        for number in np.flatnonzero(valid[image] & means[image].any(axis=1)):
            own = 1 / (many[number] + 1) if momentum is None or many[number] < mean_below else momentum
            want[number] += own * (means[image, number] - want[number])
            many[number] = min(many[number] + 1, 3000)
    assert_close("centroids", got, want, LOSS)
    assert np.array_equal(numbers, many)


def test_without_any_label_nothing_agrees_and_nothing_moves(side):
    given, module = drawn("odd sizes"), side.module("centroids")
    none = side.tensor(np.full_like(given["label"], IGNORED))
    feature, logits, centroids = (side.tensor(given[name]) for name in ("feature", "logits", "centroids"))
    _, kept = module.bilateral_consensus(feature, centroids, none)
    assert (side.numpy(kept) == IGNORED).all()
    means, valid = module.class_means(feature, logits, module.nearest(none, (5, 3)))
    assert not side.numpy(valid).any() and np.isfinite(side.numpy(means)).all()
    counts = side.tensor(np.zeros(5, np.float32))
    after, numbers = module.follow_centroids(centroids, counts, means, valid, 0.5)
    assert np.array_equal(side.numpy(after), given["centroids"]) and not side.numpy(numbers).any()


@pytest.mark.parametrize(("size", "wanted"), [((26, 62), (22, 14)), ((40, 9), (92, 4)), ((5, 7), (5, 7))])
def test_labels_are_resized_to_the_feature_as_pytorch_rounds(side, size, wanted):
    """The first two sizes are among those where float32 and the exact quotient floor to different pixels."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    label = np.arange(2 * size[0] * size[1], dtype=np.int32).reshape(2, *size)
    want = torch.nn.functional.interpolate(torch.from_numpy(label[:, None]).float(), size=wanted, mode="nearest")
    got = side.numpy(side.module("centroids").nearest(side.tensor(label), wanted))
    assert np.array_equal(got, want[:, 0].int().numpy())
    exact = label[:, [i * size[0] // wanted[0] for i in range(wanted[0])]]
    exact = exact[:, :, [i * size[1] // wanted[1] for i in range(wanted[1])]]
    assert np.array_equal(got, exact) == (size == wanted)
