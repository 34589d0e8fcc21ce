"""Marching cubes of single cells, so that a grid need not be stored to be meshed."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from skimage.measure import marching_cubes
from torch import Tensor

NO_EDGE = 24
"""Stands for a vertex in the middle of a cell where others have the edge that they lie on."""

_ROW = 32  # cells along an axis of the volume that is handed over: coordinates stay small and so precise
_FLOOR = 1e-4  # least size of a value, relative to the largest
_NEAR = 2e-5  # coordinates closer to a node than this are on it: less than _FLOOR, more than rounding


@dataclass(frozen=True)
class CellTriangles:
    """Triangles of separate cells.

    Attributes:
        cells: The cell that each vertex belongs to; cells share no vertices.
        edges: The edge of the cell on which it lies, as axis + 3 * (offset x + 2 * offset y + 4 * offset z)
            of the edge's lower end, or `NO_EDGE`.
        places: Its coordinates in [0, 1]^3 of the cell.
        faces: Triples of vertices, counter-clockwise seen from larger values.
    """

    cells: Int64[Tensor, " V"]
    edges: Int64[Tensor, " V"]
    places: Float[Tensor, "V 3"]
    faces: Int64[Tensor, "T 3"]


def cell_triangles(corners: Float[Tensor, "M 2 2 2"]) -> CellTriangles:
    """Triangles of the zero set in each of M separate cells, the same as in a whole grid.

    What marching cubes (Lewiner et al. 2003, scikit-image) does in a cell follows from the values at its
    eight corners alone. So cells are laid into a volume beside each other, every second one masked out.

    A value that is zero would put the vertices of several edges into one point; so values smaller than 1e-4
    of the largest are taken as this small, with their sign, to choose triangles. This can differ from the
    whole grid only in an ambiguous cell that has two such values.

    Args:
        corners: Values at the corners, indexed by the offset along x, y and z, on the CPU. Every cell has
            both positive and non-positive ones.
    """
    least = _FLOOR * float(corners.abs().max())
    values = torch.where(corners > 0, corners.clamp_min(least), corners.clamp_max(-least))
    parts = [_triangles(part) for part in values.split(_ROW**3)]
    starts = np.cumsum([0] + [len(places) for _, places, _ in parts]).tolist()
    places = torch.cat([places for _, places, _ in parts])
    return CellTriangles(
        torch.cat([cells + _ROW**3 * i for i, (cells, _, _) in enumerate(parts)]),
        _edges(places),
        places,
        torch.cat([faces + start for (_, _, faces), start in zip(parts, starts, strict=False)]),
    )


def _triangles(values: Float[Tensor, "M 2 2 2"]) -> tuple[Tensor, Tensor, Tensor]:
    """Cells and places of vertices, and faces."""
    count = len(values)
    layers = -(-count // _ROW**2)
    padded = torch.cat([values, values.new_ones(layers * _ROW**2 - count, 2, 2, 2)])
    volume = padded.view(layers, _ROW, _ROW, 2, 2, 2).permute(0, 3, 1, 4, 2, 5)
    volume = volume.reshape(2 * layers, 2 * _ROW, 2 * _ROW).numpy()
    mask = np.zeros(volume.shape, dtype=bool)
    mask[1::2, 1::2, 1::2] = True  # a cell is switched on at its last corner
    vertices, faces, _, _ = marching_cubes(volume, 0.0, gradient_direction="descent", mask=mask)
    corners = torch.from_numpy(np.ascontiguousarray(vertices))
    block = (corners / 2).floor()
    x, y, z = block.long().unbind(dim=1)
    return (x * _ROW + y) * _ROW + z, corners - 2 * block, torch.from_numpy(faces.astype(np.int64))


def _edges(places: Float[Tensor, "V 3"]) -> Int64[Tensor, " V"]:
    """Which edge of its cell a vertex lies on, or `NO_EDGE`."""
    between = (places > _NEAR) & (places < 1 - _NEAR)
    upper = (places > 0.5) & ~between
    x, y, z = between.unbind(dim=1)
    axis = y + 2 * z.long()
    lower = upper[:, 0] + 2 * upper[:, 1].long() + 4 * upper[:, 2].long()
    return torch.where(x.long() + y + z == 1, axis + 3 * lower, NO_EDGE)
