"""Hard-class copy-paste: the bank of class samples, what is drawn from it, what is laid over an image."""

import json

import numpy as np
import pytest

from common.data.copy_paste import CopyPasteConfig, copy_paste
from common.draws import generator
from common.errors import UserError
from common.pseudo.class_bank import BANK, Bank, BankBuilder, read_bank

CLASSES = 4
CONFIDENCE = (0.9, 0.2, 0.6, 0.0)  # class 3 was never labelled
BANKED = Bank(np.array(CONFIDENCE), (("a", "b"), ("b",), ("c",), ()))


def striped(*classes: int) -> np.ndarray:
    """Return a label (len, 6) of whole rows."""
    return np.repeat(np.array(classes, np.uint8)[:, None], 6, axis=1)


LABELS = {"a": striped(0, 0, 255, 0), "b": striped(1, 0, 1, 255), "c": striped(255, 2, 2, 0)}


def load(name: str):
    """Return an image whose value tells its name, and its label."""
    label = LABELS[name]
    return np.full((*label.shape, 3), ord(name), np.uint8), label


def pasted(position: int = 0, bank: Bank = BANKED, **options):
    """Return an image of value 7 and class 0 after copy-paste."""
    pair = np.full((4, 6, 3), 7, np.uint8), striped(0, 0, 0, 0)
    return copy_paste(pair, bank, load, CopyPasteConfig(**options), generator(0, "paste", position))


def test_only_pixels_of_hard_classes_are_laid_over_and_labels_go_along():
    """One hard class: that of least confidence among those that an image shows."""
    image, label = pasted(classes=1)
    assert label[:, 0].tolist() == [1, 0, 1, 0] and image[:, 0, 0].tolist() == [ord("b"), 7, ord("b"), 7]
    assert BANKED.hard(9) == [1, 2, 0] and BANKED.hard(2) == [1, 2]


def test_images_are_added_until_half_of_the_hard_classes_are_there(monkeypatch):
    """An image a class: two of four are enough, three of five or six; no class is sought that was found."""
    for one in range(1, 7):
        rows = [255] * 6
        rows[one - 1] = one
        monkeypatch.setitem(LABELS, str(one), striped(*rows))
    for hard, images, found in ((4, 3, 2), (5, 3, 3), (6, 3, 3), (6, 2, 2), (4, 1, 1), (6, 9, 3)):
        bank = Bank(np.full(7, 0.5), ((), *((str(one),) if one <= hard else () for one in range(1, 7))))
        for position in range(9):
            pair = np.zeros((6, 6, 3), np.uint8), np.zeros((6, 6), np.uint8)
            config = CopyPasteConfig(classes=hard, images=images)
            image, label = copy_paste(pair, bank, load, config, generator(0, "half", position))
            assert len(np.unique(label)) == 1 + found and np.array_equal(label > 0, image[..., 0] > 0)
            assert not pair[0].any() and not pair[1].any()


def test_doubtful_classes_are_drawn_more_often():
    """In proportion to (1 - confidence) ** 2, 0.64 to 0.16 here; the same position draws the same."""
    bank = Bank(np.array((0.99, 0.2, 0.6)), ((), ("b",), ("c",)))
    drawn = [pasted(position, bank, classes=2, images=1)[1] for position in range(400)]
    assert np.mean([1 in one for one in drawn]) == pytest.approx(0.8, abs=0.06)
    assert all(np.array_equal(drawn[n], pasted(n, bank, classes=2, images=1)[1]) for n in (3, 77))
    sure = Bank(np.ones(3), ((), ("b",), ("c",)))
    assert {1 in pasted(position, sure, classes=2, images=1)[1] for position in range(20)} == {True, False}


def test_an_empty_bank_changes_nothing_and_other_sizes_are_fitted(monkeypatch):
    """What is laid over has the size of the image that it is laid over; arguments stay as they are."""
    image, label = pasted(bank=Bank(np.zeros(CLASSES), ((),) * CLASSES))
    assert (image == 7).all() and not label.any()
    monkeypatch.setitem(LABELS, "b", np.repeat(LABELS["b"], 2, axis=0))
    assert pasted(classes=1)[1].tolist() == striped(1, 0, 1, 0).tolist()


def test_a_bank_follows_the_labels_and_can_be_cut_short(tmp_path):
    """Confidence is that of labelled pixels, averaged over batches; a class keeps its first images."""
    draw = generator(0, "bank")
    batches = [
        (
            [f"{n}{i}" for i in "xy"],
            draw.choice([0, 1, 255], (2, 5, 6)).astype(np.uint8),
            draw.random((2, 5, 6), np.float32),
        )
        for n in range(12)
    ]
    whole, again = BankBuilder(CLASSES, 20), BankBuilder(CLASSES, 20)
    for number, batch in enumerate(batches):
        entry = whole.add(*batch)
        again.restore(json.loads(json.dumps(entry))) if number < 7 else again.add(*batch)
    assert whole.content() == again.content()
    means = [np.mean(sure[label == 1], dtype=np.float64) for _, label, sure in batches]
    want = means[0]
    for mean in means[1:]:
        want = 0.99 * want + 0.01 * mean
    (tmp_path / BANK).write_text(json.dumps(whole.content()))
    bank = read_bank(tmp_path, CLASSES)
    assert bank.confidence[1] == pytest.approx(want, rel=1e-6) and bank.confidence[2] == 0 and bank.images[3] == ()
    pixels = {name: int((one == 1).sum()) for names, label, _ in batches for name, one in zip(names, label)}
    first = [name for names, _, _ in batches for name in names][:20]
    assert sorted(bank.images[1]) == sorted(sorted(first, key=pixels.get)[2:])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"class_samples\.json: the class samples are missing; set method\.pseudo\.bank"),
        ("{", "damaged"),
        ('{"confidence": [1]}', "damaged"),
        ('{"confidence": [1], "images": [[]]}', "holds 1 classes, not 4"),
    ],
)
def test_a_bank_that_cannot_be_used_is_named(tmp_path, text, message):
    if text is not None:
        (tmp_path / BANK).write_text(text)
    with pytest.raises(UserError, match=message):
        read_bank(tmp_path, CLASSES)
