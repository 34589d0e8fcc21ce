"""Marching cubes of single cells, so that a grid need not be stored to be meshed."""

from dataclasses import dataclass
from functools import cache

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


@dataclass(frozen=True)
class CellTriangles:
    """Triangles of separate cells.

    Attributes:
        corners: Values at the corners of the cells.
        cells: The cell that each vertex belongs to; cells share no vertices.
        edges: The edge of the cell on which it lies, as axis + 3 * (offset x + 2 * offset y + 4 * offset z)
            of the edge's lower end, or `NO_EDGE`.
        faces: Triples of vertices, counter-clockwise seen from larger values.
        middles: Coordinates in [0, 1]^3 of the cell of the last vertices, all with `NO_EDGE` among them.
    """

    corners: Float[Tensor, "M 2 2 2"]
    cells: Int64[Tensor, " V"]
    edges: Int64[Tensor, " V"]
    faces: Int64[Tensor, "T 3"]
    middles: Float[Tensor, "W 3"]

    def places(self, vertices: Int64[Tensor, " N"]) -> Float[Tensor, "N 3"]:
        """Coordinates of some vertices in [0, 1]^3 of their cells, float64."""
        edges, values = self.edges[vertices], self.corners.flatten(1)
        lower, axis = edges // 3 % 8, edges % 3
        offsets = torch.stack([lower & 1, lower >> 1 & 1, lower >> 2], dim=1)
        first = self.cells[vertices] * 8 + offsets @ torch.tensor([4, 2, 1])
        near = values.view(-1)[first].double()
        inner = edges == NO_EDGE
        far = values.view(-1)[(first + (4 >> axis)) * ~inner].double()
        places = offsets + torch.eye(3, dtype=torch.float64)[axis] * (near / (near - far))[:, None]
        places[inner] = self.middles[vertices[inner] - len(self.cells)].double()
        return places


def cell_triangles(corners: Float[Tensor, "M 2 2 2"]) -> CellTriangles:
    """Triangles of the zero set in each of M separate cells, the same as in a whole grid.

    What marching cubes (Lewiner et al. 2003, scikit-image) does in a cell follows from the values at its
    eight corners alone, and mostly from their signs: such triangles are looked up. Cells of which the values
    must be known are laid into a volume beside each other, every second one masked out.

    A value that is zero would put the vertices of several edges into one point; so values smaller than 1e-4
    of the largest are taken as this small, with their sign, to choose triangles. This can differ from the
    whole grid only in an ambiguous cell that has two such values.

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
        return CellTriangles(corners, cells, edges, faces, corners.new_empty(0, 3))
    owners, places, triangles = _triangles_by_value(corners[rest], _FLOOR * float(corners.abs().max()))
    return CellTriangles(
        corners,
        torch.cat([cells, rest[owners]]),
        torch.cat([edges, _edges(places)]),
        torch.cat([faces, triangles + len(cells)]),
        places,
    )


@dataclass(frozen=True)
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


def _triangles_by_value(corners: Float[Tensor, "M 2 2 2"], least: float) -> tuple[Tensor, Tensor, Tensor]:
    """Cells and places of vertices, and faces, where no value is smaller than the least."""
    values = torch.where(corners > 0, corners.clamp_min(least), corners.clamp_max(-least))
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


def _edges(places: Float[Tensor, "V 3"]) -> Int64[Tensor, " V"]:
    """Which edge of its cell a vertex lies on, or `NO_EDGE`."""
    between = (places > _NEAR) & (places < 1 - _NEAR)
    upper = (places > 0.5) & ~between
    x, y, z = between.unbind(dim=1)
    axis = y + 2 * z.long()
    lower = upper[:, 0] + 2 * upper[:, 1].long() + 4 * upper[:, 2].long()
    return torch.where(x.long() + y + z == 1, axis + 3 * lower, NO_EDGE)
