"""Official checkpoints, imported for either twin, give the official networks' logits (rung P1 through ``import``)."""

import json
from pathlib import Path

import numpy as np
import pytest

from common.tolerances import LOGITS
from convert.formats import save
from convert.layouts import LAYOUTS
from convert.reading import Reading
from convert.sides import open_side
from convert.transfer import import_layout
from tests.compare import assert_close
from tests.reference.fill import fill
from tests.twins import need_both

pytestmark = pytest.mark.slow
REFERENCE = Path(__file__).parents[1] / "reference"
SCALE = ["input.order=rgb", "input.scale=0.00392156862745098"]
RGB = [*SCALE, "input.mean=[0.485,0.456,0.406]", "input.std=[0.229,0.224,0.225]"]
# layout -> official manifest, vectors, name of the file, prefix of its keys, settings of our network
OFFICIAL = {
    "ddm": ("ddm/deeplabv2_ms", "ddm/net_ms_forward", "best_model.ckpt", "", ["network.maxpool=same"]),
    "advent": ("ddm/deeplabv2_torch", "ddm/net_torch_forward", "advent.pth", "module.", ["network.maxpool=ceil"]),
    "iast": (
        "iast/deeplabv2_r101", "iast/net_deeplabv2_r101", "G.pth", "module.",
        ["network.maxpool=floor", "network.stride_in=conv2", "network.aux=false", *RGB],
    ),
}  # fmt: skip


def cases(vector) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return pairs of images (N, 3, H, W) uint8 RGB and the official logits of the main head."""
    if "decoder" in vector:
        return [(vector["image"].transpose(0, 3, 1, 2), vector["decoder"])]
    count = len(json.loads(str(vector["params"]))["cases"])
    images = [vector[f"bgr_u8_{case}"][..., ::-1].transpose(0, 3, 1, 2) for case in range(count)]
    return [(image, vector[f"main_{case}"]) for case, image in enumerate(images)]


@pytest.mark.parametrize("layout", OFFICIAL)
def test_imported_networks_give_the_official_logits(layout, tmp_path):
    need_both()
    stem, vectors, name, prefix, settings = OFFICIAL[layout]
    entries = json.loads((REFERENCE / f"{stem}.keys.json").read_text())
    save(tmp_path / name, {prefix + key: fill(key, tuple(shape)) for key, shape, _ in entries}, {})
    vector = np.load(REFERENCE / f"{vectors}.npz")
    plain = ["network.depth=101", "network.width=64", "input.std=[1.0,1.0,1.0]"]
    for target in ("ours.pth", "ours.ckpt"):
        import_layout(LAYOUTS[layout], tmp_path / name, tmp_path / target, Reading())
        side = open_side(tmp_path / target, None, "ddm/toy", [*plain, *settings])
        for image, want in cases(vector):
            assert_close(f"{layout} on {side.name}", side.logits(np.ascontiguousarray(image)), want, LOGITS)
