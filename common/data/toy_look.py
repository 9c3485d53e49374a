"""Toy streets: how a picture looks. Palettes, light and lens of the two domains, drawn for each picture.

The game is clean, sunny and saturated, with hard edges. The camera has weather (a mood), a colour cast, haze,
a lens that blurs and darkens the corners, and a sensor with noise. What a class looks like overlaps between
the domains on purpose: the grey sky of the camera is the colour of the game's walls, its walls that of the
game's road, its dry grass that of the game's sidewalk.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

Colour = tuple[int, int, int]

# fmt: off
GAME = {
    "road": [(84, 84, 94), (96, 96, 104), (74, 76, 84)],
    "sidewalk": [(192, 182, 164), (176, 170, 158), (204, 190, 168)],
    "terrain": [(112, 168, 62), (128, 180, 74)],
    "kerb": [(214, 208, 196)],
    "marking": [(244, 240, 226), (240, 204, 70)],
    "sky_top": [(48, 112, 214), (66, 132, 226), (88, 150, 232)],
    "sky_low": [(164, 206, 246), (186, 218, 248)],
    "cloud": [(250, 250, 252)],
    "building": [(224, 186, 138), (206, 122, 92), (240, 222, 184), (124, 156, 188),
                 (232, 230, 224), (186, 96, 84), (244, 200, 120), (176, 200, 176)],
    "roof": [(150, 72, 58), (120, 96, 84), (206, 204, 200)],
    "window": [(92, 140, 190), (70, 110, 160), (120, 170, 210)],
    "shop": [(60, 90, 120), (170, 60, 60), (60, 130, 110), (220, 180, 80)],
    "lit": [(255, 236, 160)],
    "vegetation": [(58, 142, 42), (86, 160, 50), (44, 122, 48), (112, 170, 56)],
    "trunk": [(124, 88, 56), (140, 104, 70)],
    "car": [(208, 36, 34), (240, 196, 40), (40, 92, 200), (244, 244, 244), (46, 160, 90), (236, 120, 30),
            (150, 60, 170)],
    "glass": [(60, 84, 112)],
    "skin": [(226, 172, 134), (150, 102, 72), (240, 196, 160)],
    "clothes": [(220, 60, 80), (60, 120, 220), (250, 220, 80), (240, 240, 240), (80, 190, 150), (60, 60, 70)],
    "pole": [(150, 152, 158), (110, 112, 120)],
    "sign": [(214, 34, 40), (30, 90, 200), (250, 210, 40)],
    "bin": [(60, 110, 80)],
    "bonnet": [(60, 60, 66)],
}

CAMERA = {
    "road": [(84, 84, 82), (92, 91, 88), (76, 77, 77)],
    "sidewalk": [(146, 136, 126), (154, 144, 134), (138, 128, 122)],
    "terrain": [(142, 132, 74), (130, 124, 66), (120, 124, 64)],
    "kerb": [(164, 160, 152)],
    "marking": [(188, 186, 178)],
    "sky_top": [(196, 202, 210), (182, 190, 200), (206, 208, 210)],
    "sky_low": [(222, 224, 224), (214, 214, 210)],
    "cloud": [(172, 178, 186)],
    "building": [(126, 112, 94), (146, 130, 108), (98, 82, 72), (154, 142, 128),
                 (112, 114, 118), (134, 98, 80), (160, 152, 140), (88, 84, 84)],
    "roof": [(88, 58, 50), (74, 70, 70), (98, 76, 62)],
    "window": [(58, 62, 68), (72, 78, 84), (46, 50, 56)],
    "shop": [(52, 52, 56), (96, 60, 52), (60, 76, 70), (110, 100, 84)],
    "lit": [(232, 196, 120)],
    "vegetation": [(56, 70, 38), (76, 76, 36), (44, 60, 38), (66, 84, 42)],
    "trunk": [(66, 56, 48), (58, 52, 48)],
    "car": [(34, 36, 40), (150, 154, 158), (92, 96, 102), (38, 50, 80), (208, 208, 206), (110, 34, 36)],
    "glass": [(40, 46, 52)],
    "skin": [(186, 146, 122), (128, 92, 72), (204, 168, 146)],
    "clothes": [(44, 46, 54), (60, 52, 50), (84, 84, 92), (40, 56, 84), (112, 66, 60), (130, 124, 112)],
    "pole": [(86, 88, 90), (106, 106, 104)],
    "sign": [(168, 42, 44), (40, 74, 142), (196, 170, 62)],
    "bin": [(66, 68, 64)],
    "bonnet": [(28, 30, 34)],
}
# fmt: on


@dataclass(frozen=True)
class Mood:
    """Weather and light of a camera picture."""

    gain: tuple[float, float]  # exposure, low and high
    gamma: tuple[float, float]
    cast: tuple[float, float, float]  # multipliers of red, green, blue
    saturation: float
    haze: tuple[float, float]  # metres until the haze holds 63 %
    haze_colour: Colour
    noise: float  # standard deviation of the sensor noise, of 255
    lit_windows: float
    sky: float = 1.0  # brightness of the sky


MOODS = {
    "overcast": Mood((0.86, 1.02), (1.0, 1.15), (0.97, 1.01, 1.02), 0.72, (120, 260), (196, 200, 204), 4.0, 0.03),
    "haze": Mood((0.95, 1.12), (0.85, 1.0), (1.03, 1.01, 0.93), 0.60, (45, 90), (212, 206, 192), 4.0, 0.02),
    "dusk": Mood((0.62, 0.78), (0.85, 1.0), (0.94, 0.96, 1.16), 0.7, (80, 160), (120, 124, 146), 6.0, 0.35, 0.72),
    "rain": Mood((0.68, 0.86), (1.05, 1.25), (0.93, 1.03, 1.02), 0.62, (60, 120), (150, 158, 160), 5.0, 0.12, 0.88),
    "late sun": Mood((0.84, 1.0), (1.1, 1.3), (1.14, 1.0, 0.80), 0.85, (90, 180), (220, 196, 160), 4.0, 0.0),
}


@dataclass(frozen=True)
class Look:
    """Everything that ``toy_paint`` and ``toy_things`` ask about colours, and the lens of ``develop``."""

    palette: dict[str, list[Colour]]
    mood: Mood
    crisp: bool  # hard edges, as a game draws them
    seed: int
    colours: dict[str, Colour] = field(default_factory=dict)  # one choice for the ground and the sky of the picture
    ground_grain: float = 0.05
    ground_patch: float = 0.03
    slabs: float = 0.8  # slabs of the sidewalk per metre
    slab_contrast: float = 0.06
    marking: float = 0.95
    border_line: bool = True
    cloud_cover: float = -0.15
    cloud_edge: float = 3.0
    cloud_strength: float = 0.9
    shaded_wall: float = 0.72
    shadow: float = 0.45  # of the ground under things and beside houses
    lit_windows: float = 0.0
    texture: float = 0.06  # of walls and leaves

    def pick(self, name: str, number: int) -> Colour:
        """Return the colour of a palette entry that belongs to ``number``."""
        choices = self.palette[name]
        return choices[number % len(choices)]


def draw_look(domain: str, mood: str | None, rng: np.random.Generator) -> Look:
    """Draw the look of one picture.

    Args:
        domain: "game" or "camera".
        mood: A key of ``MOODS`` for the camera; the game is always sunny.
        rng: Source of the draws.
    """
    palette = GAME if domain == "game" else CAMERA
    colours = {
        name: palette[name][int(rng.integers(len(palette[name])))]
        for name in ("road", "sidewalk", "terrain", "kerb", "marking", "sky_top", "sky_low", "cloud")
    }
    seed = int(rng.integers(1 << 30))
    if domain == "game":
        clear = Mood((0.98, 1.06), (0.95, 1.0), (1.0, 1.0, 1.0), 1.12, (700, 900), (190, 214, 240), 0.0, 0.02)
        return Look(palette, clear, True, seed, colours, cloud_cover=float(rng.uniform(-0.5, 0.1)))
    weather = MOODS[mood]
    for name in ("sky_top", "sky_low", "cloud"):
        colours[name] = tuple(int(channel * weather.sky) for channel in colours[name])
    return Look(
        palette,
        weather,
        False,
        seed,
        colours,
        ground_grain=0.13,
        ground_patch=0.12,
        slabs=2.2,
        slab_contrast=0.10,
        marking=float(rng.uniform(0.25, 0.7)),
        border_line=False,
        cloud_cover=0.1,
        cloud_edge=0.9,
        cloud_strength=0.6,
        shaded_wall=0.92,
        shadow=0.22,
        lit_windows=weather.lit_windows,
        texture=0.16,
    )


def smooth_noise(rng: np.random.Generator, octaves: tuple[int, ...] = (4, 8, 16, 32)) -> np.ndarray:
    """Return a float32 (256, 256) tile of noise without seams, mean 0, mostly within -1..1."""
    tile = np.zeros((256, 256), np.float32)
    for level, cells in enumerate(octaves):
        grid = rng.standard_normal((cells, cells)).astype(np.float32)
        tile += ndimage.zoom(grid, 256 // cells, order=1, mode="grid-wrap", grid_mode=True) / np.float32(1.4**level)
    return (tile - tile.mean()) / np.float32(2.0 * tile.std())


def develop(colours: np.ndarray, depth: np.ndarray, look: Look, rng: np.random.Generator) -> np.ndarray:
    """Turn painted colours into the picture: haze, exposure, gamma, colour cast, lens and sensor.

    Args:
        colours: float32 (H, W, 3), 0..255, textured.
        depth: float32 (H, W), metres.
        look: Look of the picture.
        rng: Source of the draws.
    Returns:
        uint8 (H, W, 3).
    """
    mood, (height, width) = look.mood, depth.shape
    reach = rng.uniform(*mood.haze)
    clear = np.exp(-depth / np.float32(reach))[..., None]
    light = colours * clear + np.array(mood.haze_colour, np.float32) * (1 - clear)
    grey = light.mean(axis=2, keepdims=True)
    light = grey + (light - grey) * np.float32(mood.saturation)
    cast = np.array(mood.cast, np.float32) * (1 if look.crisp else rng.uniform(0.96, 1.04, 3).astype(np.float32))
    light = np.clip(light * cast / 255, 0, 1) ** np.float32(rng.uniform(*mood.gamma))
    light *= np.float32(rng.uniform(*mood.gain))
    if look.crisp:
        return np.clip(light * 255, 0, 255).astype(np.uint8)
    light = ndimage.gaussian_filter(light, (*[rng.uniform(0.45, 0.95) * width / 256] * 2, 0))
    rows, columns = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    light *= (1 - rng.uniform(0.15, 0.4) * np.clip((rows**2 + columns**2) / 2, 0, 1)).astype(np.float32)[..., None]
    strength = mood.noise / 255 * (0.6 + 0.8 * np.sqrt(np.clip(light, 0, 1)))  # shot and read noise
    shot = rng.standard_normal(light.shape, np.float32) * strength
    return np.clip((light + shot) * 255, 0, 255).astype(np.uint8)
