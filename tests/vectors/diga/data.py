"""Data vectors of DiGA: whole sample pipelines, the rule for source crops, label maps, colour operations, lists."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from common.data import lists
from common.data.bdd import bdd_table
from common.data.class_mixing import IGNORED
from common.data.crops import accepted, accepted_crop, flip_and_crop
from common.data.labels import CLASS_SETS, cityscapes_table, synthia_table
from common.data.mapillary import mapillary_table
from common.data.roles import DATASETS
from common.data.splits import labelled_split
from common.data.strong_colour import (
    JitterDraw,
    StrongDraw,
    blend,
    brightness,
    contrast,
    gaussian_blur,
    grayscale,
    hsv_to_rgb,
    hue,
    jitter,
    normalise_half,
    rgb_to_hsv,
    saturation,
    sharpen,
    strong_operations,
    unnormalise_half,
)
from common.data.transforms import normalise, resize_image, resize_label
from common.schema import DatasetConfig, InputConfig, SplitConfig
from tests.vectors import Check, Vector
from tests.vectors.diga.cases import cases

INPUT = InputConfig(std=(128.0, 128.0, 128.0))
TABLES = {
    "cityscapes": cityscapes_table,
    "gta5": cityscapes_table,
    "synthia": synthia_table,
    "bdd": bdd_table,
    "mapillary": mapillary_table,
}
SOURCES = ("gta5", "synthia")  # whose crops must show enough classes
COLOUR = 1e-4
LISTS = Path(lists.__file__).with_name("lists")  # which images DiGA's configurations name
STEPS = 3  # roundings of Pillow between file and batch: first size, random size, crop


class Recorded:
    """A generator that gives the recorded draws, and says when another one is asked for."""

    def __init__(self, draws: list) -> None:
        self._left = list(draws)

    def _next(self, kind: str, *limits: float) -> float:
        name, *rest = self._left.pop(0)
        assert (name, *rest[:-1]) == (kind, *limits), f"drew {kind}{limits}, recorded {name}{rest}"
        return rest[-1]

    def random(self) -> float:
        """Return the next number of ``random.random()``."""
        return self._next("random")

    def uniform(self, low: float, high: float) -> float:
        """Return the next number of ``random.uniform``."""
        return self._next("uniform", low, high)

    def integers(self, low: int, high: int) -> int:
        """Return the next number of ``random.randint``, whose upper limit is included."""
        return int(self._next("randint", low, high - 1))

    def spent(self) -> bool:
        """Whether all draws were taken."""
        return not self._left


def loaders(vector: Vector, backend) -> Iterator[Check]:
    """From file to batch: resizing, flip, crop, normalisation, label map, rejection of poor source crops."""
    for case, arrays, params in cases(vector):
        size, crop = tuple(reversed(params["resize_hw"])), _crop(params["crop"])
        crop_size = tuple(reversed(params["crop_hw"])) if params["crop_hw"] else size
        dataset = next((name for name in TABLES if name in params["loader"].lower()), "cityscapes")
        table = TABLES[dataset](CLASS_SETS[f"cityscapes{params['classes']}"])
        image, label = resize_image(arrays["image"], size), table[resize_label(arrays["label"], size)]
        rng = Recorded(params["draws"])
        if dataset in SOURCES:
            got = accepted_crop(image, label, crop, crop_size, rng)
        else:
            pseudo = [resize_label(arrays["pseudo"], size)] if "pseudo" in arrays else []
            got = flip_and_crop([image, label, *pseudo], crop, crop_size, rng)
        yield Check(f"{case} draws", np.array(rng.spent()), np.array(True), kind="exact")
        yield Check(f"{case} image", normalise(got[0], INPUT), arrays["out_image"], STEPS / 128, "absolute")
        yield Check(f"{case} label", got[1], arrays["out_label"], kind="exact")
        if "out_pseudo" in arrays:
            known = np.where(got[2] < params["classes"], got[2], IGNORED)
            yield Check(f"{case} pseudo-label", known, arrays["out_pseudo"], kind="exact")


def _crop(name: str | None) -> str | None:
    """Return our name of an official crop: ``RandomCrop``, ``RandomSized_and_Crop``, with or without pseudo-labels."""
    return name and ("resized" if "Sized" in name else "crop")


def class_content_rule(vector: Vector, backend) -> Iterator[Check]:
    """Which crops show enough."""
    for case, arrays, _ in cases(vector):
        got = np.array([accepted(label) for label in arrays["labels"]])
        yield Check(f"{case} accepted", got, arrays["accepted"], kind="exact")


def label_maps(vector: Vector, backend) -> Iterator[Check]:
    """Whole tables, ``DATASET_CLASSES``."""
    for name, want in vector.arrays.items():
        dataset, _, count = name.rpartition("_")
        yield Check(name, TABLES[dataset](CLASS_SETS[f"cityscapes{count}"]), want, kind="exact")


def strong_aug_ops(vector: Vector, backend) -> Iterator[Check]:
    """Every colour operation alone, on every image of the batch."""
    arrays, params = vector.arrays, vector.params
    x, single = arrays["x"], params.get("single_factors", {})
    for name, options in params.items():
        if name.startswith("jitter"):
            draws = _jitters(options)
            got = [jitter(one, draw, options["order"]) if draw else one for one, draw in zip(x, draws)]
            yield Check(name, np.stack(got), arrays[f"{name}_out"], COLOUR)
    factors = {"brightness": "add", "contrast": "mul", "saturation": "mul", "hue": "rad"}
    functions = {"brightness": brightness, "contrast": contrast, "saturation": saturation, "hue": hue}
    for name, unit in factors.items():
        if f"{name}_{unit}" in single:
            got = [functions[name](one, factor) for one, factor in zip(x, single[f"{name}_{unit}"])]
            yield Check(name, np.stack(got), arrays[f"{name}_out"], COLOUR)
    plain = {"hsv": rgb_to_hsv, "gray_out": grayscale, "blur_out": gaussian_blur, "normalize_out": normalise_half}
    plain["unnormalize_out"] = unnormalise_half
    for name, function in plain.items():
        yield Check(name, np.stack([function(one) for one in x]), arrays[name], COLOUR)
    yield Check("rgb_back", np.stack([hsv_to_rgb(one) for one in arrays["hsv"]]), arrays["rgb_back"], COLOUR)
    got = [sharpen(one, factor) for one, factor in zip(x, params["sharpness_factor"])]
    yield Check("sharp_out", np.stack(got), arrays["sharp_out"], COLOUR)


def strong_aug_chain(vector: Vector, backend) -> Iterator[Check]:
    """The whole pipeline with recorded draws, after each operation and after the blend."""
    for case, arrays, params in cases(vector):
        draws = _draws(params["ops"], len(arrays["in"]))
        got = np.stack([strong_operations(image, draw) for image, draw in zip(arrays["in"], draws)], axis=1)
        want = arrays["after_each_op"]
        yield Check(f"{case} operations", got[: len(want)], want, COLOUR)
        mixed = np.stack([blend(image, last, params["beta"]) for image, last in zip(arrays["in"], got[-1])])
        yield Check(f"{case} blend", mixed, arrays["blend"], COLOUR)


def _draws(operations: list[dict], count: int) -> list[StrongDraw]:
    """Return what the recorded operations do to each image; parameters are those of selected images only."""
    found: list[dict] = [{} for _ in range(count)]
    for options in operations:
        places = [place for place, chosen in enumerate(options["batch_prob"]) if chosen]
        for turn, place in enumerate(places):
            found[place] |= _of_one(options, turn)
    return [StrongDraw(**one) for one in found]


def _of_one(options: dict, turn: int) -> dict:
    """Return what one operation does to the selected image number ``turn``."""
    if options["op"] == "ColorJitter":
        return {"jitter": _jitter(options, turn), "order": tuple(options["order"])}
    if options["op"] == "RandomSharpness":
        return {"sharpness": options["sharpness_factor"][turn]}
    return {{"RandomGrayscale": "gray", "RandomGaussianBlur": "blur"}[options["op"]]: True}


def _jitter(options: dict, turn: int) -> JitterDraw:
    return JitterDraw(*(options[f"{name}_factor"][turn] for name in ("brightness", "contrast", "saturation", "hue")))


def _jitters(options: dict) -> list[JitterDraw | None]:
    turns = iter(range(len(options["batch_prob"])))
    return [_jitter(options, next(turns)) if chosen else None for chosen in options["batch_prob"]]


def splits(vector: Vector, backend) -> Iterator[Check]:
    """Which images of GTA5 and SYNTHIA a run reads, given all names, and which of Cityscapes have labels."""
    content = vector.content
    gta5, synthia, semi = content["gta5"], content["synthia"], content["cityscapes_semi"]
    removed = {n for first, last in gta5["removed_inclusive_ranges"] for n in range(first, last + 1)}
    files = [gta5["name_format"] % number for number in range(gta5["first"], gta5["last"] + 1)]
    want = [name for number, name in enumerate(files, gta5["first"]) if number not in removed]
    yield Check("gta5", _listed("gta5", files, LISTS / "gta5_removed.txt"), np.array(want), kind="exact")
    yield Check("gta5 kept", np.array(len(want)), np.array(gta5["kept"]), kind="exact")
    want = [synthia["name_format"] % number for number in range(synthia["first"], synthia["last"] + 1)]
    yield Check("synthia", _listed("synthia", want), np.array(want), kind="exact")
    half = [f"{name.split('_')[0]}/{name}_leftImg8bit.png" for name in semi["labelled_1_2"]]
    target = sorted(half)  # in the order of a dataset
    for name, count in semi["counts"].items():
        share = int(name.removeprefix("1-"))
        section = SplitConfig(list=LISTS / "cityscapes_half.txt", every=share // 2)
        got = [target[place] for place in labelled_split(section, target)]
        yield Check(f"semi {name}", np.array(got), np.array(half[:: share // 2]), kind="exact")
        yield Check(f"semi {name} count", np.array(len(got)), np.array(count), kind="exact")


def _listed(layout: str, names: list[str], left_out: Path | None = None) -> np.ndarray:
    """Return the names of a dataset whose list file holds these names."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "all.txt").write_text("\n".join(names))
        config = DatasetConfig(layout=layout, root=folder, list="all.txt", left_out=left_out)
        return np.array(DATASETS[layout](config, CLASS_SETS["cityscapes19"]).names)


RUNNERS = {
    "loaders": loaders,
    "class_content_rule": class_content_rule,
    "label_maps": label_maps,
    "strong_aug_ops": strong_aug_ops,
    "strong_aug_chain": strong_aug_chain,
    "splits": splits,
}
