"""IAST's generator G and model M: DeepLabV2 with one classifier on a torchvision-style ResNet-101."""

from convert.layouts.layout import Layout
from convert.layouts.residual import deeplab

IAST = Layout(
    name="iast",
    title="IAST's G and M (.pth, 634 keys, 644 with the warm-up's discriminator)",
    framework="torch",
    expected=lambda shapes: deeplab(shapes, aux=False),
    rules=(("backbone.", ""), ("decoder.aspp.", "layer6.")),
    foreign=(
        ("backbone.fc.", "an ImageNet classifier that IAST never uses"),
        ("discriminators.", "the discriminator of the warm-up; it is no part of the segmentation network"),
    ),
    restored=lambda shapes: {
        "backbone.fc.weight": (1000, shapes["layer4.0.downsample.0.weight"][0]),
        "backbone.fc.bias": (1000,),
    },
)
