"""Source images in the target's colours, as DDM's stages see them."""

from pathlib import Path

import numpy as np
import pytest

from common.data.colour import lab_statistics, transfer
from common.data.transforms import resize_image
from common.data.translation import translate
from common.errors import UserError
from common.stage import Batch
from tests.common.methods.ddm_batches import builder
from tests.common.methods.worlds import config, world


@pytest.mark.parametrize("mode", ["off", "online", "resized", "cached"])
def test_colour_transfer(tmp_path: Path, mode: str) -> None:
    """Native statistics before resizing, statistics after it, files, or nothing at all."""
    here = world()
    written = list(translate(here.source, here.target, tmp_path, seed=3))
    times = [path.stat().st_mtime_ns for path in written]
    again = list(translate(here.source, here.target, tmp_path, seed=3))
    assert again == written and [path.stat().st_mtime_ns for path in again] == times  # left alone
    of = config(data={"colour": {"mode": mode, "cache": str(tmp_path)}})
    batch = builder(of, "round1/sample")(0)
    index = int(batch["source_label"][0].max(initial=0, where=batch["source_label"][0] < 255))
    native, got = here.source.native_image(index), batch["source_image"][0].transpose(1, 2, 0)
    if mode == "off":
        possible = [here.source.image(index)]
    elif mode == "resized":
        possible = [transfer(here.source.image(index), lab_statistics(here.target.image(i))) for i in range(8)]
    else:
        styles = [lab_statistics(here.target.native_image(i)) for i in range(8)]
        possible = [resize_image(transfer(native, style), (20, 12)) for style in styles]
    assert sum(np.array_equal(got, one) for one in possible) == 1


def test_styles_are_drawn_anew_for_every_image_seen() -> None:
    """The same source image comes in several colours."""
    build = builder(config(data={"colour": {"mode": "online"}}), "round1/sample")
    looks = [(label[:, 1:].max(), image.tobytes()) for s in range(12) for image, label in zip(*_source(build(s)))]
    assert len(set(looks)) > 2 * len({label for label, _ in looks})


def _source(batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    return batch["source_image"], batch["source_label"]


@pytest.mark.parametrize("colour", [{"mode": "cached"}, {"mode": "cached", "cache": "nowhere"}])
def test_missing_translations_are_named(colour: dict) -> None:
    """Without a folder, or without the files in it."""
    with pytest.raises(UserError, match=r"data\.colour\.cache is missing|nowhere.*no such file"):
        builder(config(data={"colour": colour}), "round1/sample")(0)
