"""Toy streets: what stands where. A scene is drawn from a generator and holds numbers only, in metres.

X points right, Y up from the road, Z away from the camera; the road follows ``x = bend * z**2``. The two
domains share every rule and differ in the ranges of ``LAYOUTS``: the game has wide, sunny boulevards seen
from a high camera, the camera narrow old streets seen from a low one, with more people and signs.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

FAR = 90.0  # metres; what lies beyond is the backdrop


@dataclass(frozen=True)
class Layout:
    """Ranges (low, high) from which the scenes of a domain are drawn; metres, shares of the frame, or counts."""

    eye: tuple[float, float]  # camera height
    horizon: tuple[float, float]  # row of the horizon, share of the image height
    focal: tuple[float, float]  # focal length, share of the image width
    road: tuple[float, float]  # half width of the road
    sidewalk: tuple[float, float]  # width of the sidewalk
    verge: tuple[float, float]  # width of the grass between sidewalk and houses, where there is one
    verge_share: float  # probability of such a verge on a side
    height: tuple[float, float]  # of a house
    gap: float  # probability of a gap between two houses
    park: float  # probability that a row of trees stands in place of a house
    bend: float  # largest curvature, 1/m
    cars: tuple[int, int]
    parked: float  # share of the cars that stand at the kerb
    people: tuple[int, int]
    crossing: float  # share of the people who walk on the road
    trees: tuple[int, int]
    palms: float  # share of the trees that are palms
    signs: tuple[int, int]
    lamps: tuple[int, int]
    bins: tuple[int, int]  # street furniture, label "static", which no method is scored on


# fmt: off
LAYOUTS = {
    "game": Layout(
        eye=(1.7, 2.5), horizon=(0.36, 0.46), focal=(0.52, 0.62), road=(5.0, 7.5), sidewalk=(2.2, 3.6),
        verge=(4.0, 9.0), verge_share=0.7, height=(5.0, 14.0), gap=0.35, park=0.15, bend=0.0012, cars=(3, 7),
        parked=0.3, people=(2, 5), crossing=0.25, trees=(3, 7), palms=0.4, signs=(1, 3), lamps=(2, 4), bins=(0, 1)),
    "camera": Layout(
        eye=(1.2, 1.5), horizon=(0.44, 0.54), focal=(0.56, 0.70), road=(3.6, 5.2), sidewalk=(2.2, 3.6),
        verge=(3.0, 8.0), verge_share=0.7, height=(7.0, 17.0), gap=0.2, park=0.25, bend=0.0022, cars=(3, 7),
        parked=0.7, people=(3, 7), crossing=0.15, trees=(2, 6), palms=0.0, signs=(2, 4), lamps=(2, 4), bins=(0, 2)),
}
# fmt: on


class House(NamedTuple):
    """A house front along the street."""

    side: int  # -1 left, 1 right
    near: float  # Z where its front begins
    far: float
    height: float
    colour: int  # place in the palette of the domain
    park: bool  # a hedge and a row of trees instead of a house


class Thing(NamedTuple):
    """Something that stands on the ground, ``x`` and ``z`` metres from the camera."""

    kind: str  # "car", "person", "tree", "palm", "sign", "lamp", "bin"
    x: float
    z: float
    scale: float  # 1 is the usual size
    colour: int
    variant: int  # shape or pose
    seed: int  # for its own small draws (leaves, stripes)


@dataclass(frozen=True)
class Scene:
    """One street: the camera, the ground, the houses (near to far on each side) and the things (far to near)."""

    eye: float
    horizon: float
    focal: float
    centre: float  # column of the vanishing point, share of the width
    bend: float
    road: float
    sidewalk: tuple[float, float]  # left, right
    verge: tuple[float, float]
    crossing: float | None  # Z of a zebra crossing
    lane: float  # X of the lane line
    sun: int  # side whose houses throw the shadow
    houses: list[House]
    backdrop: list[tuple[float, float, float, bool]]  # left X, right X, height, is a tree row
    things: list[Thing]

    def edge(self, side: int) -> float:
        """Distance of the house fronts of a side from the middle of the road, metres."""
        place = (side + 1) // 2
        return self.road + self.sidewalk[place] + self.verge[place]


def draw_scene(domain: str, rng: np.random.Generator) -> Scene:
    """Draw the contents of one street of ``domain`` ("game" or "camera")."""
    layout = LAYOUTS[domain]
    road = rng.uniform(*layout.road)
    sidewalk = tuple(rng.uniform(*layout.sidewalk, size=2).tolist())
    grass = rng.random(2) < layout.verge_share
    verge = tuple(float(width) if on else 0.0 for width, on in zip(rng.uniform(*layout.verge, size=2), grass))
    street = {"road": float(road), "sidewalk": sidewalk, "verge": verge}
    return Scene(
        eye=float(rng.uniform(*layout.eye)),
        horizon=float(rng.uniform(*layout.horizon)),
        focal=float(rng.uniform(*layout.focal)),
        centre=float(rng.uniform(0.42, 0.58)),
        bend=float(rng.uniform(-layout.bend, layout.bend)),
        **street,
        crossing=float(rng.uniform(7, 16)) if rng.random() < 0.3 else None,
        lane=float(rng.uniform(-1, 1)),
        sun=int(rng.choice((-1, 1))),
        houses=_houses(layout, rng),
        backdrop=_backdrop(layout, rng),
        things=_things(layout, street, rng),
    )


def _houses(layout: Layout, rng: np.random.Generator) -> list[House]:
    houses = []
    for side in (-1, 1):
        z = 1.5
        while z < FAR:
            length = rng.uniform(6, 16)
            park = bool(rng.random() < layout.park)
            height = rng.uniform(3.5, 6.5) if park else rng.uniform(*layout.height)
            houses.append(House(side, z, min(z + length, FAR), float(height), int(rng.integers(1000)), park))
            gap = bool(rng.random() < layout.gap)
            z += length + (rng.uniform(3, 9) if gap else 0.0)
    return houses


def _backdrop(layout: Layout, rng: np.random.Generator) -> list[tuple[float, float, float, bool]]:
    blocks, x = [], -80.0
    while x < 80.0:
        width, tree = rng.uniform(6, 18), bool(rng.random() < 0.4)
        height = rng.uniform(3, 8) if tree else rng.uniform(0.7, 1.3) * rng.uniform(*layout.height)
        blocks.append((x, x + width, float(height), tree))
        x += width
    return blocks


def _things(layout: Layout, street: dict, rng: np.random.Generator) -> list[Thing]:
    things = []

    def add(kind: str, x: float, z: float, scale: float = 1.0):
        things.append(Thing(kind, float(x), float(z), float(scale), *(int(n) for n in rng.integers(0, 1 << 30, 3))))

    def walk(share: float) -> float:  # X at a share of the width of a sidewalk, on either side
        side = int(rng.choice((-1, 1)))
        return side * (street["road"] + share * street["sidewalk"][(side + 1) // 2])

    for z in rng.uniform(5.5, 45, rng.integers(*layout.cars, endpoint=True)):
        side = rng.choice((-1, 1))
        driving = rng.uniform(0.35, 0.55) * street["road"]
        x = street["road"] - 1.1 if rng.random() < layout.parked else driving
        add("car", side * x, z, rng.uniform(0.92, 1.15))
    for z in _near(rng, 5, 20, rng.integers(*layout.people, endpoint=True)):
        on_road = rng.random() < layout.crossing
        x = rng.uniform(-0.9, 0.9) * street["road"] if on_road else walk(rng.uniform(0.1, 0.9))
        add("person", x, z, rng.uniform(1.1, 1.35))
    for z in _near(rng, 7, 50, rng.integers(*layout.trees, endpoint=True)):
        add("palm" if rng.random() < layout.palms else "tree", walk(rng.uniform(0.8, 1.3)), z, rng.uniform(0.8, 1.3))
    for z in _near(rng, 6, 24, rng.integers(*layout.signs, endpoint=True)):
        add("sign", walk(rng.uniform(0.05, 0.35)), z, rng.uniform(0.9, 1.2))
    for z in _near(rng, 8, 40, rng.integers(*layout.lamps, endpoint=True)):
        add("lamp", walk(0.08), z, rng.uniform(0.9, 1.2))
    for z in _near(rng, 7, 25, rng.integers(*layout.bins, endpoint=True)):
        add("bin", walk(rng.uniform(0.5, 0.9)), z)
    return _apart(sorted(things, key=lambda thing: -thing.z))


def _near(rng: np.random.Generator, low: float, high: float, count: int) -> np.ndarray:
    """Distances that favour the foreground: uniform in 1/z, as seen by the camera."""
    return 1.0 / rng.uniform(1.0 / high, 1.0 / low, count)


def _apart(things: list[Thing]) -> list[Thing]:
    """Drop the cars that would stand inside a farther one."""
    kept: list[Thing] = []
    for thing in things:
        cars = [other for other in kept if other.kind == thing.kind == "car"]
        if not any(abs(thing.z - other.z) < 5.5 and abs(thing.x - other.x) < 2.2 for other in cars):
            kept.append(thing)
    return kept
