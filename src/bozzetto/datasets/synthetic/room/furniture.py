"""Furniture: the base of every piece is at y = 0 of its local frame, and its front faces +z."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ....shapes import Mesh
from ..bust import vase
from ..materials.patterns import Rng
from . import materials, prints
from .materials import OAK, PINE, WALNUT, Finishes, Painter
from .panels import Finish, PartCollector, Vector
from .prints import PIGMENTS, Color

Printer = Callable[[Rng, tuple[int, int]], np.ndarray]
ALL = "frlbtu"
"""The sides of a box that is visible from all sides."""


def add_table(pieces: PartCollector, make: Finishes, height: float, size: float = 0.84) -> None:
    """A square table with a newspaper and cards on it, its middle at the origin."""

    def board(rng: Rng, shape: tuple[int, int], density: float) -> npt.NDArray[Any]:
        picture = materials.wood(rng, shape, density, (0.50, 0.33, 0.2), (0.27, 0.16, 0.09))
        return picture * materials.worn(rng, shape, density, 3.0)[..., None]

    thick, half = 0.03, 0.5 * size
    top = make.painted(board, 1400, spacing=0.0075, gloss=0.05, grain=0.1)
    pieces.panel((-half, height, half), (size, 0, 0), (0, 0, -size), top)
    pieces.box((0, height - thick, 0), (size, thick, size), make.wood(WALNUT), 0, "frlbu")
    inner = half - 0.06
    for x in (-inner, inner):
        for z in (-inner, inner):
            pieces.box((x, 0, z), (0.055, height - thick, 0.055), make.wood(WALNUT), 0, "frlb")
    for k in range(4):
        side = pieces.at(0, height - thick - 0.1, 0, 0.5 * math.pi * k)
        side.box((0, 0, inner), (size - 0.17, 0.1, 0.02), make.wood(WALNUT), 0, "fb")
    _paper(pieces.at(-0.24, height, 0.26, 0.5), make, (0.21, 0.28), prints.newspaper)
    for x, z, width, length, turn in (
        (0.29, 0.25, 0.15, 0.105, -0.35),
        (0.27, -0.28, 0.105, 0.15, 0.2),
        (-0.30, -0.27, 0.14, 0.2, -0.3),
    ):
        _paper(pieces.at(x, height, z, turn), make, (width, length), prints.painting)


def _paper(pieces: PartCollector, make: Finishes, size: tuple[float, float], paint: Printer) -> None:
    """A printed sheet that lies flat."""
    w, d, thick = *size, 0.0015
    print_ = make.painted(lambda rng, shape, _: paint(rng, shape), 1500, spacing=0.0075)
    pieces.panel((-0.5 * w, thick, 0.5 * d), (w, 0, 0), (0, 0, -d), print_)
    pieces.box((0, 0, 0), (w, thick, d), make.plain((0.85, 0.83, 0.78)), 0, "frlb")


def add_bookshelf(pieces: PartCollector, make: Finishes, long: float = 2.2, high: float = 2.05) -> None:
    """Two bays of shelves full of books, all different; its back is at z = 0."""
    deep, thick = 0.29, 0.024
    pieces.panel((-0.5 * long, 0, 0.01), (long, 0, 0), (0, high, 0), make.wood(OAK))
    for x in (0.5 * (thick - long), 0.0, 0.5 * (long - thick)):
        pieces.box((x, 0, 0.5 * deep), (thick, high, deep), make.wood(OAK))
    shelves = [0.06, 0.44, 0.79, 1.12, 1.44, 1.74, high - thick]
    for y in shelves:
        pieces.box((0, y, 0.5 * deep), (long - thick, thick, deep - 0.002), make.wood(OAK), 0, "ftu")
    rng = make.rng()
    for shelf, above in zip(shelves, shelves[1:], strict=False):
        for start in (-0.5 * long + thick, 0.5 * thick):
            row = pieces.at(start, shelf + thick, deep)
            _add_books(row, make, rng, 0.5 * long - 1.5 * thick, above - shelf - thick)


def _add_books(pieces: PartCollector, make: Finishes, rng: Rng, long: float, room: float) -> None:
    """A row of books along x, with occasional gaps."""
    x = rng.uniform(0, 0.02)
    while True:
        if rng.random() < 0.05:
            x += rng.uniform(0.05, 0.2)
        thick = float(rng.uniform(0.012, 0.05))
        if x + thick > long:
            return
        height = float(min(rng.uniform(0.17, 0.30), room - 0.01))
        depth = float(rng.uniform(0.14, 0.23))
        base = (x + 0.5 * thick, 0, -0.5 * depth - rng.uniform(0.01, 0.05))
        pieces.box(base, (thick - 0.0005, height, depth), _cover(make, rng), front=_spine(make))
        x += thick


def _cover(make: Finishes, rng: Rng) -> Finish:
    return make.plain(PIGMENTS[rng.integers(len(PIGMENTS))])


def _spine(make: Finishes, lying: bool = False) -> Finish:
    def paint(rng: Rng, shape: tuple[int, int], density: float) -> npt.NDArray[Any]:
        if lying:
            return np.rot90(prints.spine(rng, (shape[1], shape[0])))
        return prints.spine(rng, shape)

    return make.painted(paint, 1000, grain=0.08, gloss=0.02)


def add_sideboard(pieces: PartCollector, make: Finishes) -> None:
    """Six drawers; books, a plant and a vase on top; its back is at z = 0."""
    w, h, d = 1.7, 0.78, 0.42
    pieces.box((0, 0.08, 0.5 * d), (w, h - 0.08, d), make.wood(WALNUT), 0, "frlt")
    for i in (-1, 0, 1):
        for y in (0.11, 0.44):
            x = i * w / 3
            pieces.box((x, y, d + 0.009), (w / 3 - 0.03, 0.30, 0.018), make.wood(WALNUT))
            handle = make.plain((0.6, 0.5, 0.3), gloss=0.1)
            pieces.box((x, y + 0.15, d + 0.029), (0.08, 0.015, 0.02), handle, 0, ALL)
    for x in (-0.75, 0.75):
        pieces.box((x, 0, 0.3), (0.05, 0.08, 0.05), make.wood(WALNUT), 0, "frlb")
    jar = vase(0.4)
    glaze = torch.tensor([[0.10, 0.22, 0.34]]).expand_as(jar.vertices).contiguous()
    jar = Mesh(0.8 * jar.vertices, jar.faces, glaze)
    pieces.at(0.62, h, 0.2).mesh(jar, Finish(grain=0.3, gloss=0.15))
    rng, y = make.rng(), h
    for _ in range(5):
        thick = float(rng.uniform(0.015, 0.04))
        size = (float(rng.uniform(0.2, 0.27)), thick, float(rng.uniform(0.14, 0.19)))
        turn = float(rng.uniform(-0.3, 0.3))
        pieces.box((-0.45, y, 0.22), size, _cover(make, rng), turn, front=_spine(make, lying=True))
        y += thick
    pieces.box((-0.05, h, 0.2), (0.2, 0.17, 0.2), make.plain((0.75, 0.72, 0.66)), 0.4)
    add_plant(pieces.at(-0.05, h + 0.16, 0.2), make, 0.38, 60, 0.19)


def add_plant(pieces: PartCollector, make: Finishes, size: float, leaves: int, wall: float) -> None:
    """Leaves on all sides, bent by their weight and by the wall at z = -`wall`."""
    rng = make.rng()
    s, t = torch.meshgrid(torch.linspace(-1, 1, 5), torch.linspace(0, 1, 9), indexing="ij")
    for _ in range(leaves):
        rise = float(rng.uniform(0.3, 1.3))
        length, width = size * float(rng.uniform(0.6, 1.1)), size * float(rng.uniform(0.06, 0.12))
        out = length * t * math.cos(rise) + 0.1 * length * t**2
        across = width * s * torch.sin(math.pi * t.clamp(0.02, 0.98)) ** 0.7
        up = length * (t * math.sin(rise) - 0.55 * t**2) + 0.2 * across.abs()
        green = make.plain([c * rng.uniform(0.8, 1.3) for c in (0.22, 0.36, 0.14)], gloss=0.05, grain=0.3)
        heading = float(rng.uniform(0, 2 * math.pi))
        c, d = math.cos(heading), math.sin(heading)
        x, z = c * across + d * out, (c * out - d * across).clamp_min(-wall)
        pieces.sheet(torch.stack([x, up, z], dim=-1), (0.1, 0.1), green)


def add_armchair(pieces: PartCollector, make: Finishes) -> None:
    """An armchair, upholstered in striped cloth, with a cushion."""
    cover = _fabric((0.30, 0.38, 0.36), (0.5, 0.52, 0.44))
    for base, size in (
        ((0, 0.12, 0.02), (0.5, 0.3, 0.55)),
        ((0, 0.12, -0.33), (0.76, 0.78, 0.16)),
        ((-0.32, 0.12, 0.0), (0.14, 0.48, 0.62)),
        ((0.32, 0.12, 0.0), (0.14, 0.48, 0.62)),
    ):
        pieces.box(base, size, make.painted(cover, 600))
    cushion = make.painted(_fabric((0.60, 0.5, 0.36), (0.45, 0.2, 0.16)), 600)
    pieces.box((0, 0.43, -0.16), (0.4, 0.32, 0.12), cushion)


def add_chair(pieces: PartCollector, make: Finishes) -> None:
    """A wooden chair with a pad on its seat."""
    for x in (-0.19, 0.19):
        pieces.box((x, 0, 0.19), (0.035, 0.44, 0.035), make.wood(PINE))
        pieces.box((x, 0, -0.19), (0.035, 0.9, 0.035), make.wood(PINE))
    for y in (0.55, 0.67, 0.79):
        pieces.box((0, y, -0.19), (0.35, 0.07, 0.02), make.wood(PINE), 0, ALL)
    pieces.box((0, 0.44, 0), (0.44, 0.025, 0.44), make.wood(PINE), 0, ALL)
    pad = make.painted(_fabric((0.60, 0.5, 0.36), (0.45, 0.2, 0.16)), 600)
    pieces.box((0, 0.465, 0), (0.38, 0.03, 0.38), pad)


def _fabric(color: Color, stripe: Color) -> Painter:
    def paint(rng: Rng, shape: tuple[int, int], density: float) -> npt.NDArray[Any]:
        return materials.cloth(rng, shape, density, color, stripe)

    return paint


def add_cartons(pieces: PartCollector, make: Finishes) -> None:
    """Two cardboard boxes, one on the other."""

    def card(rng: Rng, shape: tuple[int, int], density: float) -> npt.NDArray[Any]:
        return materials.plaster(rng, shape, density, (0.58, 0.44, 0.3))

    pieces.box((0, 0, 0), (0.4, 0.28, 0.3), make.painted(card, 400))
    pieces.box((0.02, 0.28, 0), (0.3, 0.2, 0.24), make.painted(card, 400), 0.2)


def add_door(pieces: PartCollector, make: Finishes) -> None:
    """A door with six panels; its back is at z = 0."""
    paint = make.plain((0.80, 0.78, 0.72), gloss=0.04)
    pieces.box((0, 0, 0.02), (0.95, 2.08, 0.04), paint, 0, "frlt")
    for y, height in ((0.14, 0.6), (0.86, 0.5), (1.48, 0.48)):
        for x in (-0.2, 0.2):
            pieces.box((x, y, 0.047), (0.3, height, 0.014), paint)
    pieces.box((0.4, 1.02, 0.07), (0.12, 0.02, 0.02), make.plain((0.55, 0.5, 0.4), gloss=0.2), 0, ALL)


def add_picture(pieces: PartCollector, make: Finishes, size: tuple[float, float]) -> None:
    """A framed painting; its middle is the origin, its back at z = 0."""
    w, h = size
    frame = make.wood((OAK, WALNUT, PINE)[make.rng().integers(3)])
    pieces.box((0, -0.5 * h - 0.03, 0.01), (w + 0.06, h + 0.06, 0.02), frame)
    art = make.painted(lambda rng, shape, _: prints.painting(rng, shape), 600)
    pieces.panel((-0.5 * w, -0.5 * h, 0.022), (w, 0, 0), (0, h, 0), art)


def add_window(pieces: PartCollector, make: Finishes, half: float, low: float, high: float) -> None:
    """A window with curtains and a plant on its sill; the wall is z = 0, the middle of the window x = 0."""
    view = make.painted(lambda rng, shape, _: materials.outdoors(rng, shape), 120, glow=5.0, grain=0.0)
    pieces.panel((-half, low, 0.02), (2 * half, 0, 0), (0, high - low, 0), view)
    white = make.plain((0.86, 0.85, 0.82))
    for x, thick in ((0.0, 0.05), (-half, 0.08), (half, 0.08)):
        pieces.box((x, low, 0.03), (thick, high - low, 0.06), white, 0, ALL)
    for y in (low - 0.04, high - 0.03, 1.72):
        pieces.box((0, y, 0.03), (2 * half + 0.08, 0.06, 0.055), white, 0, ALL)
    pieces.box((0, low - 0.07, 0.11), (2 * half + 0.2, 0.03, 0.22), white, 0, ALL)
    s, t = torch.meshgrid(torch.linspace(0, 1, 90), torch.linspace(0, 1, 30), indexing="ij")
    for side in (-1, 1):
        fold = torch.sin(2 * math.pi * 7.3 * s + 1.5 * side + 0.8 * torch.sin(5 * t))
        x = side * (half + 0.26) + 0.28 * (2 * s - 1) * (1 - 0.15 * torch.sin(2.5 * t))
        points = torch.stack([x, 0.25 + 2.15 * t, 0.14 + 0.035 * fold * (1.2 - 0.5 * t)], dim=-1)
        pieces.sheet(points, (1.1, 2.15), make.painted(_fabric((0.66, 0.60, 0.50), (0.45, 0.25, 0.2)), 400))
    pieces.box((0, high + 0.15, 0.14), (2 * half + 1.3, 0.03, 0.03), make.wood(WALNUT), 0, ALL)
    pieces.box((-0.45, low - 0.04, 0.12), (0.13, 0.12, 0.13), make.plain((0.55, 0.3, 0.2)), 0.3)
    add_plant(pieces.at(-0.45, low + 0.08, 0.12), make, 0.22, 40, 0.08)


def add_skirting(pieces: PartCollector, make: Finishes, long: float, base: Vector = (0, 0, 0.01)) -> None:
    """A board along the foot of a wall."""
    pieces.box(base, (long, 0.09, 0.02), make.plain((0.86, 0.85, 0.82)), 0, "ft")
