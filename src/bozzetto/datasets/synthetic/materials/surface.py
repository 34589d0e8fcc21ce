"""What all recipes make, and the means that several of them use."""

from dataclasses import dataclass

import numpy as np

from .cells import CellMap
from .noise import Map, Rng, log_uniform, positions, random_displacements


@dataclass(frozen=True)
class MaterialSurface:
    """A material that repeats.

    Attributes:
        height: From 0 to 1; 1 is high.
        tint: A number from 0 to 1 per pixel that the colour may depend on: pieces, layers, grain.
    """

    height: Map
    tint: Map


def chamfered(rng: Rng, pieces: CellMap, joint: float, edge: float) -> Map:
    """0 in joints and 1 on pieces, with edges that are straight, round or pillow-like."""
    t = ((pieces.border - joint) / max(edge, 1e-4)).clip(0, 1)
    return (1 - (1 - t) ** rng.uniform(1, 3)).astype(np.float32)


def uneven_pieces(rng: Rng, pieces: CellMap, amount: float) -> Map:
    """Every piece higher or lower, and tilted."""
    size = max(float(np.abs(pieces.right).max()), 1e-6)
    tilt = pieces.right * pieces.per_piece(rng) + pieces.down * pieces.per_piece(rng)
    return amount * (pieces.per_piece(rng) + rng.uniform(0, 1) * tilt / size)


def tint_of(rng: Rng, pieces: CellMap) -> Map:
    """A tint of its own for every piece."""
    return rng.random(pieces.count).astype(np.float32)[pieces.index]


def bent_positions(rng: Rng, side: int, most: float) -> tuple[Map, Map]:
    """Positions x and y of pixels, mostly bent by up to about `most`."""
    x, y = positions(side)
    if rng.random() < 0.3:
        return x, y
    right, down = random_displacements(
        rng, side, log_uniform(rng, most / 20, most), rng.uniform(2, 8), rng.uniform(1.2, 2.2)
    )
    return x + right, y + down


def transposed_or_not(rng: Rng, surface: MaterialSurface) -> MaterialSurface:
    """As it is, or rows for columns."""
    if rng.random() < 0.5:
        return surface
    return MaterialSurface(surface.height.T.copy(), surface.tint.T.copy())
