"""Official checkpoints, imported for either twin, give the official networks' logits (rung P1 through ``import``).

The section ``network`` is the one that ``import`` tells its user. A file with vectors is one line in ``OFFICIAL``;
those that are not ``USUAL`` run with ``-m exhaustive``.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
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
from tests.twins import need_both, twin
from tests.vectors.s3d.networks import large

pytestmark = pytest.mark.slow
REFERENCE = Path(__file__).parents[1] / "reference"
BGR_MEAN = np.array([104.00698793, 116.66876762, 122.67891434], np.float32)
RGB_MEAN, RGB_STD = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], np.float32)
TOLD = "computes what the official network does with network: "
Cases = list[tuple[np.ndarray, np.ndarray]]  # normalised images (N, 3, H, W) float32, official logits of the main head


def caffe(vector) -> Cases:
    """Return those of DDM's files: BGR minus mean."""
    count = len(json.loads(str(vector["params"]))["cases"])
    images = [vector[f"bgr_u8_{case}"] - BGR_MEAN for case in range(count)]
    return [(image.transpose(0, 3, 1, 2), vector[f"main_{case}"]) for case, image in enumerate(images)]


def imagenet(vector) -> Cases:
    """Return those of IAST's and AuG-KD's files: RGB by torchvision's mean and deviation."""
    whole = vector["image"] if "image" in vector else vector["x_u8"].transpose(0, 2, 3, 1)
    images = (whole.astype(np.float32) / 255 - RGB_MEAN) / RGB_STD
    return [(images.transpose(0, 3, 1, 2), vector["decoder" if "decoder" in vector else "logits_eval_plain"])]


def centred(vector) -> Cases:
    """Return those of DiGA's files: [-1, 1)."""
    return [(vector["x_u8"].astype(np.float32) / 128 - 1, vector["logits"])]


def ready(vector) -> Cases:
    """Return those of S3D's files: normalised, small images."""
    return [(large(vector["c0_x_small"], vector["c0_hw"]), vector["c0_logits"])]


@dataclass(frozen=True)
class Official:
    """An official file: its layout and name, its manifests by section, the vectors made with it."""

    layout: str
    file: str
    manifests: dict[str, str]  # section of the file ("" for none) -> manifest
    vectors: str
    cases: Callable[..., Cases]
    prefix: str = ""
    override: str = ""  # of the section that ``import`` tells: the vectors were made otherwise

    def save(self, folder: Path) -> Path:
        """Write the file with the reference weights of its keys."""
        sections = {section: self._filled(stem) for section, stem in self.manifests.items()}
        save(folder / self.file, sections.get("", sections), {})
        return folder / self.file

    def _filled(self, stem: str) -> dict[str, np.ndarray]:
        entries = json.loads((REFERENCE / f"{stem}.keys.json").read_text())
        return {self.prefix + key: fill(key, tuple(shape)) for key, shape, _ in entries}


OFFICIAL = {
    "ddm": Official("ddm", "best_model.ckpt", {"": "ddm/deeplabv2_ms"}, "ddm/net_ms_forward", caffe),
    "advent": Official(
        "advent", "advent.pth", {"": "ddm/deeplabv2_torch"}, "ddm/net_torch_forward", caffe, prefix="module."
    ),
    "iast": Official(
        "iast", "G.pth", {"": "iast/deeplabv2_r101"}, "iast/net_deeplabv2_r101", imagenet, prefix="module."
    ),
    "iast with IBN": Official(
        "iast", "G.pth", {"": "iast/deeplabv2_r50_ibn"}, "iast/net_deeplabv2_r50_ibn", imagenet, prefix="module."
    ),
    "diga": Official("diga", "student.pth", {"": "diga/deeplab19"}, "diga/deeplab19", centred),
    "diga-semi": Official(  # the network's vectors were made without the BGR that its training feeds it
        "diga-semi", "student.pth", {"": "diga/hrnet_ocr"}, "diga/hrnet_ocr", centred, override="reverse_channels=false"
    ),
    **{
        f"s3d, {net}": Official(
            "s3d", "model.pth.tar", {"G": f"s3d/{net}", "F1": f"s3d/{head}_126"}, f"s3d/net_{net}", ready
        )
        for net, head in (("resnet34", "predictor_deep"), ("alexnet", "predictor"), ("vgg16", "predictor"))
    },
    **{
        f"torchvision's {net}": Official(layout, f"{net}.pth", {"": f"augkd/{net}"}, f"augkd/net_{net}", imagenet)
        for net, layout in (
            ("resnet34", "torchvision-resnet"),
            ("resnet50", "torchvision-resnet"),
            ("mobilenet_v3_small", "torchvision-mobilenetv3"),
            ("mobilenet_v2", "torchvision-mobilenetv2"),
            ("efficientnet_b0", "torchvision-efficientnet"),
            ("shufflenet_v2_x1_0", "torchvision-shufflenetv2"),
        )
    },
}

USUAL = ("ddm", "advent", "iast", "torchvision's mobilenet_v3_small")
CASES = [pytest.param(name, marks=() if name in USUAL else pytest.mark.exhaustive) for name in OFFICIAL]


@pytest.mark.parametrize("name", CASES)
def test_imported_networks_give_the_official_logits(name, tmp_path):
    need_both()
    official = OFFICIAL[name]
    source, cases = official.save(tmp_path), official.cases(np.load(REFERENCE / f"{official.vectors}.npz"))
    for target in ("ours.pth", "ours.ckpt"):
        report = import_layout(LAYOUTS[official.layout], source, tmp_path / target, Reading())
        (told,) = (remark.removeprefix(TOLD) for remark in report.remarks if remark.startswith(TOLD))
        settings = [f"network={told}", *([f"network.{official.override}"] if official.override else [])]
        base, count = "ddm/toy", cases[0][1].shape[1]
        if cases[0][1].ndim == 2:
            base = "supervised/digits"
            settings.append(f"classes={{names: [{', '.join(f'class {index}' for index in range(count))}]}}")
        side = open_side(tmp_path / target, None, base, settings)
        for images, want in cases:
            got = side.objective.logits(side.backend.tensor(np.ascontiguousarray(images)))
            assert_close(f"{name} on {side.name}", side.backend.numpy(got), want, LOGITS)


@pytest.mark.parametrize("framework", ["torch", "mindspore"])
def test_mobilenets_of_mindcv_have_other_norms(framework):
    """Their BatchNorms have MindSpore's own eps; the same weights with torchvision's would give other logits."""
    from common.networks.mobile import MobileNetV3Config

    pytest.importorskip(framework, reason=f"{framework} is not installed")
    side = twin(framework)
    for norms, eps in (("mindcv", 1e-5), ("torchvision", 1e-3)):
        network = side.nets.build_network(MobileNetV3Config(norms=norms, width=0.25), 5)
        found = {layer.eps for _, layer in side.layers(network) if "BatchNorm" in type(layer).__name__}
        assert found == {eps}
