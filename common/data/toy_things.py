"""Toy streets: cars, people, trees, signs, lamps and bins, each painted from its feet upwards."""

import numpy as np

from common.data.toy_look import Look
from common.data.toy_paint import CAR, PERSON, PLATE, POLE, SIGN, STATIC, VEGETATION, Canvas, Colour, shade
from common.data.toy_scene import Thing

NEAREST = 2.2  # metres; nothing is painted closer to the camera


def things(canvas: Canvas, look: Look) -> None:
    """Paint all things of the scene, which come sorted far to near."""
    for thing in canvas.scene.things:
        PAINTERS[thing.kind](canvas, look, thing)


def _contact_shadow(canvas: Canvas, look: Look, thing: Thing, width: float, length: float) -> None:
    lean = canvas.scene.sun * -0.6 if look.crisp else 0.0
    x, z = thing.x, thing.z
    left, right = x - width / 2 + min(lean, 0), x + width / 2 + max(lean, 0)
    canvas.ground_shadow([(left, z - 0.15), (right, z - 0.15), (right, z + length), (left, z + length)], look.shadow)


def _box(
    canvas: Canvas, x: float, width: float, near: float, far: float, low: float, high: float, colour: Colour, label: int
) -> None:
    """Paint the visible sides of a box: the one towards the camera, the one towards its middle line, and the top."""
    left, right = x - width / 2, x + width / 2
    side = right if x + canvas.scene.bend * near * near < 0 else left
    dark, light = shade(colour, 0.72), shade(colour, 1.15)
    canvas.polygon([(side, low, near), (side, low, far), (side, high, far), (side, high, near)], dark, label)
    if high < canvas.scene.eye:
        canvas.polygon([(left, high, near), (right, high, near), (right, high, far), (left, high, far)], light, label)
    canvas.polygon([(left, low, near), (right, low, near), (right, high, near), (left, high, near)], colour, label)


def car(canvas: Canvas, look: Look, thing: Thing) -> None:
    """Paint a car seen from behind or from the front: body, cabin with windows, wheels, lights, plate."""
    near, length, width, s = max(thing.z, NEAREST), 4.2 * thing.scale, 1.8 * thing.scale, thing.scale
    body, glass = look.pick("car", thing.colour), look.pick("glass", 0)
    van = thing.variant % 5 == 0
    roof = (1.95 if van else 1.5) * s
    _contact_shadow(canvas, look, thing, width + 0.3, length)
    for x in (-0.36, 0.36):
        canvas.plate(thing.x + x * width, 0.0, near + 0.05, 0.26 * s, 0.5 * s, (22, 22, 24), CAR)
    _box(canvas, thing.x, width, near, near + length, 0.28 * s, 0.95 * s, body, CAR)
    inset = 0.1 if van else 0.55
    _box(
        canvas,
        thing.x,
        width * 0.86,
        near + inset,
        near + length * (0.95 if van else 0.72),
        0.95 * s,
        roof,
        shade(body, 0.95),
        CAR,
    )
    canvas.plate(thing.x, 1.0 * s, near + inset, width * 0.74, roof - 1.12 * s, glass, None)
    behind = thing.x > 0
    lamp = (196, 30, 28) if behind else (250, 244, 214)
    for x in (-0.4, 0.4):
        canvas.plate(thing.x + x * width, 0.62 * s, near - 0.01, 0.3 * s, 0.18 * s, lamp, None)
    canvas.plate(thing.x, 0.3 * s, near - 0.01, width * 0.96, 0.14 * s, (40, 40, 44), None)
    canvas.plate(thing.x, 0.46 * s, near - 0.01, 0.5 * s, 0.16 * s, (226, 226, 220), PLATE if look.crisp else None)


def person(canvas: Canvas, look: Look, thing: Thing) -> None:
    """Paint a walking figure: legs, coat, arms and head."""
    z, s = max(thing.z, NEAREST), thing.scale
    coat, trousers = look.pick("clothes", thing.colour), look.pick("clothes", thing.variant)
    skin, stride = look.pick("skin", thing.seed), 0.05 + 0.14 * (thing.variant % 3) / 2
    _contact_shadow(canvas, look, thing, 0.6, 0.5)
    for foot in (-stride, stride):
        x = thing.x
        canvas.polygon(
            [
                (x + foot - 0.1 * s, 0.0, z),
                (x + foot + 0.1 * s, 0.0, z),
                (x + 0.13 * s, 0.9 * s, z),
                (x - 0.13 * s, 0.9 * s, z),
            ],
            shade(trousers, 0.8),
            PERSON,
        )
    canvas.polygon(
        [
            (thing.x - 0.24 * s, 0.78 * s, z),
            (thing.x + 0.24 * s, 0.78 * s, z),
            (thing.x + 0.29 * s, 1.42 * s, z),
            (thing.x - 0.29 * s, 1.42 * s, z),
        ],
        coat,
        PERSON,
    )
    for arm in (-1, 1):
        canvas.plate(thing.x + arm * 0.31 * s, 0.72 * s, z, 0.11 * s, 0.68 * s, shade(coat, 0.85), PERSON)
    canvas.disc(thing.x, 1.6 * s, z, 0.155 * s, skin, PERSON, 1.15)
    canvas.disc(thing.x, 1.7 * s, z, 0.15 * s, (46, 36, 30), PERSON, 0.6)


def tree(canvas: Canvas, look: Look, thing: Thing) -> None:
    """Paint a tree: trunk and a crown of leafy lumps, light ones on top."""
    rng, z, s = np.random.default_rng(thing.seed), max(thing.z, NEAREST), thing.scale
    leaf = look.pick("vegetation", thing.colour)
    crown, radius = 4.2 * s, 1.7 * s
    _contact_shadow(canvas, look, thing, 2.2 * radius, 2.0)
    canvas.plate(thing.x, 0.0, z, 0.36 * s, crown, look.pick("trunk", thing.colour), VEGETATION)
    angles = rng.uniform(0, 2 * np.pi, 9)
    canvas.disc(thing.x, crown, z, radius, shade(leaf, 0.82), VEGETATION, 0.9)
    for angle, share in zip(angles, rng.uniform(0.5, 1.0, 9)):
        x, y = thing.x + np.cos(angle) * radius * share, crown + np.sin(angle) * radius * share * 0.8
        canvas.disc(float(x), float(y), z, float(0.5 * radius), shade(leaf, 0.95 + 0.18 * np.sin(angle)), VEGETATION)


def palm(canvas: Canvas, look: Look, thing: Thing) -> None:
    """Paint a palm: a tall trunk and a star of fronds."""
    rng, z, s = np.random.default_rng(thing.seed), max(thing.z, NEAREST), thing.scale
    leaf, top = look.pick("vegetation", thing.colour), 6.2 * s
    _contact_shadow(canvas, look, thing, 1.2, 0.6)
    canvas.plate(thing.x, 0.0, z, 0.32 * s, top, look.pick("trunk", thing.colour), VEGETATION)
    for angle in np.linspace(-0.5, np.pi + 0.5, 8) + rng.uniform(-0.1, 0.1, 8):
        reach = float(rng.uniform(1.7, 2.4)) * s
        x, y = thing.x + reach * float(np.cos(angle)), top + reach * float(0.55 * np.sin(angle) - 0.35)
        canvas.polygon(
            [
                (thing.x, top - 0.2 * s, z),
                (thing.x + 0.5 * (x - thing.x), top + 0.5 * (y - top) + 0.55 * s, z),
                (x, y, z),
                (thing.x + 0.5 * (x - thing.x), top + 0.5 * (y - top) + 0.05 * s, z),
            ],
            shade(leaf, 0.9 + 0.2 * np.sin(angle)),
            VEGETATION,
        )


def sign(canvas: Canvas, look: Look, thing: Thing) -> None:
    """Paint a traffic sign on its post: a disc, a triangle or a board."""
    z, s = max(thing.z, NEAREST), thing.scale
    y, face = 2.6 * s, look.pick("sign", thing.colour)
    canvas.plate(thing.x, 0.0, z, 0.26 * s, y, look.pick("pole", 0), POLE)
    shape, r = thing.variant % 3, 0.62 * s
    if shape == 0:
        canvas.disc(thing.x, y, z, r, face, SIGN)
        canvas.disc(thing.x, y, z, 0.55 * r, (236, 236, 232), None)
    elif shape == 1:
        canvas.polygon(
            [(thing.x - 1.15 * r, y - 0.8 * r, z), (thing.x + 1.15 * r, y - 0.8 * r, z), (thing.x, y + 1.2 * r, z)],
            face,
            SIGN,
        )
        canvas.polygon(
            [(thing.x - 0.6 * r, y - 0.5 * r, z), (thing.x + 0.6 * r, y - 0.5 * r, z), (thing.x, y + 0.6 * r, z)],
            (240, 236, 220),
            None,
        )
    else:
        canvas.plate(thing.x, y - r, z, 1.9 * r, 1.9 * r, face, SIGN)
        canvas.plate(thing.x, y - 0.5 * r, z, 0.5 * r, 0.9 * r, (236, 236, 232), None)


def lamp(canvas: Canvas, look: Look, thing: Thing) -> None:
    """Paint a street lamp: mast, arm over the road, head."""
    z, s, towards = max(thing.z, NEAREST), thing.scale, -1 if thing.x > 0 else 1
    metal = look.pick("pole", thing.colour)
    canvas.plate(thing.x, 0.0, z, 0.46 * s, 1.0 * s, shade(metal, 0.9), POLE)
    canvas.plate(thing.x, 0.9 * s, z, 0.32 * s, 5.1 * s, metal, POLE)
    canvas.plate(thing.x + towards * 0.7 * s, 5.85 * s, z, 1.6 * s, 0.24 * s, metal, POLE)
    canvas.plate(thing.x + towards * 1.5 * s, 5.7 * s, z, 0.6 * s, 0.3 * s, (240, 230, 190), POLE)


def bin_(canvas: Canvas, look: Look, thing: Thing) -> None:
    """Paint a litter bin."""
    canvas.plate(thing.x, 0.0, max(thing.z, NEAREST), 0.55, 0.95, look.pick("bin", 0), STATIC)
    canvas.plate(thing.x, 0.95, max(thing.z, NEAREST), 0.62, 0.12, (40, 42, 42), STATIC)


PAINTERS = {"car": car, "person": person, "tree": tree, "palm": palm, "sign": sign, "lamp": lamp, "bin": bin_}
