"""Initial weights: distributions, constants, independence of what else is drawn."""

import numpy as np
import pytest

from common.initial import initial_weights

SHAPES = {
    "conv1.weight": (64, 3, 7, 7),
    "bn1.weight": (64,),
    "bn1.bias": (64,),
    "bn1.running_mean": (64,),
    "bn1.running_var": (64,),
    "bn1.num_batches_tracked": (),
    "layer6.conv2d_list.0.weight": (19, 256, 3, 3),
    "layer6.conv2d_list.0.bias": (19,),
}
HEADS = ("layer6.",)


@pytest.mark.parametrize(("scheme", "std"), [("normal001", 0.01), ("kaiming", np.sqrt(2 / (64 * 49)))])
def test_kernels_have_the_deviation_of_the_scheme_and_heads_always_a_hundredth(scheme, std):
    weights = initial_weights(0, SHAPES, scheme, HEADS)
    assert list(weights) == list(SHAPES)
    for name, want in (("conv1.weight", std), ("layer6.conv2d_list.0.weight", 0.01)):
        assert weights[name].dtype == np.float32
        assert weights[name].std() == pytest.approx(want, rel=0.03)
        assert abs(weights[name].mean()) < 0.05 * want


def test_vectors_are_constants():
    weights = initial_weights(0, SHAPES, "kaiming", HEADS)
    ones, zeros = ("bn1.weight", "bn1.running_var"), ("bn1.bias", "bn1.running_mean", "layer6.conv2d_list.0.bias")
    assert all(np.all(weights[name] == 1) for name in ones)
    assert not any(weights[name].any() for name in zeros)
    assert weights["bn1.num_batches_tracked"].dtype == np.int64
    assert weights["bn1.num_batches_tracked"] == 0


SHALLOW = {
    "a.weight": (50, 20),
    "a.bias": (50,),
    "b.weight": (40, 30, 3),
    "b.bias": (40,),
    "head.weight": (9, 16),
    "head.bias": (9,),
}


@pytest.mark.parametrize(
    ("scheme", "bounds"),
    [
        ("pytorch", {"a.weight": 20**-0.5, "a.bias": 20**-0.5, "b.weight": 90**-0.5, "b.bias": 90**-0.5}),
        ("latent", {"a.weight": 0.08, "a.bias": 0.0, "b.weight": 90**-0.5, "b.bias": 90**-0.5}),
        ("torchvision_mobile", {"a.bias": 0.0, "b.bias": 0.0, "head.weight": 0.25, "head.bias": 0.25}),
        ("torchvision", {"a.weight": 20**-0.5, "a.bias": 0.0, "head.weight": 0.25, "head.bias": 0.0}),
    ],
)
def test_uniform_schemes_fill_their_bounds(scheme, bounds):
    weights = initial_weights(0, SHALLOW, scheme, ("head.",))
    for name, bound in bounds.items():
        assert np.abs(weights[name]).max() <= bound
        assert np.abs(weights[name]).max() >= 0.7 * bound, name
        assert weights[name].dtype == np.float32


def test_hidden_layers_of_mobile_networks_have_a_deviation_of_a_hundredth():
    weights = initial_weights(0, SHALLOW, "torchvision_mobile", ("head.",))
    assert weights["a.weight"].std() == pytest.approx(0.01, rel=0.1)


SE = {
    "layer0.0.weight": (64, 3, 7, 7),
    "layer0.1.weight": (64,),
    "layer0.1.bias": (64,),
    "final.conv2d_list.0.0.weight": (256, 64, 1, 1),
    "final.conv2d_list.0.0.bias": (256,),
    "final.conv2d_list.0.1.weight": (256,),  # GroupNorm
    "final.conv2d_list.0.1.bias": (256,),
    "final.conv2d_list.3.0.weight": (256, 64, 3, 3),
    "final.conv2d_list.3.0.bias": (256,),
    "final.bottleneck.0.se.0.weight": (80, 1280),
    "final.bottleneck.0.se.0.bias": (80,),
    "final.bottleneck.1.weight": (256, 80, 3, 3),
    "final.bottleneck.1.bias": (256,),
    "final.head.1.weight": (19, 256, 1, 1),
}
OCR = {
    "hrnet.conv1.weight": (64, 3, 3, 3),
    "hrnet.stage1.0.bn1.bias": (64,),
    "ocrnet.pixel_representations.0.weight": (128, 90, 3, 3),
    "ocrnet.pixel_representations.0.bias": (128,),
    "ocrnet.pixel_representations.1.weight": (128,),  # BatchNorm
    "ocrnet.pixel_representations.1.bias": (128,),
    "ocrnet.value.0.weight": (64, 128, 1, 1),
    "ocrnet.segmentation_classes.0.weight": (19, 128, 1, 1),
    "ocrnet.segmentation_classes.0.bias": (19,),
}


@pytest.mark.parametrize(
    ("shapes", "scheme", "head", "normal", "std", "fans"),
    [
        (
            SE, "deeplabv2_se", "final.", ("layer0.0", "final.conv2d_list.3.0", "final.bottleneck.1", "final.head.1"),
            0.01, {"final.conv2d_list.0.0.bias": 64, "final.conv2d_list.3.0.bias": 576,
                   "final.bottleneck.0.se.0.weight": 1280, "final.bottleneck.0.se.0.bias": 1280},
        ),
        (
            OCR, "hrnet_ocr", "ocrnet.", ("hrnet.conv1",), 0.001,
            {"ocrnet.pixel_representations.0.weight": 810, "ocrnet.pixel_representations.0.bias": 810,
             "ocrnet.value.0.weight": 128, "ocrnet.segmentation_classes.0.weight": 128,
             "ocrnet.segmentation_classes.0.bias": 128},
        ),
    ],
)  # fmt: skip
def test_networks_of_diga_begin_as_the_official_ones(shapes, scheme, head, normal, std, fans):
    weights = initial_weights(0, shapes, scheme, (head,))
    assert {name: array.shape for name, array in weights.items()} == shapes
    for name in normal:
        array = weights[f"{name}.weight"]
        assert array.std() == pytest.approx(std, rel=0.06) and np.abs(array).max() > 2.5 * std
    for name, fan in fans.items():
        bound = fan**-0.5
        assert 0.7 * bound <= np.abs(weights[name]).max() <= bound, name
        assert weights[name].std() == pytest.approx(bound / np.sqrt(3), rel=0.25), name  # uniform
    for name in shapes.keys() - fans.keys() - {f"{one}.weight" for one in normal}:
        if len(shapes[name]) == 1:
            assert np.all(weights[name] == name.endswith("weight")), name


def test_a_parameter_does_not_depend_on_the_others():
    alone = initial_weights(0, {"conv1.weight": SHAPES["conv1.weight"]}, "normal001")
    assert np.array_equal(alone["conv1.weight"], initial_weights(0, SHAPES, "normal001", HEADS)["conv1.weight"])
    assert not np.array_equal(alone["conv1.weight"], initial_weights(1, SHAPES, "normal001")["conv1.weight"])


def test_an_unknown_scheme_names_the_known_ones():
    with pytest.raises(ValueError, match="known: normal001, kaiming"):
        initial_weights(0, SHAPES, "xavier")
