"""DDM's rounds as stages, and its batches as pure functions of the step."""

from collections import Counter
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

from common.data.loader import batches as loaded
from common.errors import UserError
from common.methods import METHODS, stages
from common.methods.ddm import OPTIONS, DDMSettings
from tests.common.methods.ddm_batches import builder, drawn, pseudo_labels, same, stage_of
from tests.common.methods.worlds import config, world

SHAPES = {
    "region": {"mixed_image": (2, 3, 8, 16), "mixed_label": (2, 8, 16)},
    "sample": {
        "source_image": (2, 3, 12, 20),
        "source_label": (2, 12, 20),
        "target_image": (2, 3, 8, 16),
        "target_label": (2, 8, 16),
    },
    "student": {"unlabelled_image": (2, 3, 8, 16), "target_image": (2, 3, 8, 16), "target_label": (2, 8, 16)},
}


def test_rounds() -> None:
    """Region, sample, student and pseudo in every round, but no pseudo in the last (algorithm 1)."""
    names = [stage.name for stage in stages(config({"name": "ddm", "rounds": 2}))]
    first = ["round1/region", "round1/sample", "round1/student", "round1/pseudo"]
    assert names == [*first, "round2/region", "round2/sample", "round2/student"]
    assert len(stages(config({"name": "ddm", "rounds": 1}))) == 3


def test_a_round_in_detail() -> None:
    """What starts where, who is frozen, what is read, and which seeds: seed + 1000 * round + {0, 1, 2}."""
    of = config({"name": "ddm", "rounds": 3, "student_steps": 5})
    region, sample, student, pseudo = (stage_of(of, f"round2/{k}") for k in ("region", "sample", "student", "pseudo"))
    assert [s.seed for s in (region, sample, student)] == [2000, 2001, 2002]
    assert [s.objective for s in (region, sample, student, pseudo)] == ["ddm_region", "ddm_sample", "ddm_student", None]
    assert [s.steps for s in (region, sample, student)] == [7, 7, 5]
    assert region.reads == sample.reads == ("round1/pseudo",) and student.reads == ()
    assert student.frozen == {"region_teacher": "round2/region", "sample_teacher": "round2/sample"}
    assert pseudo.frozen == {"student": "round2/student"} and not pseudo.score and pseudo.produce
    assert {s.start for s in stages(of)} == {None}


def test_rounds_may_go_on_from_the_one_before() -> None:
    """``init: previous`` starts each network from its own predecessor."""
    of = config({"name": "ddm", "rounds": 2, "init": "previous"})
    starts = {stage.name: stage.start for stage in stages(of) if stage.objective}
    assert starts["round2/sample"] == "round1/sample" and starts["round2/student"] == "round1/student"
    assert starts["round1/region"] is None


def test_student_reads_pseudo_labels_only_when_asked() -> None:
    """``student_ce: union``."""
    of = config({"name": "ddm", "rounds": 2, "student_ce": "union"})
    assert stage_of(of, "round2/student").reads == ("round1/pseudo",) and stage_of(of, "round1/student").reads == ()


def test_every_option_counts_for_some_stage() -> None:
    """An option that no stage depends on would be changed without anything being run again."""
    shape_of_the_run = {"name", "rounds", "init", "region_steps", "sample_steps", "student_steps"}
    assert set(DDMSettings.model_fields) == shape_of_the_run.union(*OPTIONS.values())


@pytest.mark.parametrize("role", ["source", "target", "labelled"])
def test_missing_data_is_named(role: str) -> None:
    """The key that has to be set."""
    with pytest.raises(UserError, match=f"data.{role}"):
        stages(config(data={role: None}))


@pytest.mark.parametrize("kind", SHAPES)
def test_batches_are_pure_functions_of_the_step(kind: str) -> None:
    """Whatever was asked before, in a fresh process' copy, and with loader processes."""
    of = config({"name": "ddm", "rounds": 1}, data={"colour": {"mode": "online"}})
    build = builder(of, f"round1/{kind}")
    forward = [build(step) for step in range(5)]
    assert {key: value.shape for key, value in forward[0].items()} == SHAPES[kind]
    assert all(v.dtype == (np.uint8 if k.endswith("image") else np.int32) for k, v in forward[0].items())
    again = cloudpickle.loads(cloudpickle.dumps(builder(of, f"round1/{kind}")))
    assert all(same(again(step), forward[step]) for step in reversed(range(5)))
    assert not same(forward[0], forward[1])


def test_loader_processes_see_the_same_batches() -> None:
    """Also after a resume in the middle."""
    build = builder(config(), "round1/region")
    assert all(same(a, build(step)) for step, a in enumerate(loaded(build, 1, 5, workers=2), 1))


@pytest.mark.parametrize("kind", SHAPES)
def test_ranks_share_one_sequence(kind: str) -> None:
    """Two ranks see together what one rank with twice the batch sees."""
    single = config(train={"steps": 7, "batch_size": 4})
    whole, parts = (
        builder(single, f"round1/{kind}"),
        [builder(config(), f"round1/{kind}", rank=rank, world=2) for rank in (0, 1)],
    )
    for step in range(3):
        halves = [part(step) for part in parts]
        assert same({key: np.concatenate([h[key] for h in halves]) for key in halves[0]}, whole(step))


def test_stages_draw_differently() -> None:
    """Round, network and seed each have their own stream."""
    of, other = config(), config(seed=99)
    batches = [builder(of, "round1/sample")(0), builder(other, "round1/sample")(0)]
    assert not same(*batches)
    rounds = [drawn(builder(of, f"round{r}/student"), "target_label", 20) for r in (1, 2)]
    assert rounds[0] != rounds[1]


def test_region_pastes_source_into_target() -> None:
    """Image and label come from the same domain at every pixel; both are at the target's size; eq. 1."""
    build, shares = builder(config(), "round1/region"), []
    for step in range(40):
        batch = build(step)
        for image, label in zip(batch["mixed_image"], batch["mixed_label"]):
            source = image[0] < 100  # the red channel tells the domain and the image
            index = np.where(source, image[0].astype(int) - 10, image[0].astype(int) - 200)
            assert np.array_equal(np.where(label == 255, index, label), index)
            assert set(index[~source]) <= {2, 5}
            rows, columns = np.nonzero(source)
            if rows.size:
                assert source[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].all()
            shares.append(source.mean())
    assert 0.2 < np.mean(shares) < 0.45


def test_source_comes_in_shuffled_epochs() -> None:
    """Six images, three steps of two: every epoch holds each once."""
    seen = drawn(builder(config(), "round1/sample"), "source_label", 6)
    assert sorted(seen[:6]) == sorted(seen[6:]) == list(range(6)) and seen[:6] != seen[6:]


def test_unlabelled_are_all_target_images() -> None:
    """Labelled ones included, unless ``exclude_labelled``."""
    for without, want in ((False, range(8)), (True, [0, 1, 3, 4, 6, 7])):
        build = builder(config({"name": "ddm", "exclude_labelled": without}), "round1/student")
        seen = [
            int(image[0, 0, 0]) - 200 for step in range(len(want) // 2) for image in build(step)["unlabelled_image"]
        ]
        assert sorted(seen) == list(want)


def test_labelled_are_drawn_with_replacement() -> None:
    """Uniformly over the labelled images, and from nothing else in round 1."""
    counts = Counter(drawn(builder(config(), "round1/sample"), "target_label", 100))
    assert set(counts) == {2, 5} and 70 < counts[2] < 130


def test_later_rounds_draw_from_all_images(tmp_path: Path) -> None:
    """Ground truth wins where it exists; all images are equally likely."""
    build = builder(config({"name": "ddm", "rounds": 2}), "round2/sample", pseudo_labels(tmp_path))
    counts = Counter(drawn(build, "target_label", 200))
    assert set(counts) == {2, 5, 100, 101, 103, 104, 106, 107}
    assert all(30 < count < 72 for count in counts.values())


@pytest.mark.parametrize(("ratio", "low", "high"), [(0.0, 0, 0), (0.75, 0.65, 0.85), (1.0, 1, 1)])
def test_share_of_true_labels(tmp_path: Path, ratio: float, low: float, high: float) -> None:
    """``gt_ratio`` is the probability of drawing from the labelled images."""
    build = builder(config({"name": "ddm", "gt_ratio": ratio}), "round2/region", pseudo_labels(tmp_path))
    true = [batch["mixed_image"][:, 0] for batch in map(build, range(100))]
    share = np.mean(
        [np.isin(image[image >= 200], (202, 205)).all() for one in true for image in one if image.max() >= 200]
    )
    assert low <= share <= high


def test_student_learns_true_labels_unless_asked(tmp_path: Path) -> None:
    """``student_ce: gt | union``."""
    for choice, want in (("gt", {2, 5}), ("union", {2, 5, 100, 101, 103, 104, 106, 107})):
        build = builder(config({"name": "ddm", "student_ce": choice}), "round2/student", pseudo_labels(tmp_path))
        assert set(drawn(build, "target_label", 60)) == want


def test_missing_pseudo_label_is_named(tmp_path: Path) -> None:
    """Path and way out in one line."""
    with pytest.raises(UserError, match=r"pseudo_trainIds\.png: pseudo-label is missing"):
        drawn(builder(config({"name": "ddm"}), "round2/sample", tmp_path), "target_label", 20)


def test_larger_region_source_is_windowed() -> None:
    """``rl_source_size``: a random window of the target's size; a smaller source is refused."""
    of = config({"name": "ddm", "rl_source_size": (26, 14), "box": {"sampler": "fixed_area", "area": 1.0}})
    build, native = builder(of, "round1/region"), world().source
    places = set()
    for step in range(10):
        for image in build(step)["mixed_image"].transpose(0, 2, 3, 1):
            whole = native.native_image(int(image[0, 0, 0]) - 10)
            found = [(y, x) for y in range(7) for x in range(11) if np.array_equal(whole[y : y + 8, x : x + 16], image)]
            assert len(found) == 1
            places.add(found[0])
    assert len(places) > 5
    with pytest.raises(UserError, match=r"rl_source_size.*source 12x8, target 16x8"):
        builder(config({"name": "ddm", "rl_source_size": (12, 8)}), "round1/region")(0)


def test_methods_table() -> None:
    """Every method has settings with its own name, and stages."""
    for name, method in METHODS.items():
        assert method.Settings().name == name and callable(method.stages)
