"""Official checkpoints: which keys they hold, how those are called here, and the way back.

One file a family. A layout is a table of renamed beginnings of names; what does not fit is reported with the
three lists, never skipped in silence.
"""

from collections.abc import Mapping

from convert.layouts import advent, augkd, ddm, diga, iast, mindcv, mit, mobile, ssda, torchvision
from convert.layouts.layout import Layout

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        ddm.DDM,
        advent.ADVENT,
        advent.ADAPTSEGNET_SINGLE,
        advent.DEEPLAB_INIT,
        diga.DIGA,
        diga.INIT,
        diga.SEMI,
        diga.SEMI_INIT,
        diga.ENCODER,
        diga.DECODER,
        diga.VGG19,
        mit.INIT,
        mit.SEGFORMER,
        mit.DAFORMER,
        iast.IAST,
        iast.DISCRIMINATOR,
        torchvision.RESNET,
        torchvision.MOBILENET_V3,
        mobile.MOBILENET_V2,
        mobile.EFFICIENTNET,
        mobile.SHUFFLENET_V2,
        augkd.GENERATOR,
        augkd.ENCODER,
        augkd.ANCHOR,
        ssda.S3D,
        ssda.PAIR,
        ssda.BACKBONE,
        ssda.HEAD,
        ssda.ALEXNET,
        ssda.VGG16,
        mindcv.RESNET,
        mindcv.MOBILENET_V3,
    )
}
_MOST = 10_000  # tensors; no layout has as many


def guess(shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Return the names of the layouts that a file's names, in PyTorch's spelling, and shapes fit."""
    if len(shapes) > _MOST:
        return []
    return [name for name, layout in LAYOUTS.items() if layout.fits(shapes)]
