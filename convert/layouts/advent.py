"""AdvEnt's and AdaptSegNet's DeepLabV2-ResNet101, and the ImageNet weights that both, DDM and DiGA begin with."""

from convert.layouts import form
from convert.layouts.layout import Layout
from convert.layouts.residual import backbone, deeplab

_PREFIXES = ("module.", "Scale.", "backbone.")

ADVENT = Layout(
    name="advent",
    title="AdvEnt's, MinEnt's and AdaptSegNet's multi-level DeepLabV2 (.pth, 640 keys)",
    framework="torch",
    expected=lambda shapes: deeplab(shapes, aux=True),
    prefixes=_PREFIXES,
    form=form.residual("deeplabv2"),
)
ADAPTSEGNET_SINGLE = Layout(
    name="adaptsegnet-single",
    title="AdaptSegNet's single-level DeepLabV2 (.pth): its layer5 stands on the last stage and is layer6 here",
    framework="torch",
    expected=lambda shapes: deeplab(shapes, aux=False),
    prefixes=_PREFIXES,
    rules=(("layer5.", "layer6."),),
    form=form.residual("deeplabv2", aux=False),
)
DEEPLAB_INIT = Layout(
    name="deeplab-init",
    title="Caffe ImageNet ResNet-101, DeepLab_resnet_pretrained_*.pth (keys 'Scale.'; its old head layer5 is left out)",
    framework="torch",
    expected=backbone,
    prefixes=_PREFIXES,
    foreign=(("layer5.", "an old classifier of other classes"),),
    form=form.residual("deeplabv2", may_miss=["layer5.", "layer6."]),
)
