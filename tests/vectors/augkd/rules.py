"""The framework-free parts of AuG-KD: data, splits, schedules, selection, accuracies, what a classifier sees."""

import json
import re
from collections.abc import Iterator

import numpy as np
from PIL import Image

from common.accuracy import GUESSES, place_of_truth, ranked
from common.config import Config
from common.data.splits import parse_ratios, split_domains
from common.data.transforms import normalise, resize_image
from common.keeper import improves, order_of
from common.methods.augkd_rules import curriculum, mixup_ratio
from common.schedules import learning_rate
from common.schema import AugmentConfig, InputConfig, OptimConfig
from tests.twins import twin
from tests.vectors import Check, Vector
from tests.vectors.augkd.reading import CIFAR, IMAGENET, cases_of, meta_of
from tests.vectors.views import FLIP, prescribed_view

PAD, ANY = 4, 10**9  # pixels of the border; steps of a stage whose schedule has a horizon of its own


def transforms(vector: Vector, backend) -> Iterator[Check]:
    """Train and evaluation views: resized, with a border, cropped, mirrored, normalised."""
    for case, meta in cases_of(vector):
        arrays = vector.arrays
        pixels = arrays[f"c{meta['image_case']}_image"]
        size, constants = (meta["size"],) * 2, CIFAR.get(meta.get("dataset", ""), IMAGENET)
        image = resize_image(np.array(Image.fromarray(pixels).convert("RGB")), size, "bilinear")
        see = InputConfig(order="rgb", scale=1 / 255, **constants)
        row, column, mirrored = (int(value) for value in arrays[f"{case}ijflip"])
        view = prescribed_view(image, AugmentConfig(flip=FLIP, pad=PAD), row, column, bool(mirrored))
        yield Check(f"{case}train", normalise(view, see), arrays[f"{case}train"], 1e-5, "absolute")
        if f"{case}eval_norm" in arrays:
            yield Check(f"{case}eval", normalise(image, see), arrays[f"{case}eval_norm"], 1e-5, "absolute")
            yield Check(f"{case}raw", image.transpose(2, 0, 1), arrays[f"{case}eval_raw_u8"], kind="exact")


def splits(vector: Vector, backend) -> Iterator[Check]:
    """Parts of several domains, sizes for many lengths, and ratios as text."""
    arrays = vector.arrays
    for case, meta in cases_of(vector):
        ratio = parse_ratios(meta["ratio"] if isinstance(meta["ratio"], str) else ":".join(map(str, meta["ratio"])))
        permutations = [arrays[f"{case}perm{domain}"] for domain in range(len(meta["domain_sizes"]))]
        for number, part in enumerate(split_domains(permutations, ratio)):
            domains, indices = zip(*part) if part else ((), ())
            yield Check(f"{case}part {number} domains", domains, arrays[f"{case}part{number}_domain"], kind="exact")
            yield Check(f"{case}part {number} indices", indices, arrays[f"{case}part{number}_index"], kind="exact")
            view = np.full(len(part), min(number, 1))  # every part but the first is looked at as it is
            yield Check(
                f"{case}part {number} view", view, arrays[f"{case}part{number}_uses_eval_transform"], kind="exact"
            )
    for name, text in (("sizes_two", "0.8:0.2"), ("sizes_three", "0.8:0.1:0.1")):
        counts = [[len(p) for p in split_domains([np.arange(n)], parse_ratios(text))] for n in arrays["sizes_n"]]
        yield Check(name, counts, arrays[name], kind="exact")
    parsed = [list(parse_ratios(text)) for text in json.loads(str(arrays["parse_in"]))]
    for text, got, want in zip(json.loads(str(arrays["parse_in"])), parsed, json.loads(str(arrays["parse_out"]))):
        yield Check(f"ratios {text}", got, want, 1e-12)


def schedules(vector: Vector, backend) -> Iterator[Check]:
    """The ratio of the mixture by epoch, and learning rates by step."""
    for entry in meta_of(vector):
        name = f"{entry['kind']}{entry['i']}"
        if entry["kind"] == "ratio":
            for course in ("linear", "step"):
                want = vector.arrays[f"{name}_{course}"]
                first = int(re.search(r"\d+", str(entry.get("evaluated_epochs", "0")))[0])
                options = entry["epochs"], entry["a"], entry["b"]
                got = [mixup_ratio(course, first + e, *options) for e in range(len(want))]
                yield Check(f"{name} {course}", got, want, 1e-12, "absolute")
        else:
            schedule = {"cosine": "cosine_wave", "constant": "constant_after_third"}[entry["kind"]]
            optim = OptimConfig(lr=entry["lr"], schedule=schedule, horizon=entry.get("T_max"))
            got = [learning_rate(optim, step, ANY) for step in range(entry["steps"])]
            yield Check(name, got, vector.arrays[name], 1e-9, "absolute")


def selection(vector: Vector, backend) -> Iterator[Check]:
    """Which weights are best: by accuracies alone, and by losses before them."""
    arrays = vector.arrays
    scores = {name: [_scores(row) for row in arrays[name]] for name in ("cur", "prev")}
    got = [improves(order_of(now), order_of(best)) for now, best in zip(scores["cur"], scores["prev"])]
    yield Check("improves", got, arrays["improves"], kind="exact")
    losses = np.stack([arrays["df_decoder_loss"], arrays["df_encoder_loss"]], 2)
    got = [
        improves(order_of(_scores(now, both[0])), order_of(_scores(best, both[1])))
        for now, best, both in zip(arrays["cur"], arrays["prev"], losses)
    ]
    yield Check("improves with losses", got, arrays["df_improves"], kind="exact")
    yield Check("improves on nothing", improves(order_of(scores["cur"][0]), None), True, kind="exact")


def _scores(accuracies: np.ndarray, losses: np.ndarray = ()) -> dict:
    """Return scores as an evaluation and a judgement give them."""
    first, third, fifth = map(float, accuracies)
    judged = dict(zip(("judged generator", "judged encoder"), map(float, losses)))
    return {"value": first, "summary": {"top-3": third, "top-5": fifth}, "judged": judged}


def metrics(vector: Vector, backend) -> Iterator[Check]:
    """Accuracy, Acc@3 and Acc@5 over several batches, and their official text."""
    for case, meta in cases_of(vector):
        updates, counts = range(len(meta["shapes"])), np.zeros(GUESSES + 1, np.int64)
        for update in updates:
            for row, label in zip(ranked(vector.arrays[f"{case}x{update}"]), vector.arrays[f"{case}y{update}"]):
                counts[place_of_truth(int(label), row)] += 1
        got = [counts[:k].sum() / counts.sum() for k in (1, 3, 5)]
        yield Check(f"{case}accuracy", got, vector.arrays[f"{case}acc"], 1e-6, "absolute")
        stated = [float(text) for text in re.findall(r"\d+\.\d+(?!\w)", str(vector.arrays[f"{case}text"]))]
        yield Check(f"{case}text", np.round(got, 3)[: len(stated)], stated, 1e-9, "absolute")


def choice(vector: Vector, backend) -> Iterator[Check]:
    """Which samples a curriculum shows at an epoch: the most certain, as many as the ratio says."""
    (meta,) = meta_of(vector)
    for name, want in vector.arrays.items():
        if match := re.fullmatch(r"idx_epoch(\d+)", name):
            share = mixup_ratio("linear", int(match[1]), meta["epochs"], meta["a"], meta["b"])
            yield Check(name, curriculum(vector.arrays["u"], share), want, kind="exact")


def normalisation(vector: Vector, backend) -> Iterator[Check]:
    """What classifiers of every dataset see of images in [0, 1], and one-hot labels, on the device."""
    side, arrays, table = twin(backend.name), vector.arrays, meta_of(vector)
    labels = side.tensor(arrays["y"].astype(np.int32))
    hot = side.module("nets.latent").one_hot(labels, arrays["one_hot"].shape[1])
    yield Check("one hot", side.numpy(hot), arrays["one_hot"], kind="exact")
    for name, constants in table.items():
        objective = backend.build(seen_with(constants), "supervised_classes")
        got = objective.normalise_unit(side.tensor(arrays["x"]))
        yield Check(name, side.numpy(got), arrays[f"norm_{name}"], 1e-6, "absolute")


def seen_with(constants: dict) -> Config:
    """Return the configuration of a small classifier that sees images with these constants."""
    tree = {
        "name": "vector",
        "task": "classification",
        "data": {"val": {"layout": "class_folders", "root": "unused"}},
        "classes": {"names": ["one", "two"]},
        "input": {"order": "rgb", "scale": 1 / 255, **{key: constants[key] for key in ("mean", "std")}},
        "network": {"name": "resnet", "depth": 10, "width": 4},
        "method": {"name": "supervised"},
    }
    return Config.model_validate(tree)


RUNNERS = {
    "transforms": transforms,
    "splits": splits,
    "schedules": schedules,
    "selection": selection,
    "metrics": metrics,
    "curriculum": choice,
    "normalize_onehot": normalisation,
}
