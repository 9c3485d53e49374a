"""The table of names: both directions, orders, and inference from a file alone."""

import json
from pathlib import Path

import pytest

from common.errors import UserError
from common.names import PLAIN, RENAMED, added, infer_kinds, kind_of, to_canonical, to_mindspore, translate

REFERENCE = Path(__file__).parents[1] / "reference"


def manifest(stem: str) -> dict[str, tuple[int, ...]]:
    return {name: tuple(shape) for name, shape, _ in json.loads((REFERENCE / f"{stem}.keys.json").read_text())}


TORCH, MINDSPORE = manifest("ddm/deeplabv2_torch"), manifest("ddm/deeplabv2_ms")


@pytest.mark.parametrize("kind", RENAMED)
def test_every_row_reads_in_both_directions(kind):
    kinds = {"a.b": kind}
    for leaf, new in RENAMED[kind].items():
        got = to_mindspore(f"a.b.{leaf}", kinds)
        assert got == (None if new is None else f"a.b.{new}")
        if got is not None:
            assert to_canonical(got, kinds) == f"a.b.{leaf}"


def test_plain_names_stay_and_the_top_has_no_path():
    assert to_mindspore("fc.weight", {}) == "fc.weight"
    assert to_mindspore("weight", {"": "BatchNorm2d"}) == "gamma"


def test_a_parameter_that_the_layer_lacks_is_refused():
    with pytest.raises(UserError, match=r"bn\.scale: a BatchNorm2d has no parameter 'scale'"):
        to_mindspore("bn.scale", {"bn": "BatchNorm2d"})


def test_official_manifests_are_translations_of_each_other_in_name_and_order():
    kinds = infer_kinds(TORCH, "torch")
    assert kinds == infer_kinds(MINDSPORE, "mindspore")
    assert len(kinds) == 104
    forth = translate(TORCH, kinds, "mindspore")
    assert [new for new in forth.values() if new] == list(MINDSPORE)
    back = translate(MINDSPORE, kinds, "torch")
    missing = added(kinds, back.values())
    assert [name for name in TORCH if name not in missing] == list(back.values())
    assert {name for name, shape in TORCH.items() if shape == ()} == set(missing)


STATISTICS = {"running_mean": (4,), "running_var": (4,)}
FILES = {
    "bn": ({"weight": (4,), "bias": (4,), **STATISTICS, "num_batches_tracked": ()}, "BatchNorm2d"),
    "bn without affine": (STATISTICS, "BatchNorm2d"),
    "norm": ({"weight": (4,), "bias": (4,)}, "LayerNorm"),
    "conv": ({"weight": (4, 3, 1, 1)}, PLAIN),
    "linear": ({"weight": (4, 3), "bias": (4,)}, PLAIN),
    "prelu": ({"weight": (1,)}, "PReLU"),
    "bare": ({"position": (1, 4)}, PLAIN),
    "shift": ({"bias": (4,)}, PLAIN),
}


@pytest.mark.parametrize("case", FILES)
def test_inference_agrees_in_both_spellings(case):
    leaves, kind = FILES[case]
    shapes = {f"net.x.{leaf}": shape for leaf, shape in leaves.items()}
    kinds = infer_kinds(shapes, "torch")
    assert kinds == ({} if kind == PLAIN else {"net.x": kind})
    moved = {to_mindspore(name, kinds): shape for name, shape in shapes.items()}
    moved.pop(None, None)
    assert infer_kinds(moved, "mindspore") == kinds


@pytest.mark.parametrize(
    ("framework", "leaves"),
    [
        ("torch", {"weight": (4, 3)}),
        ("torch", {"weight": (4,)}),
        ("torch", {"weight": ()}),
        ("torch", {"weight": (4,), "bias": (4,), "extra": (4,)}),
        ("torch", {"running_mean": (4,), "weight": (4,)}),
        ("torch", {"gamma": (4,)}),
        ("torch", {"w": (4,)}),
        ("mindspore", {"weight": (4,)}),
        ("mindspore", {"gamma": (4,)}),
        ("mindspore", {"moving_mean": (4,)}),
        ("mindspore", {"w": (4,), "bias": (4,)}),
    ],
)
def test_what_the_keys_do_not_decide_is_an_error_until_it_is_stated(framework, leaves):
    shapes = {f"x.{leaf}": shape for leaf, shape in leaves.items()}
    with pytest.raises(UserError, match="x with"):
        infer_kinds(shapes, framework)
    assert infer_kinds(shapes, framework, {"x": PLAIN}) == {}


def test_a_class_is_known_by_its_nearest_base():
    base = type("BatchNorm2d", (), {})
    assert kind_of(type("Own", (base,), {})) == "BatchNorm2d"
    assert kind_of(dict) == PLAIN
