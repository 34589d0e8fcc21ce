"""Marching cubes of single cells, so that a grid need not be stored to be meshed."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from skimage.measure import marching_cubes
from torch import Tensor

NO_EDGE = 24
"""Stands for a vertex in the middle of a cell where others have the edge that they lie on."""

_ROW = 32  # cells along an axis of the volume that is handed over: coordinates stay small and so precise
_FLOOR = 1e-4  # least size of a value, relative to the largest
_NEAR = 2e-5  # coordinates closer to a node than this are on it: less than _FLOOR, more than rounding


def cell_triangles(
    corners: Float[Tensor, "M 2 2 2"],
) -> tuple[Int64[Tensor, " T"], Int64[Tensor, "T 3"], Float[Tensor, "T 3 3"]]:
    """Triangles of the zero set in each of M separate cells, the same as in a whole grid.

    What marching cubes (Lewiner et al. 2003, scikit-image) does in a cell follows from the values at its
    eight corners alone. So cells are laid into a volume beside each other, every second one masked out.

    A value that is zero would put the vertices of several edges into one point; so values smaller than 1e-4
    of the largest are taken as this small, with their sign, to choose triangles. This can differ from the
    whole grid only in an ambiguous cell that has two such values.

    Args:
        corners: Values at the corners, indexed by the offset along x, y and z, on the CPU. Every cell has
            both positive and non-positive ones.

    Returns:
        The cell of each triangle; for each of its corners the cell's edge that it lies on, as
        axis + 3 * (offset x + 2 * offset y + 4 * offset z) of the edge's lower end, or `NO_EDGE`; and its
        coordinates in [0, 1]^3 of the cell.
    """
    values = corners.detach().double()
    values = torch.where(values > 0, 1.0, -1.0) * values.abs().clamp_min(_FLOOR * float(values.abs().max()))
    parts = [_triangles(part) for part in values.split(_ROW**3)]
    starts = range(0, len(corners), _ROW**3)
    cells = torch.cat([cell + start for start, (cell, _) in zip(starts, parts, strict=True)])
    places = torch.cat([place for _, place in parts])
    return cells, _edges(places), places


def _triangles(values: Float[Tensor, "M 2 2 2"]) -> tuple[Int64[Tensor, " T"], Float[Tensor, "T 3 3"]]:
    """Cell of each triangle, and its corners in coordinates of the cell."""
    count = len(values)
    layers = -(-count // _ROW**2)
    padded = torch.cat([values, values.new_ones(layers * _ROW**2 - count, 2, 2, 2)])
    volume = padded.view(layers, _ROW, _ROW, 2, 2, 2).permute(0, 3, 1, 4, 2, 5)
    volume = volume.reshape(2 * layers, 2 * _ROW, 2 * _ROW).numpy()
    mask = np.zeros(volume.shape, dtype=bool)
    mask[1::2, 1::2, 1::2] = True  # a cell is switched on at its last corner
    vertices, faces, _, _ = marching_cubes(volume, 0.0, gradient_direction="descent", mask=mask)
    corners = torch.from_numpy(np.ascontiguousarray(vertices)).double()[
        torch.from_numpy(faces.astype(np.int64))
    ]
    block = (corners.mean(dim=1) / 2).floor()
    x, y, z = block.long().unbind(dim=1)
    return (x * _ROW + y) * _ROW + z, corners - 2 * block[:, None]


def _edges(places: Float[Tensor, "T 3 3"]) -> Int64[Tensor, "T 3"]:
    """Which edge of its cell a vertex lies on, or `NO_EDGE`."""
    between: Bool[Tensor, "T 3 3"] = (places > _NEAR) & (places < 1 - _NEAR)
    axis = between.long().argmax(dim=-1)
    lower = places.round().long().masked_fill(between, 0)
    edge = axis + 3 * (lower * torch.tensor([1, 2, 4])).sum(dim=-1)
    return torch.where(between.sum(dim=-1) == 1, edge, NO_EDGE)
