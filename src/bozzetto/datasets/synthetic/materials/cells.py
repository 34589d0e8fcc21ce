"""Surfaces of separate pieces: random and regular cells, courses of bricks and planks, grids of shapes."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

from ....values import value_type
from .noise import Map, Rng


@value_type
class CellMap:
    """Which piece a pixel belongs to and where in it, lengths in tiles.

    Attributes:
        border: Distance to the border of the piece.
        centre: Distance to its centre.
        right, down: Position relative to the centre.
        index: Number of the piece.
        count: How many there are.
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
    """About so many points (P, 2): a square grid that is disturbed by shares of its step."""
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
    """Pixels go to their nearest centre (Worley 1996, A cellular texture basis function).

    Args:
        x, y: Positions, bent or not.
        centres: (P, 2), P >= 3.
        stretch: Lengths along x and y count so many times, so that cells become oblong.
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
        x, y: Positions, bent or not.
        rows, columns: How many.
        shift: Of every other row, in columns; negative shifts all rows randomly.
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
