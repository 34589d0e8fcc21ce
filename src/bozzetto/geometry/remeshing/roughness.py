"""Whether a surface is rough, as scans are: bent by noise and small bumps more than the tolerance allows."""

import numpy as np

from .surface import Flags, Floats, WorkingMesh, area_vectors, dots, lengths

ROUGH = 0.2  # share of squared bends against their surroundings: to 0.07 on smooth shapes, from 0.23 on scans
EXCESS = (
    3 / 8
)  # area that noise adds, over the mean square of its bends (equilateral triangles, heights at random)
ROWS, COLUMNS = [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]  # of the different entries of a symmetric matrix
TIMES = np.array([1, 2, 2, 1, 2, 1])  # how often each of them is in the matrix


def is_rough(surface: WorkingMesh, bend: Floats, lines: Flags, tolerance: float) -> bool:
    """Whether noise, rather than shape, bends the edges, and costs as much area as a tolerance allows.

    Shape bends an edge the way the surface around it is curved, be it smooth or made of facets; noise bends at
    least as many edges against their surroundings as with them. The area it adds is taken as twice that of the
    edges against. Where too few of them are against, shape dominates, and the noise does not matter.

    Args:
        surface: The input.
        bend: (E,) from `bends`.
        lines: (E,) creases and boundaries, left out.
        tolerance: Of area, relative.
    """
    against = bends_against(surface, np.where(lines, 0, bend))
    square = np.where(lines, 0, bend**2)
    corners = surface.vertices[surface.faces]
    area = lengths(area_vectors(corners)) / 2
    around = np.bincount(surface.edges.of_half, np.repeat(area / 3, 3))
    excess = 2 * EXCESS * (around * square)[against].sum() / max(area.sum(), 1e-300)
    return bool(square[against].sum() > ROUGH * square.sum() and excess > tolerance)


def bends_against(surface: WorkingMesh, bend: Floats) -> Flags:
    """(E,) whether an edge bends the other way than its surroundings, two rings of edges without itself.

    Their curvature along a direction across the edge is that of the tensor of Cohen-Steiner & Morvan 2003,
    "Restricted Delaunay triangulations and normal cycle": the sum of bend times length times e e^T, with e the
    direction of each edge.
    """
    a, b = surface.edges.ends.T
    along = surface.vertices[b] - surface.vertices[a]
    length = lengths(along)
    along = along / np.maximum(length, 1e-300)[:, None]
    squares = along[:, ROWS] * along[:, COLUMNS]
    own = (bend * length)[:, None] * squares
    at_vertex = _scattered(surface, own, own)
    at_vertex = at_vertex + _scattered(surface, at_vertex[b], at_vertex[a])
    around = at_vertex[a] + at_vertex[b] - 4 * own  # at either end once, and once as a neighbour's
    return dots(around, squares * TIMES) * bend < 0


def _scattered(surface: WorkingMesh, at_first: Floats, at_second: Floats) -> Floats:
    """(V, C) sums of values (E, C) for the first and for the second end of every edge."""
    a, b = surface.edges.ends.T
    count = len(surface.vertices)
    pairs = zip(at_first.T, at_second.T, strict=True)
    sums = [np.bincount(a, x, count) + np.bincount(b, y, count) for x, y in pairs]
    return np.stack(sums, axis=1).astype(np.float64)
