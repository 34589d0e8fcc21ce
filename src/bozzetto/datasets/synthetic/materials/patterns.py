"""Periodic patterns: random fields, cells, and scattered objects.

Every map tiles seamlessly. Maps are square float32 arrays, row 0 on top. Positions are in
tiles: x to the right and y downwards, both from 0 to 1. Cells are random or regular, rows of bricks and planks,
or grids of shapes. Scattered objects are stones, leaves, twigs, blades of grass and pits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from ....values import value_type

Map: TypeAlias = NDArray[np.floating]
Rng: TypeAlias = np.random.Generator


def positions(side: int) -> tuple[Map, Map]:
    """x and y of all pixels."""
    steps = (np.arange(side, dtype=np.float32) + 0.5) / side
    x, y = np.meshgrid(steps, steps)
    return x, y


def fractal(
    rng: Rng,
    side: int,
    slope: float = 2.0,
    cycles: tuple[float, float] = (1.0, 1e9),
    stretch: float = 1.0,
    angle: float = 0.0,
) -> Map:
    """Gaussian noise whose amplitude decreases with the frequency, of mean 0 and standard deviation 1.

    Args:
        rng: Source of randomness.
        side: Pixels along a side.
        slope: Amplitudes are proportional to the frequency to the power of -slope: 0 white, 1 pink, 2 smooth.
        cycles: Lowest and highest frequency, in cycles per tile.
        stretch: Ratio of the size of features along the angle to that across it.
        angle: Angle of the stretch in radians, from x towards y.
    """
    v = np.fft.fftfreq(side, 1 / side).astype(np.float32)[:, None]
    u = np.fft.rfftfreq(side, 1 / side).astype(np.float32)
    along = (u * np.cos(angle) + v * np.sin(angle)) * np.sqrt(stretch)
    across = (v * np.cos(angle) - u * np.sin(angle)) / np.sqrt(stretch)
    frequency = np.hypot(along, across)
    amplitude = np.maximum(frequency, 0.5) ** -slope
    amplitude *= np.exp(-((frequency / cycles[1]) ** 4)) * (1 - np.exp(-((frequency / cycles[0]) ** 4)))
    amplitude[0, 0] = 0
    noise = np.fft.rfft2(rng.standard_normal((side, side), np.float32))
    return normal(np.fft.irfft2(noise * amplitude, s=(side, side)))


def normal(values: NDArray[Any]) -> Map:
    """Normalise to mean 0 and standard deviation 1; zeros for a constant."""
    centred = values - values.mean()
    return (centred / max(float(centred.std()), 1e-9)).astype(np.float32)


def to_unit_range(values: NDArray[Any]) -> Map:
    """Scale to the range from 0 to 1; zeros for a constant."""
    low = values.min()
    return ((values - low) / max(float(values.max() - low), 1e-9)).astype(np.float32)


def ramp(values: NDArray[Any], start: float, end: float) -> Map:
    """Smooth step: 0 before the start, 1 after the end."""
    t = ((values - start) / (end - start)).clip(0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def periodic_blur(values: NDArray[Any], sigma: float) -> Map:
    """Periodic Gaussian blur with a standard deviation in pixels."""
    return np.asarray(ndimage.gaussian_filter(values, sigma, mode="wrap", truncate=3.0), np.float32)


def displaced(values: NDArray[Any], right: NDArray[Any], down: NDArray[Any]) -> Map:
    """Look up the value of every pixel at an offset in tiles: a distorted map."""
    side = len(values)
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    where = np.stack([rows + down * side, columns + right * side])
    return np.asarray(ndimage.map_coordinates(values, where, order=1, mode="grid-wrap"), np.float32)


def random_displacements(
    rng: Rng, side: int, amount: float, cycles: float = 4.0, slope: float = 2.0
) -> tuple[Map, Map]:
    """Random displacements in tiles, for the positions of a pattern or for a complete map."""
    return (
        amount * fractal(rng, side, slope, (1.0, 8 * cycles)),
        amount * fractal(rng, side, slope, (1.0, 8 * cycles)),
    )


def log_uniform(rng: Rng, low: float, high: float) -> float:
    """A random number whose logarithm is uniformly distributed."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


@value_type
class CellMap:
    """The piece that each pixel belongs to, and its position in the piece; lengths in tiles.

    Attributes:
        border: Distance to the border of the piece.
        centre: Distance to its centre.
        right, down: Position relative to the centre.
        index: Index of the piece.
        count: Number of pieces.
    """

    border: Map
    centre: Map
    right: Map
    down: Map
    index: npt.NDArray[Any]
    count: int

    def per_piece(self, rng: Rng, spread: float = 1.0) -> Map:
        """A normal random number for each piece."""
        return (spread * rng.standard_normal(self.count)).astype(np.float32)[self.index]


def scattered(rng: Rng, count: int, jitter: float = 1.0) -> npt.NDArray[Any]:
    """About `count` points (P, 2): a jittered square grid."""
    side = max(1, round(np.sqrt(count)))
    rows, columns = np.mgrid[:side, :side]
    grid = np.stack([columns, rows], axis=-1).reshape(-1, 2) + 0.5
    return (grid + jitter * rng.uniform(-0.5, 0.5, grid.shape)) / side % 1


def honeycomb(rows: int) -> npt.NDArray[Any]:
    """Centres (P, 2) of hexagons, an even number of rows so that they repeat."""
    rows += rows % 2
    columns = max(1, round(rows * np.sqrt(3) / 2))
    j, i = np.mgrid[:rows, :columns]
    return np.stack([(i + 0.5 * (j % 2)) / columns, (j + 0.5) / rows], axis=-1).reshape(-1, 2) % 1


def cells(x: Map, y: Map, centres: npt.NDArray[Any], stretch: tuple[float, float] = (1.0, 1.0)) -> CellMap:
    """Cells of the pixels nearest to each centre (Worley 1996, A cellular texture basis function).

    Args:
        x, y: Positions, distorted or not.
        centres: (P, 2), P >= 3.
        stretch: Factors of distances along x and y, for oblong cells.
    """
    box = np.array(stretch, np.float64)
    tree = KDTree(centres % 1 * box % box, boxsize=box)
    where = np.stack([x, y], axis=-1).reshape(-1, 2) % 1 * box % box
    distance, index = tree.query(where, k=min(4, len(centres)))  # borders further off are hidden behind these
    index = np.asarray(index)
    offset = (where[:, None] - tree.data[index] + box / 2) % box - box / 2
    apart = np.linalg.norm(offset[:, 1:] - offset[:, :1], axis=-1)
    border = ((distance[:, 1:] ** 2 - distance[:, :1] ** 2) / (2 * np.maximum(apart, 1e-9))).min(axis=1)
    parts = (border, distance[:, 0], offset[:, 0, 0], offset[:, 0, 1])
    border, centre, right, down = (part.reshape(x.shape).astype(np.float32) for part in parts)
    return CellMap(border, centre, right, down, index[:, 0].reshape(x.shape), len(centres))


def courses(
    rng: Rng, x: Map, y: Map, rows: int, columns: int, shift: float = 0.5, uneven: float = 0.0
) -> CellMap:
    """Rows of rectangles: bricks, planks, slabs.

    Args:
        rng: Source of randomness.
        x, y: Positions, distorted or not.
        rows, columns: Number of rows and columns.
        shift: Shift of every other row, in columns; if negative, all rows are shifted randomly.
        uneven: Spread of the sizes, 0 to 1.
    """
    tops = _cuts(rng, rows, uneven)
    y = y % 1
    row = np.searchsorted(tops, y, side="right").clip(1, rows) - 1
    shifts = rng.random(rows) if shift < 0 else shift * (np.arange(rows) % 2)
    lefts = np.stack([_cuts(rng, columns, uneven) for _ in range(rows)])
    x = (x + (shifts / columns)[row]) % 1
    column = (x[..., None] >= lefts[row][..., 1:-1]).sum(axis=-1) if columns > 1 else np.zeros_like(row)
    left, right = lefts[row, column], lefts[row, column + 1]
    top, bottom = tops[row], tops[row + 1]
    along, down = x - (left + right) / 2, y - (top + bottom) / 2
    border = np.minimum((right - left) / 2 - np.abs(along), (bottom - top) / 2 - np.abs(down))
    border, centre, along, down = (
        part.astype(np.float32) for part in (border, np.hypot(along, down), along, down)
    )
    return CellMap(border, centre, along, down, row * columns + column, rows * columns)


def _cuts(rng: Rng, count: int, uneven: float) -> npt.NDArray[Any]:
    sizes = 1 + uneven * rng.uniform(-0.8, 0.8, count)
    return np.concatenate([[0.0], np.cumsum(sizes) / sizes.sum()])


def shape_distance(rng: Rng, right: Map, down: Map, half: tuple[float, float], kind: str) -> Map:
    """Signed distance, negative inside, to a shape around the origin.

    Args:
        rng: Source of randomness.
        right, down: Position relative to the centre.
        half: Half sizes along x and y.
        kind: `box` (with round corners), `disc`, `cross`, `ring`, `lozenge`.
    """
    a, b = np.abs(right), np.abs(down)
    small = min(half)
    if kind == "disc":
        return (np.hypot(a * small / half[0], b * small / half[1]) - small).astype(np.float32)
    if kind == "ring":
        return (np.abs(np.hypot(a, b) - 0.7 * small) - 0.3 * small).astype(np.float32)
    if kind == "lozenge":
        return ((a / half[0] + b / half[1] - 1) * small * 0.7).astype(np.float32)
    if kind == "cross":
        arm = small * 0.3
        return np.minimum(_box(a, b, small, arm, 0), _box(a, b, arm, small, 0))
    return _box(a, b, *half, rng.uniform(0, small))


def _box(a: Map, b: Map, width: float, height: float, radius: float) -> Map:
    p, q = a - width + radius, b - height + radius
    outside = np.hypot(np.maximum(p, 0), np.maximum(q, 0))
    return (outside + np.minimum(np.maximum(p, q), 0) - radius).astype(np.float32)


Shape = Callable[[Rng, Map, Map], Map]


def dome(rng: Rng, u: Map, v: Map) -> Map:
    """A stone: an ellipsoid, more or less flattened; below 0 outside."""
    inside = 1 - u * u - v * v
    return np.where(inside > 0, np.maximum(inside, 0) ** rng.uniform(0.35, 1.0), -1)


def leaf(rng: Rng, u: Map, v: Map) -> Map:
    """A leaf that narrows to both ends, with a rib, tilted and a little curled."""
    width = np.sqrt(np.maximum(1 - u * u, 0)) * (1 - 0.3 * u)
    inside = np.abs(v) < width
    tilt = rng.uniform(-0.3, 0.3) * u + rng.uniform(-0.3, 0.3) * v
    surface = 0.35 + tilt + rng.uniform(-0.2, 0.3) * v * v - 0.15 * np.exp(-((v / 0.1) ** 2))
    return np.where(inside, np.maximum(surface, 0.02), -1)


def twig(rng: Rng, u: Map, v: Map) -> Map:
    """A round rod along u, bent."""
    bend = rng.uniform(-0.6, 0.6) * (u * u - 0.3)
    return np.where(np.abs(u) < 1, np.sqrt(np.maximum(1 - (v - bend) ** 2, 0)) - 0.05, -1)


def blade(rng: Rng, u: Map, v: Map) -> Map:
    """A blade of grass that rises towards its tip and gets thinner."""
    bend = rng.uniform(-1.5, 1.5) * (u + 1) ** 2 / 4
    inside = np.abs(v - bend) < 0.55 - 0.45 * u
    return np.where(inside & (np.abs(u) < 1), 0.3 + 0.35 * (u + 1) - 0.2 * np.abs(v - bend), -1)


def chip(rng: Rng, u: Map, v: Map) -> Map:
    """A broken piece: a polygon with a tilted flat top."""
    sides = int(rng.integers(3, 7))
    angle = rng.uniform(0, 2 * np.pi) + 2 * np.pi * np.arange(sides) / sides
    reach = rng.uniform(0.5, 0.9, sides)
    sides_of = [r - u * np.cos(a) - v * np.sin(a) for a, r in zip(angle, reach, strict=True)]
    edge = np.minimum.reduce(sides_of)
    top = 0.5 + rng.uniform(-0.35, 0.35) * u + rng.uniform(-0.35, 0.35) * v
    return np.where(edge > 0, np.minimum(top, 4 * edge), -1)


SHAPES: dict[str, Shape] = {"dome": dome, "leaf": leaf, "twig": twig, "blade": blade, "chip": chip}


def scatter(
    rng: Rng,
    ground: Map,
    shape: Shape,
    count: int,
    size: tuple[float, float],
    slender: float,
    thickness: float,
    angles: tuple[float, float] = (0.0, 2 * np.pi),
) -> tuple[Map, Map]:
    """Scatter objects on the ground one by one; each lies on the surface under its middle.

    Args:
        rng: Source of randomness.
        ground: Heights in the unit of the result.
        shape: Height over the ellipse |(u, v)| <= 1; negative outside.
        count: Number of objects.
        size: Smallest and largest half length, in tiles; small ones are more frequent.
        slender: Length over width.
        thickness: Thickness of an object of the largest size.
        angles: Range of directions.

    Returns:
        Heights, and a number from 0 to 1 for the object on top: 0 where there is none.
    """
    side = len(ground)
    height, label = ground.copy(), np.zeros_like(ground)
    for _ in range(count):
        length = size[0] * (size[1] / size[0]) ** (rng.random() ** 1.5)
        reach = max(1, int(np.ceil(length * side)))
        steps = np.arange(-reach, reach + 1, dtype=np.float32) / (length * side)
        angle = rng.uniform(*angles)
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        u = steps * cos + steps[:, None] * sin
        v = (steps[:, None] * cos - steps * sin) * np.float32(slender)
        row, column = rng.integers(0, side, 2)
        window = np.ix_(
            np.arange(row - reach, row + reach + 1) % side,
            np.arange(column - reach, column + reach + 1) % side,
        )
        form = shape(rng, u, v)
        below = height[window]
        top = 0.7 * height[row, column] + 0.3 * ground[row, column] + thickness * (length / size[1]) * form
        on_top = (form > 0) & (top > below)
        height[window] = np.where(on_top, top, below)
        label[window] = np.where(on_top, np.float32(rng.uniform(0.05, 1)), label[window])
    return height, label


@dataclass(frozen=True)
class MaterialSurface:
    """A periodic material.

    Attributes:
        height: Height from 0 to 1; 1 is high.
        tint: Value from 0 to 1 per pixel on which the colour may depend: pieces, layers, grain.
    """

    height: Map
    tint: Map


def chamfered(rng: Rng, pieces: CellMap, joint: float, edge: float) -> Map:
    """0 in joints and 1 on pieces, with edges that are straight, round or pillow-like."""
    t = ((pieces.border - joint) / max(edge, 1e-4)).clip(0, 1)
    return (1 - (1 - t) ** rng.uniform(1, 3)).astype(np.float32)


def uneven_pieces(rng: Rng, pieces: CellMap, amount: float) -> Map:
    """Random heights and tilts of pieces."""
    size = max(float(np.abs(pieces.right).max()), 1e-6)
    tilt = pieces.right * pieces.per_piece(rng) + pieces.down * pieces.per_piece(rng)
    return amount * (pieces.per_piece(rng) + rng.uniform(0, 1) * tilt / size)


def tint_of(rng: Rng, pieces: CellMap) -> Map:
    """A random tint for every piece."""
    return rng.random(pieces.count).astype(np.float32)[pieces.index]


def bent_positions(rng: Rng, side: int, most: float) -> tuple[Map, Map]:
    """Positions x and y of pixels, in most cases distorted by up to about `most`."""
    x, y = positions(side)
    if rng.random() < 0.3:
        return x, y
    right, down = random_displacements(
        rng, side, log_uniform(rng, most / 20, most), rng.uniform(2, 8), rng.uniform(1.2, 2.2)
    )
    return x + right, y + down


def transposed_or_not(rng: Rng, surface: MaterialSurface) -> MaterialSurface:
    """Transpose at random."""
    if rng.random() < 0.5:
        return surface
    return MaterialSurface(surface.height.T.copy(), surface.tint.T.copy())
