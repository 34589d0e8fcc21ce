"""The closed surface through oriented points (Kazhdan and Hoppe 2013), on nested regular grids.

It is a level of a function whose gradient follows the normals. The finer grids cover the neighbourhood of
points only.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
import torch
from jaxtyping import Bool, Float, Int64
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import LinearOperator, cg
from scipy.spatial import KDTree
from torch import Tensor
from torch.nn.functional import normalize

from ..shapes import Mesh
from ..values import value_type
from .isosurface import grid_margin, grid_triangles

CORNERS = np.array(list(np.ndindex(2, 2, 2)))
"""Offsets of the eight corners of a cell, z fastest."""
_BITS = 20  # of a coordinate in a key


@value_type
class OrientedSamples:
    """Oriented points.

    Attributes:
        places: Positions, in cells of the coarsest grid.
        normals: Unit vectors.
        areas: Area of the surface that each point represents, in squares of these cells.
        depth: Index of the finest grid that each point is used in; 0 is the coarsest.
    """

    places: Float[np.ndarray, "P 3"]
    normals: Float[np.ndarray, "P 3"]
    areas: Float[np.ndarray, " P"]
    depth: Int64[np.ndarray, " P"]


def key_of(nodes: Int64[np.ndarray, "*batch 3"]) -> Int64[np.ndarray, " *batch"]:
    """One integer per node of a grid, in the lexicographic order of the nodes."""
    return (nodes[..., 0] << 2 * _BITS) + (nodes[..., 1] << _BITS) + nodes[..., 2]


def node_of(keys: Int64[np.ndarray, " N"]) -> Int64[np.ndarray, "N 3"]:
    """The nodes of keys: the inverse of `key_of`."""
    low = (1 << _BITS) - 1
    return np.stack([keys >> 2 * _BITS, keys >> _BITS & low, keys & low], axis=1)


def found(keys: Int64[np.ndarray, " N"], wanted: Int64[np.ndarray, " M"]) -> Bool[np.ndarray, " M"]:
    """Whether wanted keys are among sorted keys."""
    place = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return keys[place] == wanted


def cube(side: int) -> Int64[np.ndarray, " N"]:
    """Keys of all nodes of a cube of `side` nodes along each axis, ascending."""
    axis = np.arange(side)
    return ((axis[:, None, None] << 2 * _BITS) + (axis[:, None] << _BITS) + axis).ravel()


def trilinear(
    nodes: Int64[np.ndarray, " N"], corner: Int64[np.ndarray, "P 3"], fraction: Float[np.ndarray, "P 3"]
) -> tuple[Int64[np.ndarray, "P 8"], Float[np.ndarray, "P 8"]]:
    """Indices of the corners of cells among the nodes, and their trilinear weights at positions in the
    cells."""
    rows = np.searchsorted(nodes, key_of(corner[:, None] + CORNERS))
    weights = np.where(CORNERS, fraction[:, None], 1 - fraction[:, None]).prod(axis=2)
    return rows, weights


def flux(samples: OrientedSamples, nodes: Int64[np.ndarray, " N"], axis: int) -> Float[np.ndarray, " N"]:
    """The normals along an axis, at the middle of the edge that leaves each node in that direction."""
    places = samples.places - 0.5 * np.eye(3)[axis]
    corner = np.floor(places).astype(np.int64)
    rows, weights = trilinear(nodes, corner, places - corner)
    weights *= (samples.areas * samples.normals[:, axis])[:, None]
    return np.bincount(rows.ravel(), weights.ravel(), minlength=len(nodes))


def filtered(values: npt.NDArray[Any], response: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Multiply every coefficient of the cosine transform of a grid by a factor."""
    grid = values.reshape(response.shape)
    cosines = np.asarray(scipy.fft.dctn(grid, norm="ortho", workers=-1))
    return np.asarray(scipy.fft.idctn(cosines * response, norm="ortho", workers=-1)).ravel()


def normal_divergence(samples: OrientedSamples, side: int) -> Float[np.ndarray, "S S S"]:
    """Divergence of the sum of the normals, on all nodes of a cube."""
    nodes = cube(side)
    result = np.zeros((side,) * 3)
    for axis in range(3):
        along = np.moveaxis(flux(samples, nodes, axis).reshape(result.shape), axis, 0)
        part = np.moveaxis(result, axis, 0)
        part[:-1] += along[:-1]
        part[1:] -= along[:-1]
    return result


def eigenvalues(side: int) -> Float[np.ndarray, "S S S"]:
    """Eigenvalues of the seven-point Laplacian of a cube, one per coefficient of the cosine transform."""
    angle = 2 - 2 * np.cos(np.pi * np.arange(side) / side)
    return angle[:, None, None] + angle[:, None] + angle


BORDER = 0.1
"""Weight that pulls the border of the coarsest grid to the value outside; the function jumps by 1."""
LID = 1e-3
"""Least excess of values at the border of the cube over the level, so that the surface is closed within it."""
BAND = 2
"""Number of coarse cells around points that a finer grid covers."""


@value_type
class Grid:
    """A part of a regular grid.

    Attributes:
        cells: Keys of the lower corners of its cells, in order.
        nodes: Keys of the corners of its cells, in order.
        values: The function at the nodes.
    """

    cells: Int64[np.ndarray, " C"]
    nodes: Int64[np.ndarray, " N"]
    values: Float[np.ndarray, " N"]


class NestedGrids:
    """The function f that minimises |grad f - V|^2 + screening f^2 at the points, on nested grids.

    V is the sum of the normals of the points, each spread over the cells around it, so that f is -1/2 inside
    and 1/2 outside. Differences of f along the edges of a grid are fitted to V in the middle of the edges,
    which makes the equations those of the usual seven-point Laplacian. The coarsest grid fills the whole
    cube. Every finer one, with cells half as wide, covers the cells near points that are dense enough for it;
    at its border it continues the coarser one, as in the cascadic solver of Kazhdan and Hoppe 2013.

    Source: Kazhdan and Hoppe 2013, the cascadic solver.
    """

    def __init__(self, samples: OrientedSamples, cells: int, levels: int, screening: float) -> None:
        """Solve on a grid with `cells` cells along each axis, and then on the finer ones."""
        self.count = cells
        self._places = samples.places
        base = cube(cells + 1)
        self.grids: list[Grid] = [Grid(cube(cells), base, _solved_cube(samples, cells + 1, screening))]
        for level in range(1, levels + 1):
            deep = samples.depth >= level
            if not deep.any():
                break
            near = np.floor(samples.places[deep] * 2 ** (level - 1)).astype(np.int64)
            coarse = _dilated(_unique(near), BAND)
            coarse = coarse[np.isin(key_of(coarse), self.grids[-1].cells)]
            fine = _unique((2 * coarse[:, None] + CORNERS).reshape(-1, 3))
            nodes = _unique((fine[:, None] + CORNERS).reshape(-1, 3))
            start = self.at(nodes / 2, level - 1)
            inner = np.bincount(
                np.searchsorted(key_of(nodes), key_of(fine[:, None] + CORNERS).ravel()), minlength=len(nodes)
            )
            scaled = OrientedSamples(
                samples.places * 2**level, samples.normals, samples.areas * 4**level, samples.depth
            )
            values = _solved(scaled, key_of(fine), nodes, start, inner == 8, screening)
            self.grids.append(Grid(key_of(fine), key_of(nodes), values))
        at_points = self.at(samples.places * 2 ** (len(self.grids) - 1))
        self.level: float = float(np.average(at_points, weights=samples.areas))
        side, whole = cells + 1, self.grids[0]
        border = np.pad(np.zeros((side - 2,) * 3, dtype=bool), 1, constant_values=True).ravel()
        whole.values[border] = np.maximum(whole.values[border], self.level + LID)

    def at(self, places: Float[np.ndarray, "P 3"], level: int | None = None) -> Float[np.ndarray, " P"]:
        """The function at positions in cells of a level (default: the finest), from the finest grid up to this
        level."""
        level = len(self.grids) - 1 if level is None else level
        result = np.full(len(places), 0.5)
        open_ = np.arange(len(places))
        for depth in range(level, -1, -1):
            grid, scaled = self.grids[depth], places[open_] / 2 ** (level - depth)
            side = self.count * 2**depth
            corner = np.floor(scaled).astype(np.int64).clip(0, side - 1)
            there = found(grid.cells, key_of(corner))
            # A node on the border of a grid belongs to a cell of it on one side only.
            rows, weights = trilinear(grid.nodes, corner[there], scaled[there] - corner[there])
            result[open_[there]] = (weights * grid.values[rows]).sum(axis=1)
            open_ = open_[~there]
        return result

    def surface(self) -> Mesh:
        """The level set at the mean value of the function at the points, in cells of the coarsest grid."""
        side = self.count + 1
        above = self.grids[0].values.reshape(side, side, side) > self.level
        number = sum(above[x : x + side - 1, y : y + side - 1, z : z + side - 1] for x, y, z in CORNERS)
        cells = np.argwhere((number > 0) & (number < 8))
        finest = len(self.grids) - 1
        for level in range(1, finest):
            cells = (2 * cells[:, None] + CORNERS).reshape(-1, 3)
            cells = cells[self._mixed(cells, level)[0]]
        if finest:
            cells = (2 * cells[:, None] + CORNERS).reshape(-1, 3)
        seen = np.floor(self._places * 2**finest).astype(np.int64)
        cells = _unique(np.concatenate([cells, seen]))
        mixed, values = self._mixed(cells, finest)
        known, cells, values = key_of(cells), cells[mixed], values[mixed]
        front, ahead = cells, values
        while len(front):  # follow the surface into cells that were not looked at
            beyond = self._inside(_behind(front, ahead), finest)
            beyond = beyond[~found(np.sort(known), key_of(beyond))]
            mixed, ahead = self._mixed(beyond, finest)
            known = np.concatenate([known, key_of(beyond)])
            front, ahead = beyond[mixed], ahead[mixed]
            cells, values = np.concatenate([cells, front]), np.concatenate([values, ahead])
        return _welded(cells, values, self.count, 2**finest)

    def _inside(self, cells: npt.NDArray[Any], level: int) -> npt.NDArray[Any]:
        return cells[((cells >= 0) & (cells < self.count * 2**level)).all(axis=1)]

    def _mixed(
        self, cells: Int64[np.ndarray, "C 3"], level: int
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Which cells have both signs, and the values at the corners of all."""
        keys, index = np.unique(key_of(cells[:, None] + CORNERS), return_inverse=True)
        values = (self.at(node_of(keys).astype(float), level) - self.level)[index.reshape(-1, 8)]
        above = (values > 0).sum(axis=1)
        return (above > 0) & (above < 8), values


def _unique(nodes: Int64[np.ndarray, "N 3"]) -> Int64[np.ndarray, "M 3"]:
    """Distinct cells, in the order of their keys."""
    return node_of(np.unique(key_of(nodes)))


def _dilated(cells: Int64[np.ndarray, "N 3"], reach: int) -> Int64[np.ndarray, "M 3"]:
    """All cells at most the given number of cells away along each axis."""
    for axis in range(3):
        shift = np.zeros((2 * reach + 1, 3), np.int64)
        shift[:, axis] = np.arange(-reach, reach + 1)
        cells = (cells[:, None] + shift).reshape(-1, 3)
        cells = _unique(cells[(cells >= 0).all(axis=1)])
    return cells


def _screen(samples: OrientedSamples, nodes: Int64[np.ndarray, " N"], screening: float) -> csr_matrix:
    """The matrix of the squares of values at the points."""
    corner = np.floor(samples.places).astype(np.int64)
    rows, weights = trilinear(nodes, corner, samples.places - corner)
    start = np.arange(len(rows) + 1) * 8
    splat = csr_matrix((weights.ravel(), rows.ravel(), start), shape=(len(rows), len(nodes)))
    return csr_matrix(screening * splat.T @ splat.multiply(samples.areas[:, None]))


def _seven_point_laplacian(values: Float[np.ndarray, "S S S"]) -> Float[np.ndarray, "S S S"]:
    """Positive semi-definite; nothing flows through the border of the cube."""
    result = np.zeros_like(values)
    for axis in range(3):
        slope = np.moveaxis(np.diff(values, axis=axis), axis, 0)
        part = np.moveaxis(result, axis, 0)
        part[:-1] -= slope
        part[1:] += slope
    return result


def _solved_cube(samples: OrientedSamples, side: int, screening: float) -> Float[np.ndarray, " N"]:
    """Solution on all nodes of a cube, pulled to 1/2 at its border; a cosine transform is the
    preconditioner."""
    nodes = cube(side)
    at_points = _screen(samples, nodes, screening)
    border = np.ones((side,) * 3)
    border[1:-1, 1:-1, 1:-1] = 0
    pull = BORDER * border.ravel()
    shift = float(at_points.sum()) / side**3
    response = (1 / (eigenvalues(side) + shift)).astype(np.float32)

    def apply(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return _seven_point_laplacian(x.reshape(border.shape)).ravel() + at_points @ x + pull * x

    def precondition(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        # Any symmetric positive definite matrix will do, so single precision is enough.
        return filtered(x.astype(np.float32), response).astype(np.float64)

    operator, preconditioner = (
        LinearOperator((side**3, side**3), f, dtype=np.float64)  # type: ignore[call-overload]
        for f in (apply, precondition)
    )
    return cg(
        operator,
        0.5 * pull - normal_divergence(samples, side).ravel(),
        rtol=1e-4,
        maxiter=300,
        M=preconditioner,
    )[0]


def _solved(
    samples: OrientedSamples,
    cells: Int64[np.ndarray, " C"],
    nodes: Int64[np.ndarray, "N 3"],
    start: Float[np.ndarray, " N"],
    inner: Bool[np.ndarray, " N"],
    screening: float,
) -> Float[np.ndarray, " N"]:
    """Solution on the inner nodes of a part of a grid, with fixed values at the others."""
    keys = key_of(nodes)
    here = found(cells, key_of(np.floor(samples.places).astype(np.int64)))
    used = OrientedSamples(
        samples.places[here], samples.normals[here], samples.areas[here], samples.depth[here]
    )
    right = np.zeros(len(nodes))
    rows, columns = [], []
    number = np.flatnonzero(inner)
    steps = key_of(np.eye(3, dtype=np.int64))
    for axis in range(3):
        step = steps[axis]
        along = flux(used, keys, axis)
        after, before = (np.searchsorted(keys, keys[number] + s) for s in (step, -step))
        right[number] += along[before] - along[number]
        rows += [number, number]
        columns += [after, before]
    row, column = np.concatenate(rows), np.concatenate(columns)
    neighbours = csr_matrix((np.ones(len(row)), (row, column)), shape=(len(nodes),) * 2)
    diagonal = csr_matrix((np.full(len(number), 6.0), (number, number)), shape=(len(nodes),) * 2)
    whole = csr_matrix(diagonal - neighbours + _screen(used, keys, screening))
    matrix = whole[number]
    right = right[number] - matrix @ np.where(inner, 0, start)
    matrix = csr_matrix(matrix[:, number])
    scale = 1 / matrix.diagonal()
    jacobi = LinearOperator(matrix.shape, lambda x: scale * x.ravel(), dtype=np.float64)  # type: ignore
    solution = cg(matrix, right, x0=start[number], rtol=1e-4, maxiter=500, M=jacobi)[0]
    values = start.copy()
    values[number] = solution
    return values


def _behind(cells: Int64[np.ndarray, "C 3"], values: Float[np.ndarray, "C 8"]) -> Int64[np.ndarray, "M 3"]:
    """Neighbours of cells across those faces that have both signs."""
    cells_behind = []
    for axis in range(3):
        for side in (0, 1):
            face = values[:, CORNERS[:, axis] == side] > 0
            crossed = face.any(axis=1) & ~face.all(axis=1)
            cells_behind.append(cells[crossed] + (2 * side - 1) * np.eye(3, dtype=np.int64)[axis])
    return _unique_cells(np.concatenate(cells_behind))


def _unique_cells(cells: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return _unique(cells[(cells >= 0).all(axis=1)])


def _welded(cells: Int64[np.ndarray, "C 3"], values: Float[np.ndarray, "C 8"], count: int, fine: int) -> Mesh:
    """Triangles of cells in a cube of `count` cells along each side, each of them divided into `fine`."""
    corners = torch.from_numpy(values).float().view(-1, 2, 2, 2)
    low, side = torch.zeros(3, dtype=torch.float64), torch.full((3,), float(count), dtype=torch.float64)
    margin = grid_margin(low, side, side / (count * fine))
    places, faces = grid_triangles(torch.from_numpy(cells), corners, [count * fine + 1] * 3, margin)
    return Mesh((places / fine).float(), faces)


COARSEST = 64
"""Largest number of cells along the coarsest grid, which is solved as a whole; finer ones only near points."""
DISC = 12
"""Number of neighbours in the disc whose area gives the density of points."""
FINE = 0.5
"""Smallest size of cells as a fraction of the spacing of the points in them."""


def screened_poisson(
    points: Float[Tensor, "P 3"],
    normals: Float[Tensor, "P 3"],
    side: int = 96,
    screening: float = 1.0,
    room: float = 1.6,
    areas: Float[Tensor, " P"] | None = None,
    spacing: Float[Tensor, " P"] | None = None,
) -> Mesh:
    """The closed surface through oriented points; it may have stray pieces where there are none.

    Kazhdan and Hoppe 2013, "Screened Poisson surface reconstruction": the same energy (equation 4), but of
    trilinear functions on nested regular grids instead of B-splines on an octree, see `NestedGrids`. Scans of
    the same surface are averaged if they differ by less than a cell. A surface that was scanned from one side
    only is closed behind it.

    Source: Kazhdan and Hoppe 2013, equation 4. Differs: trilinear functions on nested regular grids.

    Args:
        points: Points on the surface or on a part of it.
        normals: Outward normals at the points.
        side: Number of nodes of the finest grid along each axis of a cube.
        screening: Weight of the values at the points (alpha), for points a cell apart. 1 gives a smooth
            surface; 4 fits exact points more closely.
        room: Width of the cube over the longest side of the box of the points.
        areas: Area of the surface that each point represents; by default, that of discs from its neighbours.
        spacing: Distance of each point from others, which limits the resolution of the grid there; by default,
            the square root of its area.

    Returns:
        The mesh, in the frame of the points, wound outwards.
    """
    places = points.double().cpu().numpy()
    low, high = places.min(axis=0), places.max(axis=0)
    width = room * float((high - low).max())
    levels = max(math.ceil(math.log2((side - 1) / COARSEST)), 0)
    cells = math.ceil((side - 1) / 2**levels)
    origin, step = (low + high) / 2 - width / 2, width / cells
    area = disc_areas(places) if areas is None else areas.double().cpu().numpy()
    apart = np.sqrt(area) if spacing is None else spacing.double().cpu().numpy()
    depth = np.floor(np.log2(step / (FINE * apart)) + 0.5).clip(0, levels).astype(int)
    directions = normalize(normals.double().cpu(), dim=1).numpy()
    samples = OrientedSamples((places - origin) / step, directions, area / step**2, depth)
    grids = NestedGrids(samples, cells, levels, screening)
    mesh = grids.surface()
    vertices = torch.from_numpy(mesh.vertices.double().numpy() * step + origin)
    return Mesh(vertices.float(), mesh.faces).to(points.device)


def disc_areas(places: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, " P"]:
    """Area that each point represents: a twelfth of the disc up to its twelfth neighbour."""
    count = min(DISC, len(places) - 1)
    distance, _ = KDTree(places).query(places, k=count + 1)
    return np.maximum(np.asarray(distance)[:, -1] ** 2 * math.pi / count, 1e-24)
