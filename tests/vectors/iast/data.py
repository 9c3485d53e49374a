"""The data path of IAST: preprocessing, augmentation, data order, list files."""

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from common.data import iast_lists
from common.data.files import read_ids_16bit
from common.data.labels import CLASS_SETS, cityscapes_table, lookup, synthia_table, train_id_table
from common.data.opencv import resize_linear, resize_nearest
from common.data.sized_crop import Draw, SizedCropConfig, contrast_table, sized_crop
from common.data.torch_order import distributed_order
from common.data.transforms import normalise, resize_image, resize_label
from common.pseudo.folder import read_pseudo_label, write_pseudo_label
from tests.vectors import Check, Vector
from tests.vectors.iast.cases import cases_of, imagenet

CLASSES = CLASS_SETS["cityscapes19"]
TABLES = {"gta": cityscapes_table, "synthia": synthia_table}  # files of all other datasets hold train ids
NORMALISED = 1e-6  # absolute


def preprocess(vector: Vector, backend: object) -> Iterator[Check]:
    """Normalised images, Pillow's resizing, label maps, whole items, pseudo-label files, SYNTHIA's 16 bit labels."""
    for name, want in vector.arrays.items():
        if name.startswith("lut_"):
            table = TABLES.get(name.removeprefix("lut_"))
            got = table(CLASSES) if table else lookup({number: number for number in range(256)})
            yield Check(name, got, want, kind="exact")
    for case, arrays in cases_of(vector).items():
        kind = next(known for known in KINDS if case.startswith(known))
        yield from KINDS[kind](case, arrays)


def _norm(case: str, arrays: dict) -> Iterator[Check]:
    yield Check(f"{case} image", normalise(arrays["image"], imagenet()), arrays["out"], NORMALISED, "absolute")
    yield Check(f"{case} label", train_id_table(CLASSES)[arrays["label"]], arrays["label_out"], kind="exact")


def _resize(case: str, arrays: dict) -> Iterator[Check]:
    size = tuple(int(one) for one in arrays["size_wh"])
    yield Check(f"{case} image", resize_image(arrays["image"], size, "lanczos"), arrays["image_out"], kind="exact")
    yield Check(f"{case} label", resize_label(arrays["label"], size), arrays["label_out"], kind="exact")


def _item(case: str, arrays: dict) -> Iterator[Check]:
    """A training pair at the image's own size, or at that of pseudo-labels when the file names one."""
    image, label = arrays["image"], arrays.get("label")
    table = TABLES.get(case.removeprefix("item_").split("_")[0], train_id_table)(CLASSES)
    if "png" in arrays:
        label, table = _pseudo_label(arrays), train_id_table(CLASSES)
        yield Check(f"{case} png", label, arrays["pseudo"], kind="exact")
    height, width = image.shape[:2]
    size = tuple(int(one) for one in arrays.get("size_wh", (width, height)))
    image = resize_image(image, size, "lanczos")
    yield Check(f"{case} x", normalise(image, imagenet()), arrays["x"], NORMALISED, "absolute")
    yield Check(f"{case} y", table[resize_label(label, size)], arrays["y"], kind="exact")


def _pseudo_label(arrays: dict) -> np.ndarray:
    """Read the stored PNG as a pseudo-label of a run, and check that ours is read alike."""
    shape = arrays["pseudo"].shape
    with TemporaryDirectory() as folder:
        write_pseudo_label(Path(folder), "ours.png", arrays["pseudo"])
        ours = read_pseudo_label(Path(folder), "ours.png", shape)
        path = next(Path(folder).iterdir())
        path.write_bytes(arrays["png"].tobytes())
        theirs = read_pseudo_label(Path(folder), "ours.png", shape)
    return theirs if np.array_equal(ours, theirs) else ours


def _synthia(case: str, arrays: dict) -> Iterator[Check]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "label.png"
        path.write_bytes(arrays["png"].tobytes())
        ids = read_ids_16bit(path)
    yield Check(f"{case} ids", ids, arrays["rgb"][..., 0], kind="exact")
    yield Check(f"{case} train ids", synthia_table(CLASSES)[ids], arrays["train_id"], kind="exact")


KINDS = {"norm": _norm, "resize": _resize, "item": _item, "synthia16": _synthia}


def augment(vector: Vector, backend: object) -> Iterator[Check]:
    """Plain OpenCV resizing, brightness and contrast tables, and whole augmentations from their stored draws."""
    params, arrays = vector.params, vector.arrays
    config = SizedCropConfig(
        size=(params["width"], params["height"]),
        heights=tuple(params["min_max_height"]),
        ratio=params["w2h_ratio"],
        flip=params["p_flip"],
        brighten=params["p_brightness_contrast"],
        brightness=params["brightness_limit"],
        contrast=params["contrast_limit"],
    )
    for case, own in cases_of(vector).items():
        if case.startswith("cv_"):
            height, width = (int(one) for one in own["crop"])
            image, label = (arrays[name][:height, :width] for name in ("image", "mask"))
            yield Check(f"{case} linear", resize_linear(image, config.size), own["linear"], kind="exact")
            yield Check(f"{case} nearest", resize_nearest(label, config.size), own["nearest"], kind="exact")
        elif case == "bc":
            tables = np.stack([contrast_table(float(alpha), float(beta)) for alpha, beta in own["alpha_beta"]])
            yield Check("brightness and contrast", tables, own["lut"], kind="exact")
        elif "draws" in own:
            drawn = _draw(dict(zip(params["draw_names"], np.nan_to_num(own["draws"]).tolist())))
            image, label = sized_crop(arrays["image"], arrays["mask"], config, drawn)
            yield Check(f"{case} image", image, own["image_out"], kind="exact")
            yield Check(f"{case} label", label, own["mask_out"], kind="exact")


def _draw(named: dict[str, float]) -> Draw:
    gates = tuple(named[name] for name in ("compose", "flip", "bc", "crop"))
    place = named["h_start"], named["w_start"]
    return Draw(gates, named["alpha_minus_1"], named["beta"], int(named["crop_height"]), place)


def sampler(vector: Vector, backend: object) -> Iterator[Check]:
    """The order of PyTorch's sampler for every size, rank and number of ranks that the names say."""
    for name, want in vector.arrays.items():
        count, world, rank, seed = re.fullmatch(
            r"order_n(\d+)(?:_world(\d+)_rank(\d+))?(?:_seed(\d+))?", name
        ).groups()
        got = distributed_order(int(count), int(rank or 0), int(world or 1), int(seed or 0))
        yield Check(name, got, want, kind="exact")


def list_order(vector: Vector, backend: object) -> Iterator[Check]:
    """The order of the official list files."""
    orders = {"gta_ids": iast_lists.gta5_order, "synthia_ids": iast_lists.synthia_order}
    for name, want in vector.arrays.items():
        yield Check(name, orders[name](), want, kind="exact")


def png_mode(label: np.ndarray) -> tuple[np.ndarray, str]:
    """Write a pseudo-label as a run does and return what is read back, and the mode of the file."""
    with TemporaryDirectory() as folder:
        write_pseudo_label(Path(folder), "city/image.png", label)
        path = next(Path(folder).rglob("*.png"))
        with Image.open(BytesIO(path.read_bytes())) as picture:
            return read_pseudo_label(Path(folder), "city/image.png", label.shape), picture.mode


RUNNERS = {"preprocess": preprocess, "augment": augment, "sampler": sampler, "list_order": list_order}
