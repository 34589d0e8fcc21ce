"""Marching cubes of the cells of a regular grid that a surface crosses."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from .cell_triangles import CellTriangles, cell_triangles

MARGIN = 1e-3
"""How near vertices come to a node of the grid, as a share of the edge: where the value of a node is the level,
or nearly, the vertices of its edges would fall into one point."""
_ROUNDINGS, _MOST = 8, 0.25
_STRIDES = torch.tensor(
    [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1], [1, 0, 1], [0, 1, 1], [1, 1, 1]]
)


def grid_margin(
    low: Float64[Tensor, "3"], high: Float64[Tensor, "3"], step: Float64[Tensor, "3"]
) -> Float64[Tensor, "3"]:
    """The margin along each axis: `MARGIN`, or eight roundings of float32 coordinates if these are coarser."""
    rounding = torch.maximum(low.abs(), high.abs()) * torch.finfo(torch.float32).eps / step
    return (_ROUNDINGS * rounding).clamp(MARGIN, _MOST)


def grid_triangles(
    cells: Int64[Tensor, "C 3"],
    corners: Float[Tensor, "C 2 2 2"],
    counts: Sequence[int],
    margin: Float64[Tensor, "3"],
) -> tuple[Float64[Tensor, "V 3"], Int64[Tensor, "F 3"]]:
    """Triangles of all cells of a grid, with one vertex per crossed edge.

    If every crossed cell of the grid is given, the surface is manifold, ends only at the border of the grid,
    has no faces without area, and does not intersect itself.

    Args:
        cells: Lower corners as node indices, on the CPU.
        corners: Values at the corners, positive outside; every cell has both kinds.
        counts: Nodes along each axis.
        margin: Least distance of vertices from the nodes, as a share of the edge along each axis.

    Returns:
        Where the vertices lie, in units of the spacing from the first node, in the order of their edges;
        and the faces.
    """
    parts = cell_triangles(corners)
    stride = torch.tensor([counts[1] * counts[2], counts[2], 1])
    ends = torch.cat([_STRIDES @ stride, torch.zeros(1, dtype=torch.int64)])  # of edges, and none
    kinds = torch.cat([torch.arange(3).repeat(8), torch.tensor([3])])
    key = 4 * ((cells @ stride)[parts.cells] + ends[parts.edges // 3]) + kinds[parts.edges]
    unique, welded = key.unique(return_inverse=True)
    first = torch.empty_like(unique)
    first[welded] = torch.arange(len(welded))
    places = cells[parts.cells[first]] + parts.places(first, margin)
    return places, welded[parts.faces][_kept(parts, cells, stride)]


def _kept(
    parts: CellTriangles, cells: Int64[Tensor, "C 3"], stride: Int64[Tensor, "3"]
) -> Bool[Tensor, " F"]:
    """All faces but the walls between the tunnels of two neighbouring cells, which become one."""
    kept = torch.ones(len(parts.faces), dtype=torch.bool)
    face, side = parts.walls.T
    axis = side // 2
    node = (cells @ stride)[parts.cells[parts.faces[face, 0]]] + side % 2 * stride[axis]
    _, name, count = (3 * node + axis).unique(return_inverse=True, return_counts=True)
    kept[face[count[name] == 4]] = False  # two in each cell
    return kept
