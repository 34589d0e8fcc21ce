"""Marching cubes of single cells, so that a grid need not be stored to be meshed."""

from functools import cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from skimage.measure import marching_cubes
from torch import Tensor

from ..values import value_type

NO_EDGE = 24
"""Stands for a vertex in the middle of a cell where others have the edge that they lie on."""

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
        edges: The edge of the cell on which it lies, as axis + 3 * (offset x + 2 * offset y + 4 * offset z)
            of the edge's lower end, or `NO_EDGE`.
        faces: Triples of vertices, counter-clockwise seen from larger values.
        walls: Faces that lie in a side of their cell, where a tunnel ends, and that side, as 2 * axis + offset.
    """

    corners: Float[Tensor, "M 2 2 2"]
    cells: Int64[Tensor, " V"]
    edges: Int64[Tensor, " V"]
    faces: Int64[Tensor, "T 3"]
    walls: Int64[Tensor, "W 2"]

    def places(self, vertices: Int64[Tensor, " N"], margin: Float64[Tensor, "3"]) -> Float64[Tensor, "N 3"]:
        """Coordinates of some vertices in [0, 1]^3 of their cells.

        A vertex on an edge lies where the linear function between the values at its ends is zero, but not
        nearer than the margin to an end. Whatever the places on the edges, the triangles of a cell do not
        intersect then. A vertex inside of a cell is the mean of its neighbours, which all lie on edges.

        Args:
            vertices: Which.
            margin: Least distance from the ends of an edge along each axis, as a share of its length.
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
        """For every cell the mean place of the neighbours of its vertex inside; 0 where there is none."""
        fan = self.faces[(self.edges[self.faces] == NO_EDGE).any(dim=1)].flatten()
        rim = fan[self.edges[fan] != NO_EDGE]  # every one twice
        owners = self.cells[rim]
        sums = torch.zeros(len(self.corners), 3, dtype=torch.float64)
        sums.index_add_(0, owners, self._on_edges(rim, margin))
        return sums / torch.bincount(owners, minlength=len(sums)).clamp_min(1)[:, None]


def cell_triangles(corners: Float[Tensor, "M 2 2 2"]) -> CellTriangles:
    """Triangles of the zero set in each of M separate cells, the same as in a whole grid.

    What marching cubes (Lewiner et al. 2003, scikit-image) does in a cell follows from the values at its
    eight corners alone, and mostly from their signs: such triangles are looked up. Cells of which the values
    must be known are laid into a volume beside each other, every second one masked out.

    Zero counts as negative. To choose triangles in ambiguous cells, values smaller than 1e-4 of the largest
    are taken as this small, with their sign, and negative ones as larger by 1.5e-5, so that no decision
    is a tie, which two cells might take in different ways. Only which of the possible triangles a cell gets
    depends on that; where their vertices lie does not.

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
    """Triangles for each of the 256 patterns of signs, none where they depend on more.

    Attributes:
        edges: Edges on which the vertices lie, -1 behind the last.
        vertices: How many they are.
        faces: Triples of these vertices, -1 behind the last.
        ambiguous: Whether values must be known.
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
    """Cells and places of vertices, and faces, of values up to a size."""
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
