"""Resizing, normalisation, and the optional augmentation."""

import numpy as np
import pytest
from PIL import Image

from common.data.augment import augment, jitter
from common.data.transforms import normalise, resize_image, resize_label
from common.draws import generator
from common.schema import AugmentConfig, InputConfig
from tests.common.data.trees import ids, picture

IMAGE, LABEL = picture(0), ids(0, (0, 1, 2, 255))


def augmented(index: int = 0, image: np.ndarray = IMAGE, label: np.ndarray = LABEL, **options):
    """Augment the pair with the draws of a position."""
    return augment(image, label, AugmentConfig(**options), generator(1, "augment", index))


def test_resizing_is_pillows() -> None:
    """Bicubic for images, nearest for labels; the own size gives the very array."""
    want = Image.fromarray(IMAGE).resize((7, 5), Image.Resampling.BICUBIC)
    assert np.array_equal(resize_image(IMAGE, (7, 5)), np.array(want))
    assert set(np.unique(resize_label(LABEL, (33, 21)))) <= {0, 1, 2, 255}
    assert resize_image(IMAGE, (20, 12)) is IMAGE and resize_label(LABEL, (20, 12)) is LABEL


def test_normalisation() -> None:
    """Channels reversed, scaled, minus mean, divided by std; float32 in C order."""
    config = InputConfig(order="rgb", scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    got = normalise(IMAGE, config)
    want = (IMAGE.astype(np.float64) / 255 - config.mean) / config.std
    assert got.dtype == np.float32 and got.flags.c_contiguous and np.allclose(got, want.transpose(2, 0, 1), atol=1e-6)
    caffe = normalise(IMAGE, InputConfig())
    assert np.allclose(caffe[0], IMAGE[:, :, 2] - np.float32(104.00698793))


def test_off_by_default() -> None:
    """Nothing is copied or changed."""
    image, label = augmented()
    assert image is IMAGE and label is LABEL


def test_flip_turns_image_and_label_together() -> None:
    """With probability 1 always, with 0.5 about half of the time."""
    image, label = augmented(flip=1.0)
    assert np.array_equal(image, IMAGE[:, ::-1]) and np.array_equal(label, LABEL[:, ::-1])
    flipped = sum(augmented(i, flip=0.5)[1] is not LABEL for i in range(400))
    assert 160 < flipped < 240


def test_crops_are_windows_of_both() -> None:
    """A crop is the same window of image and label, and every window is reached."""
    places = set()
    for i in range(200):
        image, label = augmented(i, crop=(18, 11))
        found = [
            (x, y)
            for x in range(3)
            for y in range(2)
            if np.array_equal(image, IMAGE[y : y + 11, x : x + 18])
            and np.array_equal(label, LABEL[y : y + 11, x : x + 18])
        ]
        assert len(found) == 1
        places.add(found[0])
    assert len(places) == 6


def test_padding_is_ignored() -> None:
    """A frame larger than the image is filled with black and 255."""
    image, label = augmented(crop=(30, 16))
    assert image.shape == (16, 30, 3) and label.shape == (16, 30)
    assert np.array_equal(image[:12, :20], IMAGE) and image[12:].max() == 0
    assert (label[12:] == 255).all() and (label[:, 20:] == 255).all() and np.array_equal(label[:12, :20], LABEL)


def test_random_scale_keeps_the_frame() -> None:
    """The pair keeps its size; shrunk, it is padded; the label stays nearest."""
    for i in range(20):
        image, label = augmented(i, scale=(0.5, 2.0))
        assert image.shape == IMAGE.shape and label.shape == LABEL.shape
        assert set(np.unique(label)) <= {0, 1, 2, 255}
    image, label = augmented(scale=(0.5, 0.5))
    assert np.array_equal(image[:6, :10], resize_image(IMAGE, (10, 6))) and (label[6:] == 255).all()


def test_jitter_changes_colours_and_no_label() -> None:
    """Factors of 1 change nothing, saturation 0 leaves grey, brightness 0 black."""
    assert np.array_equal(jitter(IMAGE, 1, 1, 1), IMAGE)
    grey = jitter(IMAGE, 1, 1, 0)
    assert np.ptp(grey.astype(int), axis=2).max() == 0
    assert jitter(IMAGE, 0, 1, 1).max() == 0
    assert jitter(IMAGE, 1, 0, 0).std() == 0
    image, label = augmented(jitter=0.5)
    assert image.dtype == np.uint8 and not np.array_equal(image, IMAGE) and label is LABEL


@pytest.mark.parametrize("options", [{"crop": (8, 8)}, {"jitter": 0.4}])
def test_switching_one_on_leaves_the_other_draws(options: dict) -> None:
    """The flip of a position is the same with and without another augmentation."""
    for i in range(20):
        alone = augmented(i, flip=0.5)[1] is not LABEL
        turned = augmented(i, image=IMAGE[:, ::-1], label=LABEL[:, ::-1], **options)
        plain = augmented(i, **options)
        both = augmented(i, flip=0.5, **options)
        want = turned if alone else plain
        assert np.array_equal(both[0], want[0]) and np.array_equal(both[1], want[1])


def test_equal_draws_give_equal_pairs() -> None:
    """The pair depends on the generator's position alone."""
    options = {"flip": 0.5, "scale": (0.5, 1.5), "crop": (10, 8), "jitter": 0.3}
    for i in range(3):
        a, b = augmented(i, **options), augmented(i, **options)
        assert np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1])
    assert not np.array_equal(augmented(0, **options)[0], augmented(1, **options)[0])
