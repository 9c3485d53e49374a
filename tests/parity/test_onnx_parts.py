"""Rung P1 for ONNX of the networks beside a task's own, against both frameworks. A new part is one line in a table."""

import numpy as np
import pytest

from common.config import load_config
from common.data.labels import class_set
from common.draws import generator
from common.errors import UserError
from common.tolerances import LOGITS_ONNX
from convert.__main__ import main
from convert.onnx_export import session
from convert.onnx_parts import description, drawn, export_part, flat, form, part_of
from convert.reading import read
from convert.single import convert_file
from convert.subject import Subject, open_subject
from tests.compare import assert_close
from tests.parity.test_onnx import disturbed
from tests.twins import TWINS, need_both, twin

pytestmark = pytest.mark.slow
SMALL = ["method.latent_size=12", "method.image_size=16", "method.latent_width=4"]
CRITIC = "method.warmup.discriminator={width: 4"
PARTS = {  # name -> (part, configuration, settings)
    "generator": ("generator", "augkd/digits", SMALL),
    "conditional generator": ("generator", "augkd/digits", SMALL),
    "encoder": ("encoder", "augkd/digits", SMALL),
    "anchor": ("anchor", "augkd/digits", SMALL),
    "discriminator": ("discriminator", "iast/toy", [f"{CRITIC}}}"]),
    "discriminator, spectral norm": ("discriminator", "iast/toy", [f"{CRITIC}, spectral_norm: true}}"]),
    "translator": ("translator", "diga/toy", ["method.translator.width=4"]),
    "critics": ("critics", "diga/toy", ["method.translator.width=4"]),
    "vgg19": ("vgg19", "diga/toy", []),
}
LONG = ("critics", "vgg19")  # half a minute each
CASES = [pytest.param(name, marks=pytest.mark.exhaustive if name in LONG else ()) for name in PARTS]


def subject(name: str, folder) -> tuple[Subject, object, int]:
    """Save a part with the weights of the start and other running statistics; return also description and classes."""
    part, base, settings = PARTS[name]
    config = load_config(base, settings)
    described, classes = description(config, part, {}), len(class_set(config.classes))
    if name.startswith("conditional"):
        described = described.model_copy(update={"conditional": True})
    side = twin("torch")
    weights = disturbed(side.weights.get_weights(side.nets.build_network(described, classes)))
    rng = generator(0, "singular vectors")
    weights |= {key: rng.normal(size=a.shape).astype("f4") for key, a in weights.items() if key.endswith(".u")}
    path = folder / f"{part}.pth"
    import torch

    torch.save({key: torch.from_numpy(np.array(array)) for key, array in weights.items()}, path)
    return Subject(path, config, read(path).weights), described, classes


@pytest.mark.parametrize("name", CASES)
def test_onnx_equals_both_frameworks(name, tmp_path):
    need_both()
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    found, described, classes = subject(name, tmp_path)
    part = PARTS[name][0]
    assert part_of(found) == part and description(found.config, part, found.weights) == described
    checked = export_part(found, part, tmp_path / "part.onnx", 18)
    assert len(checked) == 3 and max(checked.values()) <= LOGITS_ONNX
    runner, shape = session(str(tmp_path / "part.onnx")), form(described, classes)
    assert runner.get_modelmeta().custom_metadata_map["network"] == part
    assert [one.name for one in runner.get_outputs()] == list(shape.outputs)
    for count, height, width in ((1, 72, 64), (2, 64, 96), (4, 100, 132)):
        arrays = drawn(shape, classes, count, height, width)
        got = runner.run(None, arrays)
        for framework in TWINS:
            for which, one, want in zip(shape.outputs, got, native(framework, found, described, classes, arrays)):
                assert_close(f"{framework} {which}", one, want, LOGITS_ONNX)


def native(framework: str, found: Subject, described, classes: int, arrays) -> list[np.ndarray]:
    """Return what a twin computes from the same file, converted for MindSpore."""
    side = twin(framework)
    network = side.nets.build_network(described, classes)
    side.weights.set_weights(network, found.own_names(framework))
    inputs = [side.tensor(a.astype(np.int32) if a.dtype == np.int64 else a) for a in arrays.values()]
    return [side.numpy(one) for one in flat(network(*inputs))]


def test_the_command_line_knows_parts_by_name_and_by_place(tmp_path, capsys):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    found, _, _ = subject("generator", tmp_path)
    convert_file(found.path, tmp_path / "g.ckpt")
    words = ["--config", "augkd/digits", *[word for one in SMALL for word in ("--set", one)]]
    assert main(["onnx", str(tmp_path / "g.ckpt"), str(tmp_path / "g.onnx"), "--network", "generator", *words]) == 0
    assert "worst relative error" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"g\.mindir: MINDIR is written of a task's network only"):
        main(["onnx", str(found.path), str(tmp_path / "g.mindir"), *words])
    with pytest.raises(UserError, match="--network critics: a part of diga, but the configuration's method is augkd"):
        main(["onnx", str(found.path), str(tmp_path / "c.onnx"), "--network", "critics", *words])
    place = tmp_path / "stages/anchor/checkpoints/step-000001"
    place.mkdir(parents=True)
    (place / "model.pth").write_bytes(found.path.read_bytes())
    assert part_of(open_subject(place / "model.pth", "augkd/digits")) == "anchor"
