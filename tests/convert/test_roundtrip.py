"""Rung P0: every content comes back to the bit through the other formats, and the frameworks read what lies between."""

import numpy as np
import pytest

from common.errors import UserError
from convert.reading import Reading
from convert.single import Options, convert_file
from convert.translation import Stated
from tests.convert.checkpoints import assert_same, content, manifest, odd_tensors, write_ckpt, write_pth

mindspore = pytest.importorskip("mindspore", reason="MindSpore writes and reads beside us; it is not installed")
torch = pytest.importorskip("torch", reason="PyTorch writes and reads beside us; it is not installed")
mindspore.set_device("CPU")  # as the twin does: later than the first operation is too late


def network() -> torch.nn.Sequential:
    torch.manual_seed(0)
    layers = torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten(), torch.nn.Linear(144, 5, bias=False)
    return torch.nn.Sequential(*layers, torch.nn.LayerNorm(5), torch.nn.PReLU(5))


def trained(make) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    net = network()
    optimizer = make(net)
    for _ in range(3):
        optimizer.zero_grad()
        net(torch.randn(2, 3, 8, 8)).square().mean().backward()
        optimizer.step()
    return net, optimizer


def groups(net):
    named = list(net.named_parameters())
    return [{"params": named[:2], "lr": 1e-3}, {"params": named[2:]}]


OPTIMIZERS = {
    "adagrad": lambda net: torch.optim.Adagrad(net.parameters(), 0.1),  # without a partner's names: kept as it is
    "sgd": lambda net: torch.optim.SGD(net.parameters(), 0.1, momentum=0.9),
    "adam": lambda net: torch.optim.Adam(net.parameters(), 0.1, amsgrad=True),
    "adamw by name": lambda net: torch.optim.AdamW(groups(net)),
}


def flat(net, *slots) -> dict[str, torch.Tensor]:
    return {f"{slot}.{name}": torch.randn(p.shape) for slot in slots for name, p in net.named_parameters()}


def trees() -> dict[str, object]:
    """Return contents as research code saves them."""
    net, _ = trained(OPTIMIZERS["sgd"])
    weights = net.state_dict()
    result = {
        "bare": weights,
        "wrapped": {
            "epoch": 3, "model": weights, "best": np.float64(0.3), "memory": {"prototypes": torch.randn(3, 4)},
            "args": {"sizes": (1, 2), 5: float("inf"), "raw": b"x", "count": torch.tensor(3)}, "log": [torch.ones(2)],
        },
        "averaged": {"state_dict": weights, "model_ema": weights},
        "two networks": {"netG": weights, "netF": {"fc.weight": torch.randn(3, 3)}},
        "flat sgd": flat(net, "momentum_buffer"),
        "flat adam": {**flat(net, "exp_avg", "exp_avg_sq"), "step": torch.tensor(7)},
        "section": {"state_dict": weights, "optimizer": {**flat(net, "exp_avg"), "step": torch.tensor(7.0)}},
        "taken names": {
            "a.gamma": torch.randn(2), "a.beta": torch.randn(2), "b.weight": torch.randn(4), "d.w": torch.ones(3),
            "c.moving_mean": torch.ones(2), "e.weight": torch.ones(1), "embedding_table": torch.ones(2, 2),
            "f.weight": torch.ones(4, 5), "learning_rate": torch.tensor(1.0), "accum.x": torch.ones(2),
            "weight": torch.ones(3), "g.weight": torch.tensor(1.0),
        },
        "old": {name: value for name, value in weights.items() if "num_batches" not in name},
    }  # fmt: skip
    for name, make in OPTIMIZERS.items():
        net, optimizer = trained(make)
        result[name] = {"state_dict": net.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": {"last": 1}}
        result[f"{name} of one of two"] = {
            "g": net.state_dict(),
            "f": {"w": torch.ones(1)},
            "opt": optimizer.state_dict(),
        }
        result[f"{name} alone"] = optimizer.state_dict()
    return result


def plain(value):
    """Return a content with Python's numbers for NumPy's, which no safely loadable .pth holds."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value.item() if isinstance(value, np.generic) else value


def keys(value) -> list:
    """Return the keys of a content in their order, at every depth."""
    return [(key, keys(item)) for key, item in value.items()] if isinstance(value, dict) else []


TREES = trees()
MIXED = ("wrapped", "taken names")  # tensors beside other things in one dict, which come back one kind after the other


@pytest.mark.parametrize("name", TREES)
@pytest.mark.parametrize("path", [["ckpt"], ["safetensors"], ["ckpt", "ms.safetensors", "again.ckpt"]], ids="-".join)
def test_content_comes_back_to_the_bit(tmp_path, name, path):
    torch.save(TREES[name], tmp_path / "a.pth")
    place = tmp_path / "a.pth"
    for step in [*path, "b.pth"]:
        target = tmp_path / f"x.{step}"
        names = "mindspore" if "ms." in step else None
        convert_file(place, target, Options(Reading(names=names), names=names))
        place = target
    want, got = plain(content(tmp_path / "a.pth")), content(place)
    assert_same(got, want)
    if len(path) == 1 and name not in MIXED:
        assert keys(got) == keys(want)
    torch.load(place, weights_only=True)
    if path == ["ckpt"]:
        assert len(mindspore.load_checkpoint(str(tmp_path / "x.ckpt"), crc_check=True)) >= 1


@pytest.mark.parametrize("suffix", ["ckpt", "safetensors"])
def test_odd_tensors_come_back_to_the_bit(tmp_path, suffix):
    tensors = odd_tensors()
    convert_file(write_pth(tmp_path / "a.pth", tensors), tmp_path / f"b.{suffix}")
    convert_file(tmp_path / f"b.{suffix}", tmp_path / "c.pth")
    assert_same(content(tmp_path / "c.pth"), {name: np.array(array) for name, array in tensors.items()})


@pytest.mark.parametrize(
    "stem",
    [
        "ddm/deeplabv2_torch", "iast/deeplabv2_r50_ibn", "diga/mit_b5_daformer_head", "diga/hrnet_ocr", "s3d/vgg16",
        "augkd/anchornet", "augkd/encoder", "augkd/mobilenet_v3_small", "s3d/predictor_deep_126", "diga/deeplab19",
    ],
)  # fmt: skip
def test_official_networks_come_back_to_the_bit(tmp_path, stem):
    want = {name: array[:1, :1] if array.nbytes > 2**20 else array for name, array in manifest(stem).items()}
    report = convert_file(write_pth(tmp_path / "a.pth", want), tmp_path / "b.ckpt")
    assert not [line for line in report.remarks if "type" in line] or stem.startswith("s3d/predictor")
    convert_file(tmp_path / "b.ckpt", tmp_path / "c.pth")
    got = content(tmp_path / "c.pth")
    assert_same(got, want)
    assert list(got) == list(want)


def test_mindspore_training_file_comes_back_to_the_bit(tmp_path):
    shapes = {"conv.weight": (2, 3, 1, 1), "bn.gamma": (2,), "bn.beta": (2,)}
    weights = {name: np.random.default_rng(0).normal(size=shape).astype("f4") for name, shape in shapes.items()}
    norm = {"bn.moving_mean": np.ones(2, "f4"), "bn.moving_variance": np.ones(2, "f4")}
    counters = {
        "learning_rate": np.array(0.1, "f4"), "momentum": np.array(0.9, "f4"), "global_step": np.array([5], "i4"),
        "beta1_power": np.array(0.8**5, "f4"), "beta2_power": np.array(0.99**5, "f4"),
    }  # fmt: skip
    for slots in (("moments",), ("accum", "stat"), ("moment1", "moment2"), ("adam_m", "adam_v")):
        state = {
            f"{slot}.{name}": np.zeros_like(a) if slot == "stat" else a for slot in slots for name, a in weights.items()
        }
        source = {**weights, **norm, **state, **counters, "place": "text"}
        convert_file(write_ckpt(tmp_path / "a.ckpt", source), tmp_path / "b.pth")
        convert_file(tmp_path / "b.pth", tmp_path / "c.ckpt")
        assert_same(content(tmp_path / "c.ckpt"), source)
        tree = torch.load(tmp_path / "b.pth", weights_only=True)
        assert int(tree["optimizer"]["step"]) == 5 and "bn.num_batches_tracked" in tree["state_dict"]


def test_fresh_momentum_is_a_zero_buffer(tmp_path):
    weight = np.ones((2, 2), "f4")
    for stat, buffer in ((np.ones_like(weight), 0.0), (np.zeros_like(weight), 3.0)):
        write_ckpt(tmp_path / "a.ckpt", {"w": weight, "accum.w": weight * 3, "stat.w": stat})
        convert_file(tmp_path / "a.ckpt", tmp_path / "b.pth")
        assert_same(content(tmp_path / "b.pth")["optimizer"], {"momentum_buffer.w": weight * np.float32(buffer)})
    write_ckpt(tmp_path / "a.ckpt", {"w": weight, "accum.w": weight, "stat.w": np.eye(2, dtype="f4")})
    with pytest.raises(UserError, match=r"stat\.w: every element must be 0"):
        convert_file(tmp_path / "a.ckpt", tmp_path / "b.pth")


def test_mindspore_adam_gets_its_powers(tmp_path):
    net, optimizer = trained(lambda net: torch.optim.Adam(net.parameters(), betas=(0.8, 0.99)))
    torch.save({"model": net.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "a.pth")
    convert_file(tmp_path / "a.pth", tmp_path / "b.ckpt")
    got = mindspore.load_checkpoint(str(tmp_path / "b.ckpt"))
    assert got["global_step"].asnumpy().tolist() == [3]
    assert got["beta1_power"].asnumpy() == np.float32(0.8**3) and got["beta2_power"].asnumpy() == np.float32(0.99**3)
    want = optimizer.state_dict()["state"][0]["exp_avg"].numpy()
    assert got["moment1.0.weight"].asnumpy().tobytes() == want.tobytes()


def test_an_optimizer_of_unknown_order_is_kept_and_said(tmp_path):
    net = network()
    named = dict(net.named_parameters())
    optimizer = torch.optim.SGD([{"params": [named["3.weight"]]}, {"params": [named["0.weight"]]}], 0.1, momentum=0.9)
    net(torch.randn(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    torch.save({"state_dict": net.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "a.pth")
    report = convert_file(tmp_path / "a.pth", tmp_path / "b.ckpt")
    assert "2 groups without param_names" in report.remarks[0]
    assert "optimizer/state/0/momentum_buffer" in content(tmp_path / "b.ckpt")
    stated = Options(Reading(parameters=["3.weight", "0.weight"]))
    assert not convert_file(tmp_path / "a.pth", tmp_path / "b.ckpt", stated).remarks[1:]
    assert_same(
        content(tmp_path / "b.ckpt")["accum.3.weight"], optimizer.state[named["3.weight"]]["momentum_buffer"].numpy()
    )


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({"module.a": 1, "module._orig_mod.a": 1, "module.b": 1}, "two tensors would be called a|would both become"),
        ({"bn.running_mean": 2, "bn.weight": 2, "bn.bias": 2}, r"missing: bn\.running_var"),
        ({"bn.running_mean": 2, "bn.running_var": 2, "bn.bias": 2}, r"missing: bn\.weight"),
        ({"bn.running_mean": 2, "bn.running_var": 2, "bn.gamma": 2}, r"unexpected: bn\.gamma"),
        ({"bn.running_mean": 2, "bn.running_var": 3}, "of unequal shapes: bn"),
    ],
)
def test_what_is_not_whole_stops(tmp_path, tensors, says):
    write_pth(tmp_path / "a.pth", {name: np.ones(size, np.float32) for name, size in tensors.items()})
    with pytest.raises(UserError, match=says):
        convert_file(tmp_path / "a.pth", tmp_path / "b.ckpt")
    assert not (tmp_path / "b.ckpt").exists()


def test_a_stated_layer_is_renamed_and_comes_back(tmp_path):
    tensors = {"e.weight": np.ones((4, 2), "f4"), "n.weight": np.ones(3, "f4"), "p.weight": np.ones(3, "f4")}
    write_pth(tmp_path / "a.pth", tensors)
    assert "e (Plain or Embedding)" in convert_file(tmp_path / "a.pth", tmp_path / "b.ckpt").remarks[0]
    stated = Stated({"e": "Embedding", "n": "LayerNorm", "p": "PReLU"})
    assert not convert_file(tmp_path / "a.pth", tmp_path / "b.ckpt", Options(stated=stated)).remarks
    assert list(content(tmp_path / "b.ckpt")) == ["e.embedding_table", "n.gamma", "p.w"]
    convert_file(tmp_path / "b.ckpt", tmp_path / "c.pth")
    assert_same(content(tmp_path / "c.pth"), tensors)


def test_one_section_of_several(tmp_path):
    torch.save(TREES["two networks"], tmp_path / "a.pth")
    convert_file(tmp_path / "a.pth", tmp_path / "b.ckpt", Options(Reading(section="netF")))
    assert list(content(tmp_path / "b.ckpt")) == ["fc.weight"]
    with pytest.raises(UserError, match="has no section 'netX'; there are netG, netF"):
        convert_file(tmp_path / "a.pth", tmp_path / "b.ckpt", Options(Reading(section="netX")))


def test_an_optimizer_alone_gets_the_names_that_are_stated(tmp_path):
    net, optimizer = trained(OPTIMIZERS["adam"])
    torch.save(optimizer.state_dict(), tmp_path / "a.pth")
    names = [name for name, _ in net.named_parameters()]
    convert_file(tmp_path / "a.pth", tmp_path / "b.ckpt", Options(Reading(parameters=names)))
    got = mindspore.load_checkpoint(str(tmp_path / "b.ckpt"))
    want = optimizer.state_dict()["state"][0]["exp_avg"].numpy()
    assert got["moment1.0.weight"].asnumpy().tobytes() == want.tobytes() and "beta1_power" in got
    convert_file(tmp_path / "b.ckpt", tmp_path / "c.pth")
    assert_same(content(tmp_path / "c.pth"), content(tmp_path / "a.pth"))


def test_a_name_too_long_for_mindspore_is_refused(tmp_path):
    write_pth(tmp_path / "a.pth", {"x" * 1025: np.ones(2, np.float32)})
    with pytest.raises(UserError, match="a name of 1025 characters; MindSpore reads at most 1024"):
        convert_file(tmp_path / "a.pth", tmp_path / "b.ckpt")
    assert not (tmp_path / "b.ckpt").exists()


def test_complex_numbers_do_not_fit_mindspore(tmp_path):
    write_pth(tmp_path / "a.pth", {"w": np.ones(2, np.complex64)})
    with pytest.raises(UserError, match="w: MindSpore has no tensors of dtype complex64"):
        convert_file(tmp_path / "a.pth", tmp_path / "b.ckpt")
