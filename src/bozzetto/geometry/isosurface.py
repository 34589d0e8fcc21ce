"""Marching cubes: surfaces of functions sampled on a regular grid, or on single cells of it.

Single cells can be meshed without storing the grid.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from numpy.typing import NDArray
from skimage.measure import marching_cubes
from torch import Tensor

from ..errors import InputError
from ..shapes import Mesh
from ..values import value_type

NO_EDGE = 24
"""Number in place of an edge for a vertex in the middle of a cell."""

_ROW = 32  # cells along an axis of the volume that is handed over: coordinates stay small and so precise
_FLOOR = 1e-4  # least size of a value, relative to the largest
_NEAR = 2e-5  # coordinates closer to a node than this are on it: less than _FLOOR, more than rounding
_BIAS = 1 + 2**-16  # factor of values inside, which decides between products that are equal


@value_type
class CellTriangles:
    """Triangles of separate cells.

    Attributes:
        corners: Values at the corners of the cells.
        cells: The cell that each vertex belongs to; cells share no vertices.
        edges: The edge of the cell on which the vertex lies, as axis + 3 * (offset x + 2 * offset y + 4 *
            offset z)
            of the edge's lower end, or `NO_EDGE`.
        faces: Triples of vertices, counter-clockwise seen from larger values.
        walls: Faces in a side of their cell, at the end of a tunnel; and the number of the side, 2 * axis +
            offset.
    """

    corners: Float[Tensor, "M 2 2 2"]
    cells: Int64[Tensor, " V"]
    edges: Int64[Tensor, " V"]
    faces: Int64[Tensor, "T 3"]
    walls: Int64[Tensor, "W 2"]

    def places(self, vertices: Int64[Tensor, " N"], margin: Float64[Tensor, "3"]) -> Float64[Tensor, "N 3"]:
        """Coordinates of some vertices in [0, 1]^3 of their cells.

        A vertex on an edge lies where the linear function between the values at its ends is zero, but not
        nearer than the margin to an end. Then the triangles of a cell do not intersect, for any positions on
        the edges. A vertex inside of a cell is the mean of its neighbours, which all lie on edges.

        Args:
            vertices: Cells and edges of the vertices.
            margin: Least distance from the ends of an edge along each axis, as a fraction of its length.
        """
        places = self._on_edges(vertices, margin)
        if (inner := self.edges[vertices] == NO_EDGE).any():
            places[inner] = self._middles(margin)[self.cells[vertices[inner]]]
        return places

    def _on_edges(self, vertices: Int64[Tensor, " N"], margin: Float64[Tensor, "3"]) -> Tensor:
        edges, values = self.edges[vertices] % NO_EDGE, self.corners.flatten()
        lower, axis = edges // 3, edges % 3
        offsets = torch.stack([lower & 1, lower >> 1 & 1, lower >> 2], dim=1)
        first = self.cells[vertices] * 8 + offsets @ torch.tensor([4, 2, 1])
        near, far = values[first].double(), values[first + (4 >> axis)].double()
        least = margin[axis]
        along = (near / (near - far)).nan_to_num(0.5).clamp(least, 1 - least)
        return offsets.double().scatter_add_(1, axis[:, None], along[:, None])

    def _middles(self, margin: Float64[Tensor, "3"]) -> Float64[Tensor, "M 3"]:
        """For every cell, the mean position of the neighbours of its inner vertex; 0 where there is none."""
        fan = self.faces[(self.edges[self.faces] == NO_EDGE).any(dim=1)].flatten()
        rim = fan[self.edges[fan] != NO_EDGE]  # every one twice
        owners = self.cells[rim]
        sums = torch.zeros(len(self.corners), 3, dtype=torch.float64)
        sums.index_add_(0, owners, self._on_edges(rim, margin))
        return sums / torch.bincount(owners, minlength=len(sums)).clamp_min(1)[:, None]


def cell_triangles(corners: Float[Tensor, "M 2 2 2"]) -> CellTriangles:
    """Triangles of the zero set in each of M separate cells, the same as in a whole grid.

    The triangles of marching cubes (Lewiner et al. 2003, scikit-image) in a cell depend on the values at its
    eight corners only, and mostly on their signs; then a table is used. Other cells are placed side by side in
    a volume, with a masked cell after each, and meshed by scikit-image.

    Zero counts as negative. For the choice of triangles in ambiguous cells, absolute values are raised to at
    least 1e-4 of the largest, and those of negative values by 1.5e-5, so that there are no ties, which two
    cells might decide differently. The positions of vertices do not depend on this.

    Source: Lewiner et al. 2003, the case table.

    Args:
        corners: Values at the corners, indexed by the offset along x, y and z, on the CPU. Every cell has
            both positive and non-positive ones.
    """
    table = _table()
    pattern = ((corners.flatten(1) > 0).float() @ 2.0 ** torch.arange(8)).long()
    edges, faces = table.edges[pattern], table.faces[pattern]
    cells, k = (edges >= 0).nonzero().T
    edges = edges[cells, k]
    owners, k = (faces[:, :, 0] >= 0).nonzero().T
    first = table.vertices[pattern].cumsum(dim=0) - table.vertices[pattern]
    faces = faces[owners, k] + first[owners, None]
    rest = table.ambiguous[pattern].nonzero()[:, 0]
    if len(rest) == 0:
        return CellTriangles(corners, cells, edges, faces, faces.new_empty(0, 2))
    owners, places, triangles = _triangles_by_value(corners[rest], float(corners.abs().max()))
    inner = _edges(places)
    face, side = _in_side(inner[triangles]).nonzero(as_tuple=True)
    return CellTriangles(
        corners,
        torch.cat([cells, rest[owners]]),
        torch.cat([edges, inner]),
        torch.cat([faces, triangles + len(cells)]),
        torch.stack([face + len(faces), side], dim=1),
    )


@value_type
class _Table:
    """Triangles for each of the 256 patterns of signs; none where they depend on values, too.

    Attributes:
        edges: Edges on which the vertices lie, padded with -1.
        vertices: Number of vertices per pattern.
        faces: Triples of these vertices, padded with -1.
        ambiguous: Whether the triangles depend on the values.
    """

    edges: Int64[Tensor, "256 E"]
    vertices: Int64[Tensor, "256"]
    faces: Int64[Tensor, "256 F 3"]
    ambiguous: Bool[Tensor, "256"]


@cache
def _table() -> _Table:
    signs = 2.0 * (torch.arange(256)[:, None] >> torch.arange(8) & 1) - 1
    # Ambiguous inside: two opposite corners against six others. Ambiguous on a face: diagonals of two signs.
    ambiguous = (signs == signs.flip(1)).all(dim=1) & (signs.sum(dim=1).abs() == 4)
    for face in [signs.view(256, 2, 2, 2).select(axis, side) for axis in (1, 2, 3) for side in (0, 1)]:
        a, b, c, d = face.flatten(1).T
        ambiguous |= (a == d) & (b == c) & (a != b)
    rows = (~ambiguous & (signs.sum(dim=1).abs() < 8)).nonzero()[:, 0]
    cells, places, faces = _triangles(signs[rows].view(-1, 2, 2, 2))
    owners, vertices = rows[cells], torch.bincount(rows[cells], minlength=256)
    first = vertices.cumsum(dim=0) - vertices
    edges = torch.full((256, int(vertices.max())), -1)
    edges[owners, torch.arange(len(cells)) - first[owners]] = _edges(places)
    owners = owners[faces[:, 0]]
    counts = torch.bincount(owners, minlength=256)
    triangles = torch.full((256, int(counts.max()), 3), -1)
    rank = torch.arange(len(faces)) - (counts.cumsum(dim=0) - counts)[owners]
    triangles[owners, rank] = faces - first[owners, None]
    return _Table(edges, vertices, triangles, ambiguous)


def _triangles_by_value(corners: Float[Tensor, "M 2 2 2"], most: float) -> tuple[Tensor, Tensor, Tensor]:
    """Cells and positions of vertices, and faces, for values up to an absolute value."""
    share = corners.double() / most  # of values so small that nothing is left of them the sign still counts
    values = torch.where(corners > 0, share.clamp_min(_FLOOR), _BIAS * share.clamp_max(-_FLOOR)).float()
    parts = [_triangles(part) for part in values.split(_ROW**3)]
    starts = np.cumsum([0] + [len(places) for _, places, _ in parts]).tolist()
    return (
        torch.cat([cells + _ROW**3 * i for i, (cells, _, _) in enumerate(parts)]),
        torch.cat([places for _, places, _ in parts]),
        torch.cat([faces + start for (_, _, faces), start in zip(parts, starts, strict=False)]),
    )


def _triangles(values: Float[Tensor, "M 2 2 2"]) -> tuple[Tensor, Tensor, Tensor]:
    """Cells and positions of vertices, and faces."""
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


def _in_side(edges: Int64[Tensor, "T 3"]) -> Bool[Tensor, "T 6"]:
    """Whether triangles between edges of a cell lie in its sides."""
    lower, along = edges // 3, edges % 3
    axis = torch.arange(6) // 2
    offset = lower[..., None] >> axis & 1
    inside = (offset == torch.arange(6) % 2) & (along[..., None] != axis) & (edges != NO_EDGE)[..., None]
    return inside.all(dim=1)


def _edges(places: Float[Tensor, "V 3"]) -> Int64[Tensor, " V"]:
    """Which edge of its cell a vertex lies on, or `NO_EDGE`."""
    between = (places > _NEAR) & (places < 1 - _NEAR)
    upper = (places > 0.5) & ~between
    x, y, z = between.unbind(dim=1)
    axis = y + 2 * z.long()
    lower = upper[:, 0] + 2 * upper[:, 1].long() + 4 * upper[:, 2].long()
    return torch.where(x.long() + y + z == 1, axis + 3 * lower, NO_EDGE)


MARGIN = 1e-3
"""Least distance of vertices from the nodes of the grid, as a fraction of the edge. Without it, all vertices
near a node would coincide if its value equals the level."""
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
        margin: Least distance of vertices from the nodes, as a fraction of the edge along each axis.

    Returns:
        Positions of the vertices, in units of the spacing from the first node, in the order of their edges; and
        the faces.
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


def isosurface(
    values: Float[Tensor, "X Y Z"],
    low: Sequence[float] | Float[Tensor, "3"],
    high: Sequence[float] | Float[Tensor, "3"],
    level: float = 0.0,
    close: bool = False,
) -> Mesh:
    """The surface where a function sampled on a regular grid equals `level`.

    Marching cubes with the topological case table of Lewiner et al. 2003 (scikit-image). The mesh is manifold,
    closed where the surface does not leave the grid, has no faces without area, and does not intersect
    itself, whatever the values are. A value of exactly `level` counts as inside.

    To this end vertices keep a distance of a thousandth of the spacing from the nodes of the grid, where the
    original puts all vertices around a node with the value `level` into one point. (The distance is larger if
    float32 coordinates are coarser: eight roundings.) So does the lid of `close`. A vertex inside of a cell
    is the mean of its neighbours; the original weighs the corners of the cell. Where two neighbouring
    cells both have a tunnel that ends at their common face, the tunnels are joined; the original puts a wall
    there from each side.

    Source: Lewiner et al. 2003, the case table.

    Args:
        values: Samples, smaller than `level` inside (a signed distance, or minus a density). Index
            (0, 0, 0) lies at `low`, (X-1, Y-1, Z-1) at `high`. At least two samples along each axis.
        low: Low corner of the grid, in the frame and unit that the mesh shall have.
        high: High corner of the grid.
        level: The value on the surface.
        close: Treat everything beyond the grid as outside, so that a shape which reaches the border is
            cut there by a flat lid and the mesh is always closed.

    Returns:
        The mesh on the device of `values`, faces counter-clockwise seen from outside (larger values).

    Raises:
        InputError: A sample is NaN or infinite, an axis has one sample, the corners are out of order, or
            no sample lies on one of the sides of `level`.
    """
    grid = values.detach().cpu().to(torch.promote_types(values.dtype, torch.float32)).numpy()
    first, last = (
        torch.as_tensor(corner, dtype=torch.float64).cpu().expand(3).contiguous() for corner in (low, high)
    )
    _check(grid, first, last, level)
    level = float(grid.dtype.type(level))  # what the same number among the values is
    outside = grid > level
    if close:
        outside = np.pad(outside, 1, constant_values=True)
    if not outside.any() or outside.all():
        raise InputError(
            f"no surface at level {level:g}: the values run from {grid.min():g} to {grid.max():g}; "
            "choose a level between them or a larger grid"
        )
    step = (last - first) / (torch.tensor(grid.shape) - 1)
    margin = grid_margin(first, last, step)
    cells = _crossed(outside)
    corners = _corners(grid, cells - int(close), level)
    places, faces = grid_triangles(cells, corners, outside.shape, margin)
    if close:
        places = _with_lid(places - 1, torch.tensor(grid.shape) - 1, margin)
    return Mesh((first + places * step).float(), faces).to(values.device)


def _check(grid: NDArray[Any], low: Float64[Tensor, "3"], high: Float64[Tensor, "3"], level: float) -> None:
    if min(grid.shape) < 2:
        raise InputError(f"a grid needs two samples along each axis, got {grid.shape}")
    if not np.isfinite(grid).all() or not np.isfinite(level):
        raise InputError("the grid has NaN or infinite values; replace them before extracting a surface")
    if not (low < high).all():
        raise InputError(f"the low corner {low.tolist()} must be below the high corner {high.tolist()}")


def _crossed(outside: NDArray[np.bool_]) -> Int64[Tensor, "C 3"]:
    """Lower corners of the cells with corners on both sides."""
    number = outside.view(np.int8)
    number = number[1:] + number[:-1]
    number = number[:, 1:] + number[:, :-1]
    number = number[:, :, 1:] + number[:, :, :-1]
    crossed = np.flatnonzero((number & 7) != 0)  # of the eight corners neither none nor all
    return torch.from_numpy(np.stack(np.unravel_index(crossed, number.shape), axis=1))


def _corners(grid: NDArray[Any], cells: Int64[Tensor, "C 3"], level: float) -> Float64[Tensor, "C 2 2 2"]:
    """Values minus the level at the corners of cells; beyond the border, the largest absolute value of all."""
    nodes = cells.numpy()[:, :, None] + np.arange(2)  # (C, axis, side)
    x, y, z = (nodes[:, axis].clip(0, n - 1) for axis, n in enumerate(grid.shape))
    corners = grid[x[:, :, None, None], y[:, None, :, None], z[:, None, None, :]].astype(np.float64) - level
    x, y, z = ((nodes[:, axis] >= 0) & (nodes[:, axis] < n) for axis, n in enumerate(grid.shape))
    within = x[:, :, None, None] & y[:, None, :, None] & z[:, None, None, :]
    return torch.from_numpy(np.where(within, corners, np.abs(corners).max() or 1.0))


def _with_lid(
    places: Float64[Tensor, "V 3"], last: Int64[Tensor, "3"], margin: Float64[Tensor, "3"]
) -> Float64[Tensor, "V 3"]:
    """Put vertices beyond the border onto it, and shrink the cells there by the margin.

    Without the margin, the vertices of the lid around a node of the border would coincide.
    """
    low, high = (1 - places).clamp(0, 1), (places - last + 1).clamp(0, 1)
    return (places + margin * (low - high)).where(places >= 0, 0.0).where(places <= last, last.double())
