"""Any method on any network: DDM, IAST and DiGA on Mix Transformers and EfficientNet, by one line of configuration."""

import math
from pathlib import Path

import pytest
from rich.console import Console

from common.backends import open_backend
from common.config import load_config
from common.data.roles import open_roles
from common.engine import Engine
from common.log import RunLog, read_journal
from common.methods import stages
from common.run_folder import RunFolder
from tests.e2e.runs import tiny_data
from tests.e2e.streets import ROLES, roots

pytestmark = pytest.mark.slow
MIT = "network={{name: mit, variant: b0, head: {}, width: 8, depths: [1, 1, 1, 1], head_channels: 16}}"
NETWORKS = {
    "segformer": MIT.format("segformer"),
    "daformer": MIT.format("daformer"),
    "efficientnet": "network={name: deeplabv2_efficientnet, width: 0.25, depth: 0.5}",
}
METHODS = {  # configuration -> what makes it short, and the stages that it trains
    "ddm/toy": (
        ["method.rounds=1", "data.labelled.count=3"],
        {"round1/region", "round1/sample", "round1/student"},
    ),
    "iast/toy": (
        [
            *(f"method.{stage}.steps=2" for stage in ("source", "warmup", "self_training")),
            *(f"method.crop_{domain}=null" for domain in ("source", "target")),
            "method.pseudo.size=null",
        ],
        {"source", "warmup", "round1/train"},
    ),
    "diga/toy": (  # with its translator, whose discriminators want sides of 64
        [
            *("method.translator.steps=2", "method.warmup.steps=2", "method.self_training.steps=2"),
            *("method.translator.width=4", "method.crop=[64,64]", "data.labelled=null"),
            *(f"method.{domain}_{size}=null" for domain in ("source", "target") for size in ("low", "full")),
        ],
        {"translator", "warmup", "round1/selftrain"},
    ),
    "diga/toy_semi": (
        [
            *("data.labelled.count=3", "method.warmup.steps=2", "method.self_training.steps=2", "method.crop=[64,32]"),
            *("method.source_low=null", "method.source_full=null"),
            *("method.target_low=[48,32]", "method.target_full=[64,32]"),
        ],
        {"warmup", "round1/selftrain"},
    ),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny toy streets."""
    return tiny_data(tmp_path_factory.mktemp("streets"))


@pytest.mark.parametrize(
    ("name", "network", "backend"),
    [
        *((name, network, "torch") for name in METHODS if name != "diga/toy" for network in ("segformer", "daformer")),
        ("diga/toy", "segformer", "torch"),
        ("iast/toy", "efficientnet", "torch"),
        pytest.param("ddm/toy", "efficientnet", "torch", marks=pytest.mark.exhaustive),
        pytest.param("diga/toy_semi", "efficientnet", "torch", marks=pytest.mark.exhaustive),
        pytest.param("ddm/toy", "daformer", "mindspore", marks=pytest.mark.exhaustive),
        pytest.param("iast/toy", "efficientnet", "mindspore", marks=pytest.mark.exhaustive),
    ],
)
def test_a_method_trains_and_scores_a_network(data, tmp_path, name, network, backend):
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    short, trained = METHODS[name]
    roles = [role for role in ROLES if role != "source" or "semi" not in name]
    sets = roots(data, roles) + [f"data.{role}.size=[64,32]" for role in roles]
    sets += [NETWORKS[network], "train.steps=2", "train.log_every=1"]
    config = load_config(name, [*sets, *short, "train.batch_size=2", "baselines=[]", f"out={tmp_path}"])
    opened, folder = open_backend(backend, device="cpu", compile=False), RunFolder(config.run_folder(backend))
    folder.open("", "", resume=False, overwrite=False)
    log = RunLog(folder, Console(quiet=True))
    Engine(config, opened, stages(config), open_roles(config), folder, log).run("*")
    folder.close()
    entries = read_journal(folder.metrics)
    losses = {one["stage"]: one["loss"] for one in entries if "loss" in one}
    assert set(losses) >= trained and all(map(math.isfinite, losses.values()))
    assert any(one.get("final") and one["mIoU19"] is not None for one in entries)
