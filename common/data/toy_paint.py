"""Toy streets: the canvas, the ground, the sky and the houses.

A canvas holds two pictures of equal size: colours, and a surface whose pixels are ``label id + 256 * depth in
decimetres``, so that haze and texture can be added afterwards, knowing what each pixel shows.
"""

import math

import numpy as np
from PIL import Image, ImageDraw

from common.data.toy_look import Look
from common.data.toy_scene import FAR, House, Scene

ROAD, SIDEWALK, BUILDING, POLE, SIGN, VEGETATION, TERRAIN, SKY, PERSON, CAR = 7, 8, 11, 17, 20, 21, 22, 23, 24, 26
EGO, STATIC, PLATE = 1, 4, 34  # ids that no method is scored on: own bonnet, street furniture, licence plates

Colour = tuple[int, int, int]
Point = tuple[float, float, float]  # X, Y, Z in metres


class Canvas:
    """Paints polygons that are given in metres, far things first."""

    def __init__(self, scene: Scene, size: tuple[int, int]):
        """Cover the frame with sky and ground in the labels; colours come with ``ground_and_sky``.

        Args:
            scene: The street.
            size: Width and height in pixels.
        """
        self.scene, (self.width, self.height) = scene, size
        self.focal, self.centre, self.horizon = scene.focal * size[0], scene.centre * size[0], scene.horizon * size[1]

    def start(self, colours: np.ndarray, surface: np.ndarray) -> None:
        """Begin with these pictures: uint8 (H, W, 3) and int32 (H, W)."""
        self.image, self.surface = Image.fromarray(colours), Image.fromarray(surface)
        self._paint, self._mark = ImageDraw.Draw(self.image), ImageDraw.Draw(self.surface)

    def project(self, x: float, y: float, z: float) -> tuple[float, float]:
        """Return the pixel (column, row) of a point; ``z`` must be positive."""
        column = self.centre + self.focal * (x + self.scene.bend * z * z) / z
        return column, self.horizon - self.focal * (y - self.scene.eye) / z

    def polygon(self, points: list[Point], colour: Colour, label: int | None) -> None:
        """Fill a polygon; ``label`` None leaves the surface as it is (shadows, windows)."""
        flat = [self.project(*point) for point in points]
        self._paint.polygon(flat, fill=colour)
        if label is not None:
            self._mark.polygon(flat, fill=_code(label, min(point[2] for point in points)))

    def plate(
        self, x: float, y: float, z: float, width: float, height: float, colour: Colour, label: int | None
    ) -> None:
        """Fill an upright rectangle that faces the camera; ``x`` is its middle, ``y`` its foot."""
        left, right = x - width / 2, x + width / 2
        self.polygon([(left, y, z), (right, y, z), (right, y + height, z), (left, y + height, z)], colour, label)

    def disc(
        self, x: float, y: float, z: float, radius: float, colour: Colour, label: int | None, squash: float = 1.0
    ) -> None:
        """Fill an upright ellipse that faces the camera: ``radius`` across, ``squash * radius`` up and down."""
        (column, row), r = self.project(x, y, z), self.focal * radius / z
        box = [column - r, row - squash * r, column + r, row + squash * r]
        self._paint.ellipse(box, fill=colour)
        if label is not None:
            self._mark.ellipse(box, fill=_code(label, z))

    def ground_shadow(self, points: list[tuple[float, float]], strength: float) -> None:
        """Darken the ground inside a polygon of (X, Z) points, as far as it shows ground now."""
        flat = [self.project(x, 0.0, max(z, 0.8)) for x, z in points]
        columns, rows = zip(*flat)
        left, top = max(0, math.floor(min(columns))), max(0, math.floor(min(rows)))
        size = min(self.width, math.ceil(max(columns)) + 1) - left, min(self.height, math.ceil(max(rows)) + 1) - top
        if min(size) > 0:
            mask = Image.new("L", size)
            ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in flat], fill=round(255 * strength))
            self.image.paste((18, 18, 28), (left, top, left + size[0], top + size[1]), mask)


def _code(label: int, z: float) -> int:
    return label + (int(min(z, 2 * FAR) * 10) << 8)


def ground_and_sky(canvas: Canvas, look: Look, noise: np.ndarray) -> None:
    """Paint everything that is not an object: road with its markings, sidewalks, verges and the sky.

    Args:
        canvas: The canvas, not yet started.
        look: Colours of this picture.
        noise: float32 (256, 256), a tile of smooth noise around 0, that is laid on the ground.
    """
    split = min(max(round(canvas.horizon), 1), canvas.height - 1)  # first row of the ground
    ground, surface = _ground(canvas, look, noise, split)
    colours = np.concatenate([_sky(canvas, look, noise, split), ground])
    above = np.full((split, canvas.width), _code(SKY, 2 * FAR), np.int32)
    canvas.start(np.clip(colours, 0, 255).astype(np.uint8), np.concatenate([above, surface]))


def _ground(canvas: Canvas, look: Look, noise: np.ndarray, split: int) -> tuple[np.ndarray, np.ndarray]:
    """Return colours, float32 (H - split, W, 3), and surface, int32 (H - split, W)."""
    scene = canvas.scene
    rows = np.arange(split, canvas.height, dtype=np.float32)[:, None] + np.float32(0.5)
    columns = np.arange(canvas.width, dtype=np.float32)[None] + np.float32(0.5)
    depth = np.float32(canvas.focal * scene.eye) / np.maximum(rows - np.float32(canvas.horizon), np.float32(0.05))
    z = np.minimum(depth, np.float32(2 * FAR)) + np.zeros_like(columns)
    x = (columns - np.float32(canvas.centre)) * z / np.float32(canvas.focal) - np.float32(scene.bend) * z * z
    label, colours = _street(scene, look, x, z)
    grain = noise[(z * 14).astype(np.int32) % 256, (x * 14).astype(np.int32) % 256]
    patches = noise[(z * 1.3).astype(np.int32) % 256, (x * 1.9).astype(np.int32) % 256]
    fade = np.minimum(1.0, 14.0 / z)  # texture finer than a pixel would only flicker
    rough = np.float32(look.ground_grain) * grain * fade + np.float32(look.ground_patch) * patches
    return colours * (1 + rough)[..., None], label.astype(np.int32) + ((z * 10).astype(np.int32) << 8)


def _street(scene: Scene, look: Look, x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    place = (x > 0).astype(np.int32)
    beyond = np.abs(x) - np.float32(scene.road)
    walk, verge = np.array(scene.sidewalk, np.float32)[place], np.array(scene.verge, np.float32)[place]
    label = np.select([beyond < 0, beyond < walk, beyond < walk + verge], [ROAD, SIDEWALK, TERRAIN], SIDEWALK)
    table = np.zeros((TERRAIN + 1, 3), np.float32)
    for name, number in (("road", ROAD), ("sidewalk", SIDEWALK), ("terrain", TERRAIN)):
        table[number] = look.colours[name]
    colours = table[label]
    slabs = ((x * look.slabs).astype(np.int32) + (z * look.slabs).astype(np.int32)) % 2 * (z < 25)
    colours[label == SIDEWALK] *= 1 - look.slab_contrast * slabs[label == SIDEWALK][:, None]
    kerb = (beyond > -0.1) & (beyond < 0.18)
    colours[kerb] = look.colours["kerb"]
    dashed = (np.abs(x - scene.lane) < 0.13) & (z % 5.0 < 2.6)
    border = (np.abs(np.abs(x) - scene.road + 0.55) < 0.09) & look.border_line
    zebra = np.zeros_like(dashed)
    if scene.crossing is not None:
        zebra = (np.abs(z - scene.crossing) < 1.6) & (np.mod(x, 1.1) < 0.6)
    marked = (dashed | border | zebra) & (label == ROAD)
    colours[marked] = colours[marked] * (1 - look.marking) + np.float32(look.marking) * np.array(
        look.colours["marking"], np.float32
    )
    return label, colours


def _sky(canvas: Canvas, look: Look, noise: np.ndarray, split: int) -> np.ndarray:
    """Return the colours of the rows above the horizon, float32 (split, W, 3)."""
    height = np.linspace(0, 1, split, dtype=np.float32)[:, None, None]
    top, low = np.array(look.colours["sky_top"], np.float32), np.array(look.colours["sky_low"], np.float32)
    unit = canvas.width / 256.0
    rows = (np.arange(split) / unit * 1.1).astype(np.int32) % 256
    columns = (np.arange(canvas.width) / unit * 0.45).astype(np.int32) % 256
    shape = noise[rows[:, None], columns[None]]
    cover = np.clip((shape + look.cloud_cover) * look.cloud_edge, 0, 1)[..., None] * np.float32(look.cloud_strength)
    return (top * (1 - height) + low * height) * (1 - cover) + np.array(look.colours["cloud"], np.float32) * cover


def backdrop(canvas: Canvas, look: Look) -> None:
    """Close the street at its far end with houses and rows of trees."""
    for index, (left, right, height, trees) in enumerate(canvas.scene.backdrop):
        colour = look.pick("vegetation" if trees else "building", 37 * index + 11)
        canvas.plate(
            (left + right) / 2, 0.0, FAR + 2, right - left + 0.5, height, colour, VEGETATION if trees else BUILDING
        )
        if trees:
            for k in range(4):
                canvas.disc(
                    left + (k + 0.5) * (right - left) / 4, height, FAR + 2, (right - left) / 6, colour, VEGETATION
                )


def houses(canvas: Canvas, look: Look) -> None:
    """Paint the rows of houses, far ones first, with roofs, windows and ground floors; parks in their places."""
    for house in sorted(canvas.scene.houses, key=lambda house: -house.near):
        edge = house.side * canvas.scene.edge(house.side)
        if house.park:
            _park(canvas, look, house, edge)
        else:
            _house(canvas, look, house, edge)


def _house(canvas: Canvas, look: Look, house: House, edge: float) -> None:
    wall, lit = look.pick("building", house.colour), house.side != canvas.scene.sun
    canvas.polygon(
        _wall_across(edge, house.side, house.near, house.height), shade(wall, 0.8 if lit else 0.92), BUILDING
    )
    wall = shade(wall, 1.06 if lit else look.shaded_wall)
    canvas.polygon(_wall_along(edge, house.near, house.far, 0.0, house.height), wall, BUILDING)
    canvas.polygon(
        _wall_along(edge, house.near, house.far, house.height * 0.93, house.height),
        look.pick("roof", house.colour),
        BUILDING,
    )
    if house.near < 45:
        _windows(canvas, look, house, edge)


def _park(canvas: Canvas, look: Look, house: House, edge: float) -> None:
    leaf, hedge = look.pick("vegetation", house.colour), 0.35 * house.height
    canvas.polygon(_wall_across(edge, house.side, house.near, hedge), shade(leaf, 0.7), VEGETATION)
    canvas.polygon(_wall_along(edge, house.near, house.far, 0.0, hedge), shade(leaf, 0.8), VEGETATION)
    for z in np.arange(house.far, house.near, -2.4):
        lift = 0.08 * np.sin(5.0 * z + house.colour)
        canvas.disc(
            edge, house.height * (0.6 + lift), z, 0.42 * house.height, shade(leaf, 0.86 + lift), VEGETATION, 0.9
        )
        canvas.disc(
            edge, house.height * (0.75 + lift), z, 0.25 * house.height, shade(leaf, 1.02 + lift), VEGETATION, 0.9
        )


def _wall_along(edge: float, near: float, far: float, low: float, high: float) -> list[Point]:
    return [(edge, low, near), (edge, low, far), (edge, high, far), (edge, high, near)]


def _wall_across(edge: float, side: int, z: float, height: float) -> list[Point]:
    out = edge + side * 14.0
    return [(edge, 0.0, z), (out, 0.0, z), (out, height, z), (edge, height, z)]


def _windows(canvas: Canvas, look: Look, house: House, edge: float) -> None:
    rng = np.random.default_rng(house.colour)
    columns, floors = max(2, round((house.far - house.near) / 2.6)), max(1, round(house.height * 0.92 / 3.1))
    step, floor = (house.far - house.near) / columns, house.height * 0.92 / floors
    lights = rng.random((floors, columns)) < look.lit_windows
    for j in range(floors):
        low, high = (0.1, 0.8) if j == 0 else (0.25, 0.8)
        for i in range(columns):
            near = house.near + (i + 0.22) * step
            box = _wall_along(edge, near, near + 0.56 * step, (j + low) * floor, (j + high) * floor)
            name = "lit" if lights[j, i] else "shop" if j == 0 else "window"
            canvas.polygon(box, look.pick(name, house.colour + i * (j == 0)), None)


def shade(colour: Colour, factor: float) -> Colour:
    """Return the colour, darker or lighter by ``factor``."""
    return tuple(max(0, min(255, int(channel * factor))) for channel in colour)
