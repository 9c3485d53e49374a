"""DDM's official MindSpore checkpoint (MindSpore model zoo, research/cv/DDM): DeepLabV2-ResNet101, two classifiers."""

from convert.layouts import form
from convert.layouts.layout import Layout
from convert.layouts.residual import deeplab

_TRAINING = "entry of MindSpore's training, no weight"

DDM = Layout(
    name="ddm",
    title="DDM's MindSpore DeepLabV2 (.ckpt, 536 parameters)",
    framework="mindspore",
    expected=lambda shapes: deeplab(shapes, aux=True),
    prefixes=("network.", "_backbone.", "backbone.", "module."),
    form=form.residual("deeplabv2", maxpool="same"),
    foreign=tuple(
        (name, _TRAINING)
        for name in ("moments.", "accum.", "stat.", "learning_rate", "global_step", "momentum", "epoch_num", "step_num")
    ),
)
