"""Reading configurations: merging, overrides, and errors that name the place."""

from pathlib import Path

import pytest
import yaml

from common.config import dump, load_config
from common.config_files import CONFIGS
from common.errors import UserError

SMALL = """
name: small
data:
  val: {layout: cityscapes, root: data/x, split: val}
method:
  name: ddm
  rounds: 2
optim:
  lr: 0.01
"""


def write(folder: Path, text: str, name: str = "a.yaml") -> Path:
    """Write a configuration file and return its path."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda p: str(p.relative_to(CONFIGS)))
def test_every_shipped_file_is_valid(path: Path) -> None:
    """Each file below configs is YAML; those that name a run resolve to a whole configuration."""
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    if "name" in tree:
        config = load_config(path)
        assert config.name == str(path.relative_to(CONFIGS).with_suffix(""))


def test_dump_reads_back(tmp_path: Path) -> None:
    """The resolved configuration, written and read again, is the same."""
    config = load_config(write(tmp_path, SMALL))
    assert load_config(write(tmp_path, dump(config), "b.yaml")) == config


def test_extends_merges_and_replaces(tmp_path: Path) -> None:
    """Sections merge key by key; a section with another name replaces the parent's."""
    write(tmp_path, SMALL, "base.yaml")
    child = load_config(write(tmp_path, "extends: base.yaml\nname: child\noptim: {momentum: 0.5}\n"))
    assert (child.name, child.optim.lr, child.optim.momentum, child.method.rounds) == ("child", 0.01, 0.5, 2)
    other = load_config(write(tmp_path, "extends: base.yaml\nmethod: {name: supervised}\n"))
    assert other.method.name == "supervised"


def test_an_empty_section_empties_the_inherited_one(tmp_path: Path) -> None:
    """As ``optim.repeats: {}`` promises; what stands beside it stays, and the parent file's tree is its own."""
    write(tmp_path, SMALL + "  repeats: {a: 2, b: 3}\n", "base.yaml")
    child = load_config(write(tmp_path, "extends: base.yaml\nname: child\noptim: {repeats: {}}\n"))
    assert (child.optim.repeats, child.optim.lr) == ({}, 0.01)
    grandchild = write(tmp_path, "extends: a.yaml\nname: c\noptim: {repeats: {c: 4}}\n", "c.yaml")
    assert load_config(grandchild).optim.repeats == {"c": 4}
    again = load_config(write(tmp_path, "extends: base.yaml\nname: d\noptim: {repeats: {b: 4}}\n", "d.yaml"))
    assert again.optim.repeats == {"a": 2, "b": 4}


def test_yaml_anchors_merge(tmp_path: Path) -> None:
    """``<<: *anchor`` takes over keys, and keys written beside it win."""
    pair = "  source: &s {layout: gta5, root: data/s, every: 3}\n  target: {<<: *s, every: 2}\n"
    text = SMALL.replace("  val: {", pair + "  val: {")
    data = load_config(write(tmp_path, text)).data
    assert (data.target.layout, str(data.target.root), data.target.every, data.source.every) == ("gta5", "data/s", 2, 3)


def test_overrides_win_in_order(tmp_path: Path) -> None:
    """``--set`` values are YAML and the last one wins."""
    path = write(tmp_path, SMALL)
    config = load_config(path, ["optim.lr=0.5", "optim.lr=0.25", "evaluate.scales=[0.5, 1.0]", "train.ema=null"])
    assert (config.optim.lr, config.evaluate.scales, config.train.ema) == (0.25, (0.5, 1.0), None)


@pytest.mark.parametrize(
    ("text", "overrides", "parts"),
    [
        (SMALL + "  lr_power: 0.9\n", [], ["a.yaml:10:", "optim has no key 'lr_power'", "Did you mean 'power'?"]),
        (SMALL.replace("rounds", "round"), [], ["a.yaml:7:", "method has no key 'round'", "Did you mean 'rounds'?"]),
        (SMALL.replace("0.01", "fast"), [], ["a.yaml:9:", "optim.lr", "fast"]),
        (SMALL + "colour: red\n", [], ["a.yaml:10:", "the configuration has no key 'colour'"]),
        (SMALL.replace("name: small", ""), [], ["lacks the key 'name'"]),
        (SMALL.replace("name: ddm", "name: dmd"), [], ["a.yaml:5:", "'ddm'"]),
        (SMALL, ["optim.lrr=1"], ["--set optim.lrr:", "Did you mean 'lr'?"]),
        (SMALL, ["optim.lr"], ["--set optim.lr:", "key.subkey=value"]),
        ("name: [1, 2\n", [], ["a.yaml:2:", "not valid YAML"]),
        ("name: a\nname: b\n", [], ["a.yaml:2:", "appears twice"]),
        ("- 1\n", [], ["a.yaml:1:", "mapping"]),
        ("extends: a.yaml\n", [], ["extends itself"]),
        ("extends: missing.yaml\n", [], ["missing.yaml: no such configuration"]),
        ("name: !!python/object/apply:os.system ['true']\n", [], ["a.yaml:1:", "not valid YAML"]),
        (SMALL.replace("name: small", "name: ../up"), [], ["relative path"]),
    ],
)
def test_mistakes_get_one_line_with_the_place(tmp_path: Path, text: str, overrides: list, parts: list) -> None:
    """Unknown keys, wrong types and broken files are one line that names file, line and key."""
    path = write(tmp_path, text)
    with pytest.raises(UserError) as caught:
        load_config(path, overrides)
    line = str(caught.value)
    assert "\n" not in line
    assert all(part in line for part in parts), line


def test_unknown_configuration_suggests_a_near_one() -> None:
    """A misspelt shipped configuration is answered with the nearest one."""
    with pytest.raises(UserError, match="Did you mean 'ddm/toy'"):
        load_config("ddm/tyo")


def test_a_split_replaces_a_dataset_of_labelled_images(tmp_path: Path) -> None:
    """And the other way round; options of a dataset alone are laid upon it."""
    folders = "{layout: class_folders, root: data/x}"
    base = "name: b\ntask: classification\nnetwork: {name: resnet}\nmethod: {name: supervised}\n"
    base += f"data:\n  val: {folders}\n"
    whole = "{layout: image_list, root: data/x, list: l.txt}"
    for first, second, found in (
        (whole, "{shots: 3}", {"shots": 3}),
        (whole, "{every: 2}", {"layout": "image_list", "every": 2}),
        ("{count: 5}", whole, {"layout": "image_list", "every": 1}),
    ):
        write(tmp_path, f"{base}  labelled: {first}\n", "base.yaml")
        labelled = load_config(write(tmp_path, f"extends: base.yaml\ndata: {{labelled: {second}}}\n")).data.labelled
        assert {key: getattr(labelled, key) for key in found} == found
