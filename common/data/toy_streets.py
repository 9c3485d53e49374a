"""The embedded benchmark "toy streets": a game and a camera, drawn procedurally, in the official file layouts.

Ten of the 19 Cityscapes classes occur: road, sidewalk, building, pole, traffic sign, vegetation, terrain, sky,
person, car. The game is written as GTA5 (``images/00001.png`` and palette PNGs with label ids), the camera as
Cityscapes (``leftImg8bit/<split>/<city>`` and ``gtFine/...labelIds.png``). Every city has its own weather.
A picture depends on (seed, domain, index) alone; see ``toy_scene``, ``toy_paint``, ``toy_things``, ``toy_look``.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from common.checkpoint import publish
from common.data.labels import label_palette
from common.data.toy_look import MOODS, Look, develop, draw_look, smooth_noise
from common.data.toy_paint import BUILDING, EGO, PERSON, VEGETATION, Canvas, backdrop, ground_and_sky, houses
from common.data.toy_scene import draw_scene
from common.data.toy_things import things
from common.draws import generator
from common.errors import UserError

VERSION = 2  # of the drawing; a folder of another version is drawn anew
STAMP = "toy_streets.json"  # the options that a folder was drawn with
VAL_OFFSET = 1_000_000  # validation streets never coincide with training streets, however many there are
CITIES = {
    "train": ("altmarkt", "birkenau", "domberg", "eichtal", "fernhagen"),
    "val": ("glasau", "hohenfels", "inselstadt", "jagdburg", "kronach"),
}

Picture = tuple[np.ndarray, np.ndarray]  # RGB, label ids


def draw(domain: str, seed: int, index: int, size: tuple[int, int] = (256, 128), mood: str | None = None) -> Picture:
    """Draw one picture and its labels.

    Args:
        domain: "game" or "camera".
        seed: Any integer.
        index: Which street; any integer.
        size: Width and height in pixels.
        mood: Weather of the camera, a key of ``toy_look.MOODS``; None draws one.
    Returns:
        uint8 (H, W, 3) RGB and uint8 (H, W) Cityscapes label ids.
    """
    rng = generator(seed, "toy streets", domain, index)
    scene = draw_scene(domain, rng)
    if mood is None:
        mood = str(rng.choice(list(MOODS)))
    look, noise = draw_look(domain, mood, rng), smooth_noise(rng)
    over = 1 if look.crisp else 2  # the game has no antialiasing: one sample a pixel
    canvas = Canvas(scene, (size[0] * over, size[1] * over))
    ground_and_sky(canvas, look, noise)
    backdrop(canvas, look)
    houses(canvas, look)
    if look.crisp:
        _house_shadow(canvas, look)
    things(canvas, look)
    picked = np.asarray(canvas.surface)[over - 1 :: over, over - 1 :: over]
    colours = np.asarray(canvas.image.resize(size, Image.Resampling.BOX))
    label, depth = picked & 255, (picked >> 8).astype(np.float32) / 10
    image = develop(_texture(colours.astype(np.float32), label, look, rng), depth, look, rng)
    if domain == "camera":
        image, label = _bonnet(image, label, look, rng)
    return image, label.astype(np.uint8)


def _house_shadow(canvas: Canvas, look: Look) -> None:
    side = canvas.scene.sun
    edge = side * canvas.scene.edge(side)
    reach = edge - side * (canvas.scene.edge(side) * 0.55)
    canvas.ground_shadow([(edge, 0.8), (reach, 0.8), (reach, 90.0), (edge, 90.0)], look.shadow * 0.8)


def _texture(colours: np.ndarray, label: np.ndarray, look: Look, rng: np.random.Generator) -> np.ndarray:
    """Roughen walls, leaves and people; the ground has its own texture, the sky none."""
    rough = np.zeros(256, np.float32)
    rough[[BUILDING, VEGETATION, PERSON]] = look.texture * np.array([0.6, 1.6, 0.5], np.float32)
    fine = rng.standard_normal(label.shape, np.float32)
    if not look.crisp:  # bricks and plaster: runs along the rows
        fine = (fine + np.roll(fine, 1, axis=1)) / np.float32(1.4)
    return colours * (1 + rough[label] * fine)[..., None]


def _bonnet(image: np.ndarray, label: np.ndarray, look: Look, rng: np.random.Generator) -> Picture:
    """Lay the bonnet of the own car over the lower edge."""
    height, width = label.shape
    rise = rng.uniform(0.05, 0.09) * height
    across = np.linspace(-1, 1, width)
    top = height - rise * (1 - 0.55 * across**2)
    inside = np.arange(height)[:, None] + 0.5 > top[None, :]
    shine = np.clip(1.6 - (np.arange(height)[:, None] - top[None, :]) / rise, 0.6, 1.6)[..., None]
    colour = np.array(look.palette["bonnet"][0], np.float32) * shine
    return np.where(inside[..., None], np.clip(colour, 0, 255), image).astype(np.uint8), np.where(inside, EGO, label)


@dataclass(frozen=True)
class ToyStreets:
    """What ``generate`` draws: numbers of pictures, their size (width, height) in pixels, and the seed."""

    source: int = 200
    train: int = 120
    val: int = 40
    size: tuple[int, int] = (256, 128)
    seed: int = 0


def generate(root: Path, options: ToyStreets = ToyStreets()) -> bool:
    """Draw the benchmark into ``root/gta5`` (the game) and ``root/cityscapes`` (the camera).

    The folder appears whole or not at all. One that was drawn with equal options is left alone; one that an
    older version of the drawing made is replaced.

    Args:
        root: Folder to appear.
        options: Numbers, size and seed.
    Returns:
        Whether anything was drawn.
    Raises:
        UserError: If ``root`` holds something else, counts or sizes are too small, or the disk refuses.
    """
    wanted = {"version": VERSION, **asdict(options), "size": list(options.size)}
    if min(options.source, options.train, options.val) < 1 or min(options.size) < 32:
        raise UserError(f"toy streets need at least one picture of each part and 32x32 pixels, not {wanted}")
    if root.exists() and any(root.iterdir()):
        found = _drawn_with(root)
        if found == wanted:
            return False
        if found is None or {**found, "version": VERSION} != wanted:
            raise UserError(f"{root}: holds something else than these toy streets; remove it or choose another folder")

    def fill(folder: Path) -> None:
        _game(folder / "gta5", options)
        for split, count in (("train", options.train), ("val", options.val)):
            _camera(folder / "cityscapes", split, count, options)
        (folder / STAMP).write_text(json.dumps(wanted), encoding="utf-8")

    publish(root, fill)
    return True


def _drawn_with(root: Path) -> dict | None:
    try:
        return json.loads((root / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _game(folder: Path, options: ToyStreets) -> None:
    palette = label_palette()
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for index in range(options.source):
        image, label = draw("game", options.seed, index, options.size)
        name = f"{index + 1:05d}.png"
        Image.fromarray(image).save(folder / "images" / name)
        picture = Image.fromarray(label).convert("P")
        picture.putpalette(palette)
        picture.save(folder / "labels" / name)


def _camera(folder: Path, split: str, count: int, options: ToyStreets) -> None:
    """Write one split; its pictures are dealt out to the cities in blocks, and every city has one mood."""
    cities, first = CITIES[split], 0 if split == "train" else VAL_OFFSET
    for index in range(count):
        place = index * len(cities) // count
        image, label = draw("camera", options.seed, first + index, options.size, list(MOODS)[place % len(MOODS)])
        stem = f"{cities[place]}/{cities[place]}_{index:06d}_000019"
        for kind, suffix, pixels in (("leftImg8bit", "leftImg8bit", image), ("gtFine", "gtFine_labelIds", label)):
            path = folder / kind / split / f"{stem}_{suffix}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
