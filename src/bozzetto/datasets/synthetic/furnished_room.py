"""A synthetic furnished room: an indoor scene for photographs of the bust."""

import math
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from ...errors import InputError
from ...shapes import Mesh
from .bust import bust
from .materials.patterns import Rng
from .room import furniture, materials
from .room.materials import PINE, WHITE, Finishes
from .room.panels import Finish, PartCollector
from .room.prints import Color
from .room.scene import Lamp, Scene, illuminated, joined_scene

WIDTH, DEPTH, HEIGHT = 5.0, 4.6, 2.6
"""Size of the room in metres, along x, z and y. The floor is y = 0, its middle the origin."""
TABLE = 0.75
"""Height, in metres, of the table below the subject."""
WINDOW = (-0.5 * WIDTH + 0.1, 1.55, 0.0)
"""Middle of the window, the main light source."""
FREE = 1.4
"""Radius, in metres, around the middle that contains only table and rug."""


@dataclass(frozen=True)
class FurnishedRoom:
    """The room with the subject.

    Attributes:
        scene: The complete scene; the subject is its first part.
        subject: The subject in the world frame: Y up, metres.
    """

    scene: Scene
    subject: Mesh


def furnished_room(
    seed: int = 0, subject: Mesh | None = None, detail: float = 1.0, rays: int = 64
) -> FurnishedRoom:
    """A living room in daylight with the subject on a table in its middle.

    Wooden floor, rug, papered and plastered walls with pictures, window, door, shelves with books, furniture;
    every part has its own texture. Light comes from the window and a lamp, with soft shadows, and is reflected
    by walls and furniture (`room.scene.illuminated`).

    Args:
        seed: Seed of all textures and positions.
        subject: The mesh on the table, in metres, Y up, its base at y = 0, at most 0.3 from the axis; the bust
            if None.
        detail: Texels per length, relative to the default; memory grows with its square (200 MB for 1).
        rays: Number of rays per vertex for reflected light.

    Raises:
        InputError: The detail is not between 0.05 and 4.
    """
    if not 0.05 <= detail <= 4:
        raise InputError(f"the detail of a room must be between 0.05 and 4, got {detail:g}; 1 is the default")
    subject = bust() if subject is None else subject
    pieces, make = PartCollector(), Finishes(seed, detail)
    pieces.at(0, TABLE, 0, 0.5).mesh(subject, Finish(grain=0.22, grain_size=0.024, gloss=0.06))
    placed = subject.with_vertices(pieces.all[0].vertices)
    _shell(pieces, make)
    _furnish(pieces, make)
    lamps = [
        Lamp((WINDOW[0], 0.95, 0.75), (0, 0, -1.5), (0, 1.25, 0), (9.0, 10.0, 11.0)),
        Lamp((-0.2, HEIGHT - 0.25, 0.5), (0.4, 0, 0), (0, 0, 0.4), (13.0, 10.5, 7.5)),
    ]
    return FurnishedRoom(illuminated(joined_scene(pieces.all), lamps, rays), placed)


def _shell(pieces: PartCollector, make: Finishes) -> None:
    """Floor, walls, ceiling, rug, lamp."""
    inks: list[Color] = [(0.36, 0.45, 0.36), (0.58, 0.33, 0.28), (0.33, 0.38, 0.48), (0.62, 0.5, 0.3)]

    def papered(rng: Rng, shape: tuple[int, int], density: float) -> npt.NDArray[Any]:
        return materials.wallpaper(rng, shape, density, (0.78, 0.77, 0.68), inks)

    def plastered(color: Color) -> Finish:
        def paint(rng: Rng, shape: tuple[int, int], density: float) -> npt.NDArray[Any]:
            return materials.plaster(rng, shape, density, color)

        return make.painted(paint, 300, spacing=0.08)

    w, d = 0.5 * WIDTH, 0.5 * DEPTH
    boards = make.painted(materials.floorboards, 450, spacing=0.05, gloss=0.03)
    pieces.panel((-w, 0, d), (WIDTH, 0, 0), (0, 0, -DEPTH), boards)
    pieces.panel((-w, HEIGHT, -d), (WIDTH, 0, 0), (0, 0, DEPTH), plastered((0.88, 0.87, 0.85)))
    walls = [
        make.painted(papered, 400, spacing=0.08),
        plastered((0.84, 0.80, 0.72)),
        plastered((0.74, 0.78, 0.76)),
        plastered((0.80, 0.72, 0.62)),
    ]
    for k, finish in enumerate(walls):
        long = DEPTH if k % 2 else WIDTH
        wall = _wall(pieces, k)
        wall.panel((-0.5 * long, 0, 0), (long, 0, 0), (0, HEIGHT, 0), finish)
        furniture.add_skirting(wall, make, long)
    rug = make.painted(materials.rug, 450, spacing=0.05)
    pieces.at(0.1, 0.01, 0.05, 0.12).panel((-1.35, 0, 0.95), (2.7, 0, 0), (0, 0, -1.9), rug)
    shade = make.plain((1.0, 0.86, 0.68), glow=7.0, grain=0.0)
    pieces.box((0, HEIGHT - 0.22, 0.7), (0.44, 0.16, 0.44), shade)
    pieces.box((0, HEIGHT - 0.06, 0.7), (0.02, 0.06, 0.02), make.plain(WHITE), 0, "frlb")


def _wall(pieces: PartCollector, k: int) -> PartCollector:
    """The local frame at the foot of the middle of a wall, +z into the room; walls are at -z, -x, +z, +x."""
    turn = 0.5 * math.pi * k
    far = 0.5 * (WIDTH if k % 2 else DEPTH)
    return pieces.at(-far * math.sin(turn), 0, -far * math.cos(turn), turn)


def _furnish(pieces: PartCollector, make: Finishes) -> None:
    furniture.add_table(pieces, make, TABLE)
    furniture.add_window(_wall(pieces, 1), make, 0.8, 0.9, 2.25)
    furniture.add_bookshelf(_wall(pieces, 3).at(-0.65, 0, 0), make)
    furniture.add_sideboard(_wall(pieces, 0).at(-0.35, 0, 0), make)
    furniture.add_door(_wall(pieces, 2).at(-1.45, 0, 0), make)
    furniture.add_armchair(pieces.at(-1.75, 0, 1.72, 2.3), make)
    furniture.add_chair(pieces.at(0.35, 0, 1.95, math.pi + 0.25), make)
    furniture.add_cartons(pieces.at(2.1, 0, 0.95, 0.35), make)
    pieces.box((1.95, 0, -1.95), (0.42, 0.3, 0.34), make.wood(PINE), -0.6)
    for wall, x, y, width, height in (
        *((0, -1.0, 1.62, 0.62, 0.46), (0, -0.2, 1.7, 0.4, 0.55), (0, 0.5, 1.55, 0.5, 0.38)),
        *((0, 1.35, 1.55, 0.75, 0.95), (0, -1.95, 1.5, 0.42, 0.58)),
        *((2, -0.35, 1.6, 0.7, 0.5), (2, 0.55, 1.75, 0.45, 0.6), (2, 1.4, 1.6, 0.55, 0.42)),
        *((1, 1.72, 1.5, 0.42, 0.6), (1, -1.78, 1.55, 0.5, 0.4)),
        *((3, 1.15, 1.6, 0.7, 0.85), (2, 0.5, 0.95, 0.32, 0.24)),
    ):
        furniture.add_picture(_wall(pieces, wall).at(x, y, 0), make, (width, height))
