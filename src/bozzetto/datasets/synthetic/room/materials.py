"""Textures of the materials of a room, and finishes for each of its parts.

Wood, plaster, wallpaper, rugs, cloth and the view outside of the window are sRGB arrays (H, W, 3) float32, row
0 on top, with a given number of texels per metre. Textures are not periodic: repeated parts would cause wrong
matches between photographs.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage

from ..materials.patterns import Map, Rng, courses, ramp, to_unit_range
from . import materials
from .panels import Finish
from .prints import PIGMENTS, Color, Picture, blended, canvas, field, ink_of, pixels, sprig


def wood(rng: Rng, shape: tuple[int, int], per_metre: float, light: Color, dark: Color) -> Picture:
    """Planed wood, its grain along x: year rings cut at a slant, fibres, pores and a few knots."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32) / np.float32(per_metre)
    bent = rows + 0.012 * field(rng, shape, 2.4, stretch=7.0)
    knots = np.zeros(shape, np.float32)
    for _ in range(rng.poisson(1.5 * shape[0] * shape[1] / per_metre**2)):
        x, y = rng.uniform(0, shape[1]) / per_metre, rng.uniform(0, shape[0]) / per_metre
        size = rng.uniform(0.006, 0.016)
        near = np.exp(-(((columns - x) / (3 * size)) ** 2) - ((rows - y) / (1.6 * size)) ** 2)
        bent = bent + np.sign(rows - y) * size * 1.2 * near
        knots = np.maximum(knots, np.exp(-(((columns - x) / size) ** 2) - ((rows - y) / (0.7 * size)) ** 2))
    rings = 0.5 + 0.5 * np.sin(
        2 * np.pi * bent / rng.uniform(0.009, 0.016) + 1.3 * field(rng, shape, 2.0, 40)
    )
    fibres = field(rng, shape, 0.6, stretch=40.0)
    pores = ramp(field(rng, shape, 0.3, stretch=14.0), 1.6, 2.6)
    tone = 0.45 * rings**2 + 0.13 * fibres + 0.16 * field(rng, shape, 2.0, 12) + 0.25
    picture = blended(tone, light, dark)
    picture *= (1 - 0.35 * pores - 0.75 * knots)[..., None]
    return picture.clip(0.01, 1)


def floorboards(rng: Rng, shape: tuple[int, int], per_metre: float) -> Picture:
    """Oak boards along x of different tone, with joints, worn and scratched."""
    grain = wood(rng, shape, per_metre, (0.72, 0.55, 0.38), (0.47, 0.31, 0.19))
    x = (np.arange(shape[1], dtype=np.float32) / shape[1])[None].repeat(shape[0], axis=0)
    y = (np.arange(shape[0], dtype=np.float32) / shape[0])[:, None].repeat(shape[1], axis=1)
    rows = round(shape[0] / per_metre / 0.115)
    boards = courses(rng, x, y, rows, max(2, round(shape[1] / per_metre / 1.3)), -1, 0.4)
    shift = rng.integers(0, shape[1], boards.count)[boards.index]
    columns = (np.arange(shape[1])[None] + shift) % shape[1]
    picture = grain[np.arange(shape[0])[:, None], columns]
    tone = 1 + 0.13 * boards.per_piece(rng)[..., None] * np.array([1, 1, 1], np.float32)
    tone = tone + 0.04 * boards.per_piece(rng)[..., None] * np.array([1, 0, -1], np.float32)
    edge = boards.border * shape[0] / per_metre
    joint = 1 - 0.75 * ramp(-edge, -0.0022, -0.0006)
    return (picture * tone * joint[..., None] * worn(rng, shape, per_metre)[..., None]).clip(0.01, 1)


def worn(rng: Rng, shape: tuple[int, int], per_metre: float, amount: float = 1.0) -> Map:
    """Wear of a surface as a factor: dull patches, stains and scratches."""
    patches = 1 + 0.05 * amount * field(rng, shape, 1.7)
    image = Image.new("L", (shape[1], shape[0]), 0)
    draw = ImageDraw.Draw(image)
    area = shape[0] * shape[1] / per_metre**2
    for _ in range(rng.poisson(25 * amount * area)):
        x, y = rng.uniform(0, shape[1]), rng.uniform(0, shape[0])
        angle, length = rng.uniform(0, math.pi), rng.exponential(0.04) * per_metre
        end = (x + length * math.cos(angle), y + length * math.sin(angle))
        draw.line((x, y, *end), fill=int(rng.integers(40, 200)), width=1)
    for _ in range(rng.poisson(14 * amount * area)):
        x, y = rng.uniform(0, shape[1]), rng.uniform(0, shape[0])
        r = min(rng.exponential(0.004) + 0.001, 0.02) * per_metre
        draw.ellipse((x - r, y - r * rng.uniform(0.5, 1), x + r, y + r), fill=int(rng.integers(30, 120)))
    marks = ndimage.gaussian_filter(np.asarray(image, np.float32) / 255, 0.6)
    return (patches * (1 - 0.35 * marks)).astype(np.float32)


def plaster(rng: Rng, shape: tuple[int, int], per_metre: float, color: Color) -> Picture:
    """A painted wall: almost one colour, rolled, with marks of use."""
    tone = 1 + 0.018 * field(rng, shape, 1.6) + 0.014 * field(rng, shape, 0.4, 0.06 * max(shape))
    factor = tone * (0.4 + 0.6 * worn(rng, shape, per_metre, 0.3))
    return (np.array(color, np.float32) * factor[..., None]).clip(0.01, 1).astype(np.float32)


def wallpaper(
    rng: Rng, shape: tuple[int, int], per_metre: float, ground: Color, inks: list[Color]
) -> Picture:
    """Paper with sprigs painted by hand: each of its own size, bend and ink."""
    image = canvas(shape, ground)
    draw = ImageDraw.Draw(image)
    step = 0.17 * per_metre
    for row in range(int(shape[0] / step) + 2):
        for column in range(int(shape[1] / step) + 2):
            x = (column + 0.5 * (row % 2) + rng.uniform(-0.3, 0.3)) * step
            y = (row + rng.uniform(-0.3, 0.3)) * step
            sprig(rng, draw, x, y, rng.uniform(0.06, 0.11) * per_metre, inks)
    picture = pixels(image)
    tone = 1 + 0.03 * field(rng, shape, 1.4) + 0.02 * field(rng, shape, 0.3)
    return (picture * tone[..., None]).clip(0.01, 1)


def rug(rng: Rng, shape: tuple[int, int], per_metre: float) -> Picture:
    """A woven rug: borders and bands of knotted ornaments, all different."""
    yarns = [ink_of(PIGMENTS[k]) for k in (5, 9, 0, 3, 4, 10, 1)]
    knots = (int(shape[0] / per_metre / 0.006), int(shape[1] / per_metre / 0.006))
    image = Image.new("RGB", (knots[1], knots[0]), yarns[0])
    draw = ImageDraw.Draw(image)
    for inset in range(0, 18, 3):
        box = (inset, inset, knots[1] - 1 - inset, knots[0] - 1 - inset)
        draw.rectangle(box, outline=yarns[rng.integers(len(yarns))], width=3)
    y = 20
    while y < knots[0] - 30:
        band = int(rng.integers(12, 30))
        draw.rectangle((18, y, knots[1] - 19, y + band), fill=yarns[rng.integers(len(yarns))])
        x = 18 + int(rng.integers(2, 10))
        while x < knots[1] - 22 - band:
            _knotted(rng, draw, x, y + 1, min(band - 2, int(rng.integers(8, 24))), yarns)
            x += int(rng.integers(band // 2, band + 10))
        y += band + int(rng.integers(1, 5))
    flat = np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.BILINEAR), np.float32) / 255
    rows = np.arange(shape[0], dtype=np.float32)[:, None] / per_metre
    weft = 1 + 0.10 * np.sin(2 * np.pi * rows / 0.006) + 0.10 * field(rng, shape, 0.2)
    return (flat * (weft + 0.08 * field(rng, shape, 1.5))[..., None]).clip(0.01, 1).astype(np.float32)


def _knotted(rng: Rng, draw: ImageDraw.ImageDraw, x: int, y: int, size: int, yarns: list[str]) -> None:
    middle = size / 2
    for ring in range(int(rng.integers(2, 5))):
        r = middle * (1 - ring / 4)
        ink = yarns[rng.integers(len(yarns))]
        a, b = x + middle, y + middle
        if rng.random() < 0.6:
            draw.polygon([(a - r, b), (a, b - r), (a + r, b), (a, b + r)], fill=ink)
        else:
            draw.rectangle((a - 0.6 * r, b - 0.6 * r, a + 0.6 * r, b + 0.6 * r), fill=ink)


def cloth(rng: Rng, shape: tuple[int, int], per_metre: float, color: Color, stripe: Color) -> Picture:
    """Linen with irregular stripes along y, threads and folds."""
    columns = np.arange(shape[1], dtype=np.float32)[None] / per_metre
    stripes = np.zeros_like(columns)
    for _ in range(max(3, round(12 * shape[1] / per_metre))):
        place, width = rng.uniform(0, shape[1] / per_metre), rng.uniform(0.004, 0.03)
        stripe_here = ramp(-np.abs(columns - place), -width, 0.002 - width)
        stripes = np.maximum(stripes, rng.uniform(0.3, 1) * stripe_here)
    picture = blended(stripes.repeat(shape[0], axis=0), color, stripe)
    thread = 1 + 0.05 * field(rng, shape, 0.2, stretch=12.0) + 0.05 * field(rng, shape, 0.2, stretch=1 / 12)
    return (picture * (thread + 0.04 * field(rng, shape, 1.8))[..., None]).clip(0.01, 1)


def outdoors(rng: Rng, shape: tuple[int, int]) -> Picture:
    """The view outside of a window: a bright sky, blurred trees and a roof."""
    rows = np.mgrid[: shape[0], : shape[1]][0].astype(np.float32) / shape[0]
    sky = blended(rows * 1.2, (0.80, 0.90, 1.0), (1.0, 1.0, 1.0))
    crowns = ramp(field(rng, shape, 2.2) * 0.18 + rows - 0.62, 0, 0.08)[..., None]
    leaves = blended(to_unit_range(field(rng, shape, 1.3)), (0.28, 0.38, 0.18), (0.62, 0.70, 0.40))
    picture = sky * (1 - crowns) + leaves * crowns
    return ndimage.gaussian_filter(picture, (3, 3, 0)).clip(0.02, 1)


Painter = Callable[[Rng, tuple[int, int], float], np.ndarray]
OAK: tuple[Color, Color] = (0.72, 0.56, 0.38), (0.48, 0.33, 0.2)
WALNUT: tuple[Color, Color] = (0.42, 0.28, 0.18), (0.22, 0.13, 0.08)
PINE: tuple[Color, Color] = (0.82, 0.68, 0.47), (0.62, 0.44, 0.26)
WHITE: Color = (0.86, 0.85, 0.82)


class Finishes:
    """Factory of finishes from one seed.

    Attributes:
        detail: Texels per length, relative to the default.
    """

    def __init__(self, seed: int, detail: float) -> None:
        self.detail = detail
        self._rng = np.random.default_rng(seed)
        self._density = 800.0 * min(detail, 1.0)  # of veneers
        board = (round(1.3 * self._density), round(2.6 * self._density))
        self._veneers = {
            tones: materials.wood(self.rng(), board, self._density, *tones) for tones in (OAK, WALNUT, PINE)
        }

    def rng(self) -> Rng:
        """A separate random generator for one part, so that parts are independent."""
        return np.random.default_rng(self._rng.integers(2**63))

    def painted(self, paint: Painter, per_metre: float, **others: float) -> Finish:
        """A finish with a picture for one part; `others` are attributes of `Finish`."""
        rng = self.rng()
        return Finish(lambda shape, density: paint(rng, shape, density), per_metre * self.detail, **others)

    def plain(self, color: Sequence[float], **others: float) -> Finish:
        """One sRGB colour."""
        picture = np.ones((2, 2, 3), np.float32) * np.array(color, np.float32)
        return Finish(lambda shape, density: picture, 2.0, **{"grain": 0.12, "spacing": 0.1, **others})

    def wood(self, tones: tuple[Color, Color], **others: float) -> Finish:
        """Cut out of a large board, the grain along the longer side."""
        rng, veneer = self.rng(), self._veneers[tones]

        def cut(shape: tuple[int, int], density: float) -> npt.NDArray[Any]:
            size = [min(n, m) for n, m in zip(sorted(shape), veneer.shape[:2], strict=True)]
            y, x = (rng.integers(0, m - n + 1) for n, m in zip(size, veneer.shape[:2], strict=True))
            board = veneer[y : y + size[0], x : x + size[1]] * rng.uniform(0.85, 1.12)
            board = board[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])].clip(0, 1)
            return board if shape[1] >= shape[0] else board.transpose(1, 0, 2)

        return Finish(cut, self._density, **{"grain": 0.08, "gloss": 0.02, **others})
