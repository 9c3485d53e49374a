"""IAST's stages, the batches of its steps, and the pass that makes its pseudo-labels."""

import json
from pathlib import Path

import numpy as np
import pytest

from common.config import load_config
from common.data.labels import CLASS_SETS
from common.data.roles import open_dataset
from common.data.torch_order import permutation
from common.errors import UserError
from common.methods import stages
from common.pictures import read_png
from common.pseudo import ias
from common.pseudo.class_bank import BANK, read_bank
from common.pseudo.folder import pseudo_label_path, read_any_pseudo_label, write_pseudo_label
from common.pseudo.instance import InstanceSettings, instance_labels
from common.pseudo.statistics import JOURNAL, course
from common.schema import EvaluateConfig
from tests.common.data.trees import cityscapes
from tests.common.methods.worlds import config, context, world

CROPS = {"crop_source": None, "crop_target": None}


def iast(**options):
    """Return a configuration of the method over ``worlds``; nothing is cropped unless asked."""
    return config({"name": "iast", **CROPS, **options}, data={"labelled": None})


class Generator:
    """Stands for G: logits of four classes that depend on the pixel alone."""

    def __init__(self, stop_after: int | None = None):
        self.seen, self.stop_after = [], stop_after

    def scores(self, images: np.ndarray, size: tuple[int, int], output: str) -> np.ndarray:
        """Return (N, 19, H, W) float32."""
        if self.stop_after is not None and len(self.seen) == self.stop_after:
            raise KeyboardInterrupt
        self.seen.append(images[:, 0].max(axis=(1, 2)).tolist())
        values = images.astype(np.float32) / 64
        logits = np.full((len(images), 19, *size), -20, np.float32)
        logits[:, :4] = np.stack([values[:, 0] % 3, values[:, 1], values[:, 2], values[:, 1:].mean(axis=1)], axis=1)
        if output == "input_logits":
            return logits
        powers = np.exp(logits)
        return powers / powers.sum(axis=1, keepdims=True)


def test_rounds_hand_on_what_the_authors_do() -> None:
    """M goes on from the end, G is an earlier snapshot; rounds have their own rates, alphas and lengths."""
    rounds = [{"lr": 3e-5}, {"alpha": 0.25, "steps": 5, "size": (8, 4)}, {}]
    plan = {stage.name: stage for stage in stages(iast(rounds=rounds, self_training={"steps": 6}))}
    assert list(plan) == ["source", "warmup", *(f"round{n}/{kind}" for n in (1, 2, 3) for kind in ("pseudo", "train"))]
    assert plan["warmup"].start == "source@last" and plan["source"].changes["network"]["freeze_bn_affine"] is False
    assert plan["warmup"].changes["network"] == {"freeze_bn_affine": True, "freeze_bn_stats": False}
    assert plan["round1/pseudo"].frozen == {"generator": "warmup@last"} and plan["round1/train"].start == "warmup@last"
    assert plan["round1/train"].snapshots == (3,) and plan["round2/pseudo"].frozen == {"generator": "round1/train@3"}
    assert plan["round2/train"].start == "round1/train@last" and plan["round3/train"].snapshots == ()
    assert [plan[f"round{n}/train"].steps for n in (1, 2, 3)] == [6, 5, 6]
    assert plan["round1/train"].changes["optim"]["lr"] == 3e-5
    assert plan["round2/pseudo"].settings["pseudo"]["alpha"] == 0.25
    assert plan["round2/pseudo"].settings["pseudo"]["size"] == [8, 4]


def test_the_choice_by_validation_labels_is_an_option() -> None:
    """``selection: best`` takes the best of source and warm-up, ``generator: last`` what the paper writes."""
    options = {"selection": "best", "generator": "last"}
    plan = {stage.name: stage for stage in stages(iast(rounds=[{}, {}], self_training={"steps": 4}, **options))}
    assert plan["warmup"].start == "source@best" and plan["round1/pseudo"].frozen == {"generator": "warmup@best"}
    assert plan["round1/train"].start == "warmup@last"
    assert plan["round2/pseudo"].frozen == {"generator": "round1/train@last"} and not plan["round1/train"].snapshots


def test_floors_and_statistics_follow_the_stage() -> None:
    """Every stage's rate sinks to a thousandth of it when the run's does; BatchNorm can be frozen whole."""
    of = iast(warmup={"lr": 2e-5}, bn="frozen", rounds=[{}])
    of = of.model_copy(update={"optim": of.optim.model_copy(update={"lr": 1e-4, "floor": 1e-7})})
    plan = {stage.name: stage for stage in stages(of)}
    assert plan["warmup"].configured(of).optim.floor == pytest.approx(2e-8)
    assert plan["warmup"].configured(of).network.freeze_bn_stats
    assert not plan["source"].configured(of).network.freeze_bn_stats
    own = iast(self_training={"bn": "frozen"}, rounds=[{}])
    held = {stage.name: stage.configured(own).network.freeze_bn_stats for stage in stages(own)}
    assert held["round1/train"] and not held["warmup"]


def test_scores_while_training_are_those_of_one_pass() -> None:
    """Whatever evaluate.py is to do afterwards: one size, no mirror images, logits."""
    of = iast(source={"scales": [(128, 64)]}, rounds=[{}])
    of = of.model_copy(update={"evaluate": EvaluateConfig(scales=(0.5, 1.0), flip=True, output="probabilities")})
    found = {stage.name: stage.configured(of).evaluate for stage in stages(of)}
    assert found["source"] == EvaluateConfig(scales=((128, 64),), output="input_logits")
    assert found["round1/train"] == of.evaluate  # without a size of its own


def test_official_weights_can_stand_for_the_first_stages(tmp_path: Path) -> None:
    """With weights of M and G the run begins with the first round; without them it says so."""
    with pytest.raises(UserError, match="starts from network"):
        stages(iast(begin="self_training"))
    of = iast(begin="self_training", generator_weights=tmp_path / "g.pth", rounds=[{}])
    of = of.model_copy(update={"network": of.network.model_copy(update={"weights": tmp_path / "m.pth"})})
    plan = {stage.name: stage for stage in stages(of)}
    assert list(plan) == ["model", "generator", "round1/pseudo", "round1/train"] and plan["model"].steps == 0
    assert plan["generator"].configured(of).network.weights == tmp_path / "g.pth"
    assert plan["round1/pseudo"].frozen == {"generator": "generator"} and plan["round1/train"].start == "model"


def test_batches_hold_what_their_steps_train_on(tmp_path: Path) -> None:
    """Source pairs; the target beside them; pseudo-labels enlarged to the image."""
    of = iast(rounds=[{"size": (8, 4)}], warmup={"update_every": 2})
    plan = {stage.name: stage for stage in stages(of)}
    source = plan["source"].batches(context(of, "source"))(0)
    assert sorted(source) == ["source_image", "source_label"] and source["source_image"].shape == (2, 3, 12, 20)
    warmup = plan["warmup"].batches(context(of, "warmup"))
    assert sorted(warmup(0)) == ["source_image", "source_label", "target_image", "update_discriminator"]
    assert [bool(warmup(step)["update_discriminator"]) for step in range(4)] == [True, False, True, False]
    of_context = context(of, "round1/train", tmp_path)
    for index, name in enumerate(of_context.data.target.names):
        write_pseudo_label(tmp_path, name, np.full((4, 8), index, np.uint8))
    batch = plan["round1/train"].batches(of_context)(0)
    assert sorted(batch) == ["target_image", "target_label"] and batch["target_label"].shape == (2, 8, 16)
    assert np.array_equal(batch["target_image"][:, 0, 4, 8] - 200, batch["target_label"][:, 4, 8])


def test_fixed_order_is_that_of_the_official_sampler() -> None:
    """The same permutation in every epoch; the images that fill no batch are never seen."""
    of = iast(fixed_order=True)
    build = next(stage for stage in stages(of) if stage.name == "source").batches(context(of, "source"))
    seen = [build(step)["source_image"][:, 0].max(axis=(1, 2)).tolist() for step in range(6)]
    order = permutation(6).reshape(3, 2)
    assert seen == [[world().source.image(i)[..., 0].max() for i in pair] for pair in order] * 2


def run_pass(folder: Path, settings: InstanceSettings, generator: Generator) -> dict:
    """Run the pass of round 1 over the world's target."""
    return instance_labels(context(iast(), "round1/pseudo", folder), generator, settings)


def test_the_pass_is_the_selector_over_the_stream(tmp_path: Path) -> None:
    """Labels and thresholds equal those of ``common.pseudo.ias`` called by hand in the sampler's order."""
    folder = tmp_path / "files"
    folder.mkdir()
    settings = InstanceSettings(alpha=0.5, beta=0.5, gamma=1.0)
    report = run_pass(folder, settings, Generator())
    data, thresholds = world().target, ias.initial_thresholds(19)
    names = [data.names[index] for index in permutation(len(data))]
    for first in range(0, len(names), 2):
        some = names[first : first + 2]
        images = np.stack([data.image(data.names.index(name)) for name in some]).transpose(0, 3, 1, 2)
        pairs = [ias.label_and_confidence(one) for one in Generator().scores(images, images.shape[2:], "input_logits")]
        label, confidence = (np.stack(parts) for parts in zip(*pairs))
        thresholds = ias.update(label, confidence, thresholds, 0.5, 0.5, 1.0).thresholds
        for name, want in zip(some, ias.select(label, confidence, thresholds)):
            assert np.array_equal(read_any_pseudo_label(folder, name), want)
    assert report["thresholds"] == thresholds.tolist() and 0 < report["kept"] < 1
    assert len((folder / JOURNAL).read_text().splitlines()) == 4 and not (tmp_path / "scratch").exists()
    assert len(report["class_precision"]) == 19 and json.loads((folder / "thresholds.json").read_text()) == report


@pytest.mark.parametrize("cut", [0, 1, 3])
def test_a_pass_that_was_cut_goes_on(tmp_path: Path, cut: int) -> None:
    """Images that were labelled are not predicted again, and the outcome is the same."""
    settings, made = InstanceSettings(alpha=0.5, beta=0.5, gamma=1.0), {}
    for name in ("whole", "cut"):
        (tmp_path / name / "files").mkdir(parents=True)
    made["whole"] = run_pass(tmp_path / "whole" / "files", settings, Generator())
    with pytest.raises(KeyboardInterrupt):
        run_pass(tmp_path / "cut" / "files", settings, Generator(stop_after=cut))
    journal = tmp_path / "cut" / "scratch" / JOURNAL
    journal.write_text(journal.read_text() + '{"half a li')
    again = Generator()
    made["cut"] = run_pass(tmp_path / "cut" / "files", settings, again)
    assert len(again.seen) == 4 - cut and made["cut"] == made["whole"]
    for name in world().target.names:
        one, two = (pseudo_label_path(tmp_path / run / "files", name).read_bytes() for run in made)
        assert one == two


@pytest.mark.parametrize(("rule", "kept"), [("none", 1.0), ("constant", None), ("cbst", None)])
def test_the_rules_it_is_compared_with(tmp_path: Path, rule: str, kept: float | None) -> None:
    """Every pixel; those above one threshold; the most confident of each class over all images."""
    folder = tmp_path / "files"
    folder.mkdir()
    report = run_pass(folder, InstanceSettings(rule=rule, constant=0.5, alpha=0.3), Generator())
    assert report["kept"] == kept if kept else 0 < report["kept"] < 1
    assert all(read_any_pseudo_label(folder, name).shape == (8, 16) for name in world().target.names)


def test_several_passes_are_averaged(tmp_path: Path) -> None:
    """With mirror images the predictor's mean probabilities count."""
    folder = tmp_path / "files"
    folder.mkdir()
    assert 0 < run_pass(folder, InstanceSettings(flip=True, initial=0.5, alpha=0.5, gamma=1.0), Generator())["kept"] < 1


HIAST = {"lambda_consistency": 0.5, "copy_paste": {"classes": 3, "images": 2}}


def test_an_averaged_network_teaches_and_labels_while_the_trained_one_goes_on() -> None:
    """HIAST's rounds hand M on as it was trained and G averaged; copies need a bank, or labels that bring one."""
    of = iast(rounds=[{}, {}], self_training=HIAST, pseudo={"bank": 9})
    plan = {stage.name: stage for stage in stages(of)}
    assert plan["round1/train"].configured(of).train.ema == 0.999 and plan["warmup"].configured(of).train.ema is None
    assert plan["round2/train"].start == "round1/train@last:model"
    assert plan["round2/pseudo"].frozen["generator"].startswith("round1/train@") and plan["round1/train"].snapshots
    assert plan["round1/train"].start == "warmup@last" and plan["round1/train"].seed == 0
    with pytest.raises(UserError, match=r"method\.self_training\.copy_paste needs method\.pseudo\.bank"):
        stages(iast(self_training=HIAST))
    assert stages(iast(self_training=HIAST, pseudo={"folder": "labels"}))


def test_classes_are_pasted_from_the_bank_of_the_pass(tmp_path: Path) -> None:
    """Cut or whole, the pass leaves one bank; batches show pasted pixels, and the same ones in other colours."""
    settings, banks = InstanceSettings(alpha=0.5, beta=0.5, gamma=1.0, bank=5), []
    for cut in (None, 2):
        folder = tmp_path / str(cut) / "files"
        folder.mkdir(parents=True)
        if cut is not None:
            with pytest.raises(KeyboardInterrupt):
                run_pass(folder, settings, Generator(stop_after=cut))
        run_pass(folder, settings, Generator())
        banks.append((folder / BANK).read_bytes())
    assert banks[0] == banks[1] and max(map(len, json.loads(banks[0])["images"])) == 5
    of = iast(rounds=[{"size": (16, 8)}], self_training=HIAST, pseudo={"bank": 5})
    plain = iast(rounds=[{"size": (16, 8)}], self_training={"lambda_consistency": 0.5})
    found = []
    for one in (of, plain, of):
        train = next(stage for stage in stages(one) if stage.name == "round1/train")
        found.append(train.batches(context(one, "round1/train", folder))(1))
    pasted, alone, again = found
    assert sorted(pasted) == ["target_image", "target_label", "target_strong"]
    assert all(np.array_equal(pasted[key], again[key]) for key in pasted)
    moved, known = pasted["target_label"] != alone["target_label"], read_bank(folder, 19)
    assert moved.any() and set(np.unique(pasted["target_label"][moved])) <= set(known.hard(3))
    own = alone["target_image"][:, 0] == pasted["target_image"][:, 0]  # the red channel tells the image
    assert (own | (pasted["target_label"] < 255)).all() and not own.all()
    with pytest.raises(UserError, match="rule cbst fills none"):
        run_pass(folder, InstanceSettings(rule="cbst", bank=5), Generator())


def test_labels_of_the_official_code_are_read(tmp_path: Path) -> None:
    """``STEM_pseudo_label.png`` in one flat folder."""
    write_pseudo_label(tmp_path, "x/y.png", np.full((2, 3), 7, np.uint8))
    pseudo_label_path(tmp_path, "x/y.png").rename(tmp_path / "y_leftImg8bit_pseudo_label.png")
    assert read_any_pseudo_label(tmp_path, "city/y_leftImg8bit.png").tolist() == [[7] * 3] * 2
    with pytest.raises(UserError, match="pseudo-label is missing"):
        read_any_pseudo_label(tmp_path, "city/z_leftImg8bit.png")


@pytest.mark.parametrize("name", sorted(p.stem for p in Path("common/configs/iast").glob("[!_]*.yaml")))
def test_every_configuration_is_whole(name: str) -> None:
    """It reads, names its stages, and states where its numbers come from."""
    of = load_config(f"iast/{name}")
    plan = stages(of)
    assert plan[0].name == "source" and plan[-1].objective == "iast_self_training"
    assert all(stage.configured(of) for stage in plan)
    assert of.published or name in ("toy", "gta5_to_bdd_v100")


@pytest.mark.parametrize("part", [2, 4, 8])
def test_semi_supervised_domains_share_no_image(tmp_path: Path, part: int) -> None:
    """One image in so many is labelled and stands for the source; all others are the target."""
    config = load_config(f"iast/cityscapes_semi_{part}").data
    root = cityscapes(tmp_path, cities=("aachen",), count=17)
    source, target = (
        open_dataset(one.model_copy(update={"root": root}), CLASS_SETS["cityscapes19"])
        for one in (config.source, config.target)
    )
    assert len(source) == -(-17 // part) and len(source) + len(target) == 17
    assert not set(source.names) & set(target.names)


def test_the_course_of_a_pass_and_its_pictures_are_kept(tmp_path: Path) -> None:
    """Kept share and precision after every batch, in percent; a sheet of labels for the report."""
    folder = tmp_path / "files"
    folder.mkdir()
    report = run_pass(folder, InstanceSettings(alpha=0.5, initial=0.5, gamma=1.0), Generator())
    points = course(folder)
    assert [batch for batch, _ in points["kept"]] == [1, 2, 3, 4]
    assert points["kept"][-1][1] == pytest.approx(100 * report["kept"])
    assert points["precision"][-1][1] == pytest.approx(100 * report["precision"])
    assert read_png(folder / "pictures" / "labels.png").shape[2] == 3 and course(tmp_path) == {}
