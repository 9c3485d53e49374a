"""A tiny run of classification: noise images in class folders of two domains, named by a configuration alone."""

from pathlib import Path

import yaml

from tests.common.data.trees import picture, save

NAMES = ("cup", "hat", "key")
SIZE = (12, 12)


def write_data(root: Path) -> Path:
    """Write the class folders: two domains, four images a class, each class somewhat brighter than the one before."""
    for domain in ("real", "sketch"):
        for number, name in enumerate(NAMES):
            for i in range(4):
                pixels = picture(100 * (domain == "real") + 10 * number + i, SIZE) // 2 + 60 * number
                save(root / domain / name / f"{i}.png", pixels.astype("uint8"))
    return root


def write_config(path: Path, data: Path, /, **sections: dict) -> Path:
    """Write a configuration over ``write_data``; ``sections`` add to or replace keys of its sections.

    A section with another ``name`` replaces the old one whole.
    """
    folders = {"layout": "class_folders", "root": str(data / "sketch")}
    tree = {
        "name": "own",
        "task": "classification",
        "data": {
            "source": {"layout": "class_folders", "root": str(data / "real")},
            "target": folders,
            "labelled": {"shots": 1},
            "val": {**folders, "every": 2},
            "test": {**folders, "every": 2, "offset": 1},
            "augment": {"flip": 0.5, "pad": 1},
            "workers": 0,
        },
        "input": {"order": "rgb", "scale": 1 / 255, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
        "network": {"name": "resnet", "depth": 10, "width": 4, "stem": "small", "activation": "softplus"},
        "optim": {"lr": 0.5, "head_lr_mult": 2.0, "schedule": "constant"},
        "train": {"steps": 4, "batch_size": 2, "log_every": 1, "checkpoint_every": 2},
        "method": {"name": "supervised", "domains": "joint"},
        "baselines": ["source_only"],
    }
    for name, values in sections.items():
        old = tree.get(name, {})
        both = isinstance(values, dict) and values.get("name", old.get("name")) == old.get("name")
        tree[name] = {**old, **values} if both else values
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return path
