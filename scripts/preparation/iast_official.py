"""IAST's official configuration files, one a stage, as one configuration of this project.

Their scripts call ``main.py`` once a stage and name the weights that it starts from; here that is the plan of
``common.methods.iast``. Epochs are passes over the source, whatever the stage trains on, and become steps.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.data.lists import read_list
from common.errors import UserError
from scripts.preparation.iast_keys import OfficialFile, read_official

KINDS = {"Generalized_Segmentor": "source", "UDA_Segmentor": "warmup", "SL_UDA_Segmentor": "rounds"}
LISTED = {"gtav_train.json": 24941, "SYNTHIA_train.json": 9400, "cityscapes_train.json": 2975, "bdd_train.json": 7000}
DATASETS = {  # the authors' class -> layout, our usual root, heights of the crops
    "GTAVDataset": ("gta5", "data/gta5", [800, 900]),
    "MsGTAVDataset": ("gta5", "data/gta5", [341, 950]),
    "SYNTHIADataset": ("synthia", "data/synthia", [341, 640]),
    "MsSYNTHIADataset": ("synthia", "data/synthia", [341, 640]),
    "CityscapesDataset": ("cityscapes", "data/cityscapes", [900, 1000]),
    "MsCityscapesDataset": ("cityscapes", "data/cityscapes", [341, 1000]),
    "BDDDataset": ("bdd", "data/bdd100k/seg", [620, 640]),
    "MsBDDDataset": ("bdd", "data/bdd100k/seg", [341, 640]),
}
BACKBONES = {  # the authors' name -> options of the network, torchvision's weights; "-FREEZEBN" is method.bn
    "R-DL-50-C1-C5": ({"depth": 50}, "resnet50-19c8e357"),
    "R-DL-101-C1-C5": ({"depth": 101}, "resnet101-5d3b4d8f"),
    "R-DL-152-C1-C5": ({"depth": 152}, "resnet152-b121ed2d"),
    "RX-DL-50-C1-C5": ({"depth": 50, "groups": 32, "group_width": 4}, "resnext50_32x4d-7cdf4587"),
    "RX-DL-101-C1-C5": ({"depth": 101, "groups": 32, "group_width": 8}, "resnext101_32x8d-8ba56ff5"),
}
EFFICIENTNETS = {  # the same; no "DL" in a name: nothing is dilated
    f"E-{variant.upper()}-C1-C5": ({"variant": variant, "output_stride": 32}, f"efficientnet_{variant}_{file}")
    for variant, file in {
        "b0": "rwightman-7f5810bc", "b1": "rwightman-bac287d4", "b2": "rwightman-c35c1473", "b3": "rwightman-b3899882",
        "b4": "rwightman-23ab8bcd", "b5": "lukemelas-1a07897c", "b6": "lukemelas-24a108a5", "b7": "lukemelas-c5b4e57e",
    }.items()
}  # fmt: skip
CROP = [1024, 512]  # (width, height) of every training pair
COSINE = "CosineAnnealingLR_with_Restart"
SCHEDULES = {COSINE: "cosine_restarts", "LambdaLR": "poly", "": "constant"}
RULES = {  # their optimizers with their fixed settings; an unknown name means SGD there, and an error here
    "Adam": {"name": "adam", "betas": [0.9, 0.999], "eps": 1e-8},
    "SGD": {"name": "sgd", "momentum": 0.9},
    "Ranger": {"name": "ranger", "betas": [0.95, 0.999], "eps": 1e-5},
}
LOSSES = {"MSELoss": "mse", "BCEWithLogits": "bce"}
FLOOR = 1000  # the cosine ends at so small a part of the rate


def imported(paths: Sequence[Path], name: str, source_images: int | None = None) -> dict[str, Any]:
    """Return the configuration, as plain values to be written as YAML, that official files amount to.

    Args:
        paths: The files of a run in any order, one a stage; rounds are taken in the order of their names.
        name: Of the configuration.
        source_images: Images in the source's list; None: those of the list itself, or of the authors' list of its name.
    Returns:
        A tree that extends ``iast/_base.yaml``. Without the file of the source stage it begins with the warm-up or the
        rounds, and ``network.weights`` has to be set.
    Raises:
        UserError: If a file is damaged or asks for what is not here, stages are missing, repeated or contradict each
            other, or the number of source images is not known.
    """
    files = _sorted_by_stage([read_official(path) for path in paths])
    every = [file for kind in files.values() for file in kind]
    main = every[0]
    network = _network(every)
    method = _method(files, source_images or _source_images(main))
    data = _data(main, next((file for file in every if file["DATASET.TARGET.TYPE"]), None))
    if method["begin"] != "source":
        network |= {"weights": None, "may_miss": [], "may_exceed": []}
    rate = float(main["TRAIN.LR"])
    cosine = _agreed(every, "TRAIN.SCHEDULER") == COSINE
    optim = {**_chosen(main, "TRAIN.OPTIMIZER", RULES), "lr": rate, "floor": rate / FLOOR if cosine else 0.0}
    optim |= {"schedule": _chosen(main, "TRAIN.SCHEDULER", SCHEDULES)}
    optim |= {"restart_mult": float(_agreed(every, "TRAIN.COSINEANNEALINGLR.T_MULT"))}
    _agreed(every, "TRAIN.OPTIMIZER")
    patience = int(_agreed(every, "TRAIN.EARLY_STOPPING"))
    return {
        "extends": "iast/_base.yaml",
        "name": name,
        "seed": int(_agreed(every, "RANDOM_SEED")),
        "data": {**data, "workers": int(main["DATASET.NUM_WORKER"])},
        "network": network,
        "optim": optim,
        "train": {
            "precision": "fp32" if _agreed(every, "TRAIN.APEX_OPT") == "O0" else "fp16",
            "log_every": int(main["TRAIN.ITER_REPORT"]),
            "patience": patience if patience >= 0 else None,
        },
        "evaluate": {
            "scales": every[-1]["TEST.RESIZE_SIZE"] or [1.0],
            "flip": every[-1]["TEST.USE_FLIP"],
            "batch_size": int(every[-1]["TEST.BATCH_SIZE"]),
        },
        "method": method,
    }


def _sorted_by_stage(files: Sequence[OfficialFile]) -> dict[str, list[OfficialFile]]:
    """Return the files of each kind of stage, in the order of the plan."""
    found: dict[str, list[OfficialFile]] = {kind: [] for kind in KINDS.values()}
    for file in sorted(files, key=lambda one: [int(n) for n in re.findall(r"\d+", one.path.stem)]):
        found[_chosen(file, "MODEL.TYPE", KINDS)].append(file)
    for kind in ("source", "warmup"):
        if len(found[kind]) > 1:
            raise UserError(f"{found[kind][1].path}: a second file of the stage {kind}, beside {found[kind][0].path}")
    if not found["rounds"] or (found["source"] and not found["warmup"]):
        there = ", ".join(str(file.path) for file in files) or "no file"
        raise UserError(f"{there}: wanted are source_only, warmup_at and the rounds, or all from one of them on")
    return found


def _method(files: dict[str, list[OfficialFile]], images: int) -> dict[str, Any]:
    """Return the section ``method``."""
    source, warmup, rounds = files["source"], files["warmup"], files["rounds"]
    first, every = rounds[0], [*source, *warmup, *rounds]
    common = _training(first, images)
    pseudo, differing = _pseudo(rounds), ("steps", "batch_size", "evaluate_every", "horizon", "scales", "bn")
    snapshot = _middle(first, images)
    result: dict[str, Any] = {
        "name": "iast",
        "begin": "source" if source else "warmup" if warmup else "self_training",
        "crop_source": _crop(every[0], "DATASET.TYPE"),
        "crop_target": _crop(first, "DATASET.TARGET.TYPE"),
        "pseudo": pseudo,
        "self_training": {
            **{key: value for key, value in common.items() if key != "lr"},
            "lambda_pseudo": _agreed(rounds, "DATASET.TARGET.PSEUDO_LOSS_WEIGHT"),
            "lambda_source": _agreed(rounds, "DATASET.TARGET.SOURCE_LOSS_WEIGHT"),
            "lambda_confident": _agreed(rounds, "MODEL.DISCRIMINATOR.LAMBDA_KLDREG_WEIGHT"),
            "lambda_ignored": _agreed(rounds, "MODEL.DISCRIMINATOR.LAMBDA_ENTROPY_WEIGHT"),
        },
        "rounds": [],
        **({"generator_step": snapshot} if snapshot else {}),
    }
    for file in rounds:
        own = _training(file, images)
        target = {"alpha": file["DATASET.TARGET.PSEUDO_PL_ALPHA"], "size": file["DATASET.TARGET.PSEUDO_SIZE"]}
        others = {key: own[key] for key in differing if own.get(key) != common.get(key)}
        if (middle := _middle(file, images)) not in (0, snapshot):
            others["generator_step"] = middle
        result["rounds"].append({"lr": own["lr"], **target, **others})
    if source:
        result["source"] = _training(source[0], images)
    if warmup:
        result["warmup"] = {**_training(warmup[0], images), **_adversary(warmup[0])}
    return result


def _middle(file: OfficialFile, images: int) -> int:
    """Return the step whose weights lie in ``epoch_k.pth`` of the middle epoch; 0 if nothing was saved by then."""
    steps, every = images // file["TRAIN.BATCHSIZE"], file["TRAIN.ITER_VAL"]
    return file["TRAIN.EPOCHES"] // 2 * steps // every * every


def _training(file: OfficialFile, images: int) -> dict[str, Any]:
    """Return what every stage of training may have of its own."""
    length = images // file["TRAIN.BATCHSIZE"]
    result = {
        "steps": length * file["TRAIN.EPOCHES"],
        "batch_size": file["TRAIN.BATCHSIZE"],
        "lr": float(file["TRAIN.LR"]),
        "evaluate_every": file["TRAIN.ITER_VAL"],
        "bn": "affine" if file["MODEL.BACKBONE.TYPE"].endswith("-FREEZEBN") else "trained",
    }
    if file["TRAIN.SCHEDULER"] == COSINE:
        result["horizon"] = length * file["TRAIN.COSINEANNEALINGLR.T_MAX"]
    return {**result, **({"scales": [file["DATASET.VAL.RESIZE_SIZE"]]} if file["DATASET.VAL.RESIZE_SIZE"] else {})}


def _adversary(file: OfficialFile) -> dict[str, Any]:
    """Return what the warm-up has beside its training."""
    section = "MODEL.DISCRIMINATOR."
    if file[section + "TYPE"] != ["Origin-Predictor"]:
        raise file.refuse(section + "TYPE", "[Origin-Predictor]")
    return {
        "lambda_source": file["DATASET.TARGET.SOURCE_LOSS_WEIGHT"],
        "lambda_adversarial": float(file[section + "WEIGHT"][0]),
        "discriminator_lr": float(file[section + "LR"][0]),
        "loss": _chosen(file, section + "LOSS", LOSSES),
        "update_every": int(file[section + "UPDATE_T"]),
    }


def _pseudo(rounds: Sequence[OfficialFile]) -> dict[str, Any]:
    """Return the rule of the pseudo-labels; alpha and size may differ from round to round.

    The authors' code generates labels for the selector IAST alone: with another name it reads those that it finds in
    the folder, as it does where it is told to skip the generation.
    """
    section, first = "DATASET.TARGET.", rounds[0]
    made = [not file[section + "SKIP_GEN_PSEUDO"] and file[section + "PSEUDO_PL"] == "IAST" for file in rounds]
    if any(made) and not all(made):
        reader = rounds[made.index(False)]
        raise UserError(f"{reader.path}: reads labels that lie there ({_reason(reader)}); so must all rounds")
    if not any(made) and not _agreed(rounds, section + "PSEUDO_SAVE_DIR"):
        raise UserError(f"{first.path}: {_reason(first)} needs {section}PSEUDO_SAVE_DIR, the folder to read")
    shared = {"beta": "PSEUDO_PL_BETA", "gamma": "PSEUDO_PL_GAMMA", "batch_size": "PSEUDO_BATCH_SIZE"}
    return {
        "rule": "ias",
        "alpha": first[section + "PSEUDO_PL_ALPHA"],
        "size": first[section + "PSEUDO_SIZE"],
        **{name: _agreed(rounds, section + key) for name, key in shared.items()},
        **({} if any(made) else {"folder": str(first.beside_the_code(section + "PSEUDO_SAVE_DIR"))}),
    }


def _reason(file: OfficialFile) -> str:
    """Return the setting for which no labels are generated."""
    skips = file["DATASET.TARGET.SKIP_GEN_PSEUDO"]
    return f"DATASET.TARGET.{'SKIP_GEN_PSEUDO' if skips else 'PSEUDO_PL: ' + file['DATASET.TARGET.PSEUDO_PL']}"


def _network(files: Sequence[OfficialFile]) -> dict[str, Any]:
    """Return the section ``network``."""
    first = files[0]
    kinds = {file["MODEL.BACKBONE.TYPE"].removesuffix("-FREEZEBN") for file in files}
    efficient, backbone = EFFICIENTNETS.get(known := kinds.pop()), {**BACKBONES, **EFFICIENTNETS}.get(known)
    if kinds or not backbone:
        raise first.refuse("MODEL.BACKBONE.TYPE", f"{', '.join((*BACKBONES, *EFFICIENTNETS))}, one for all stages")
    for key, known in (("DECODER.TYPE", "DeepLabV2Dedoder"), ("PREDICTOR.TYPE", "UpsamplePredictor")):
        if _agreed(files, f"MODEL.{key}") != known:
            raise first.refuse(f"MODEL.{key}", known)
    for key, known in (("PREDICTOR.LOSS", "CrossEntropy"), ("PREDICTOR.NUM_CLASSES", 19)):
        if _agreed(files, f"MODEL.{key}") != known:
            raise first.refuse(f"MODEL.{key}", str(known))
    options, weights = backbone
    mixed = _agreed(files, "MODEL.BACKBONE.WITH_IBN")
    if efficient and mixed:
        raise first.refuse("MODEL.BACKBONE.WITH_IBN", "False for EfficientNet, which has no such form")
    result: dict[str, Any] = {**options, **({"name": "deeplabv2_efficientnet"} if efficient else {"ibn": mixed})}
    if not first["MODEL.BACKBONE.PRETRAINED"]:
        return {**result, "init": "kaiming", "weights": None, "may_miss": [], "may_exceed": []}
    loaded = {"may_miss": ["layer6."], "may_exceed": ["classifier."]} if efficient else {}
    return {**result, **loaded, "weights": f"data/weights/{weights}.pth"}


def _data(main: OfficialFile, adapting: OfficialFile | None) -> dict[str, Any]:
    roles = {"source": (main, "DATASET."), "target": (adapting, "DATASET.TARGET."), "val": (main, "DATASET.VAL.")}
    return {role: _dataset(*place) for role, place in roles.items() if place[0] is not None}


def _dataset(file: OfficialFile, section: str) -> dict[str, Any]:
    """Return a dataset: where their paths lead when they are there, else where ours usually lie."""
    layout, usual, _ = _chosen(file, section + "TYPE", DATASETS)
    root, entries = file.beside_the_code(section + "IMAGEDIR"), file.beside_the_code(section + "ANNS")
    result = {"layout": layout, "root": str(root) if file[section + "IMAGEDIR"] and root.is_dir() else usual}
    part = "val" if "val" in Path(file[section + "ANNS"]).name else "train"
    result |= {"split": part} if layout == "cityscapes" else {}
    result |= {"images": f"images/{part}", "labels": f"labels/{part}"} if layout == "bdd" else {}
    if result["root"] != usual and entries.is_file():
        result["list"] = str(entries)
    return result


def _crop(file: OfficialFile, key: str) -> dict[str, Any] | None:
    if not file["DATASET.USE_AUG"]:
        return None
    return {"size": CROP, "heights": _chosen(file, key, DATASETS)[2]}


def _source_images(file: OfficialFile) -> int:
    """Return how many images an epoch has: those of the list where it lies, else those of the authors' list."""
    path, name = file.beside_the_code("DATASET.ANNS"), Path(file["DATASET.ANNS"]).name
    if path.is_file():
        return len(read_list(path))
    if name not in LISTED:
        raise UserError(f"{file.path}: how long is an epoch? {path} is not there; name the number of source images")
    return LISTED[name]


def _chosen(file: OfficialFile, key: str, table: dict[str, Any]) -> Any:
    """Return what a table holds for a key's value."""
    if file[key] not in table:
        raise file.refuse(key, ", ".join(repr(name) for name in table))
    return table[file[key]]


def _agreed(files: Sequence[OfficialFile], key: str) -> Any:
    """Return the value that all files have of a key."""
    for file in files[1:]:
        if file[key] != files[0][key]:
            raise UserError(
                f"{file.path}: {key} is {file[key]!r}, in {files[0].path} {files[0][key]!r}; it has to be one for all"
            )
    return files[0][key]
