"""The triangle mesh of the remeshing steps, with its edges, vertex stars and kept features."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

TURN = 0.3  # cosine of the angle that counts as turning over
DEGENERATE = 1e-3  # height over longest edge: the direction of slimmer faces is mostly rounding
SLIM = 0.05  # height over longest edge: slimmer faces are slivers, which no step may make


@dataclass(frozen=True)
class WorkingMesh:
    """A consistently wound manifold triangle mesh with a target edge length at every vertex.

    Attributes:
        vertices: (V, 3) positions.
        faces: (F, 3) vertex indices.
        target: (V,) target edge length.
        features: The lines and points that are kept.
    """

    vertices: Floats
    faces: Ints
    target: Floats
    features: "Features"

    @cached_property
    def edges(self) -> "Edges":
        """The edges; computed once, since a surface never changes."""
        return Edges.of(self.faces, len(self.vertices))

    @cached_property
    def boundary(self) -> Flags:
        """(V,) whether a vertex lies on the boundary."""
        flags = np.zeros(len(self.vertices), bool)
        flags[self.edges.ends[self.edges.is_boundary]] = True
        return flags

    @cached_property
    def feature_of_edge(self) -> Ints:
        """(E,) the row of every edge in `features`, -1 for edges that are on no kept line."""
        result = np.full(len(self.edges.keys), -1)
        a, b = np.sort(self.features.ends, axis=1).T
        result[np.searchsorted(self.edges.keys, a * len(self.vertices) + b)] = np.arange(len(a))
        return result

    @cached_property
    def kept(self) -> Flags:
        """(V,) whether a vertex lies on a kept line or is a kept point."""
        flags = self.features.fixed.copy()
        flags[self.features.ends] = True
        return flags

    @cached_property
    def normals(self) -> Floats:
        """(V, 3) sums of the area vectors of the faces at each vertex."""
        return self.sums(area_vectors(self.vertices[self.faces]))

    def sums_of_corners(self, values: Floats) -> Floats:
        """(V,) sums of values of corners (F, 3) over the corners at each vertex."""
        return np.bincount(self.faces.ravel(), values.ravel(), len(self.vertices)).astype(np.float64)

    def sums(self, values: Floats) -> Floats:
        """(V, C) sums of face values (F, C) over the faces at each vertex."""
        corners, count = self.faces.ravel(), len(self.vertices)
        columns = [np.bincount(corners, np.repeat(x, 3), count) for x in values.T]
        return np.stack(columns, axis=1).astype(np.float64)

    def smaller_of_halves(self, values: Floats) -> Floats:
        """(E,) the smaller of the values (3 F,) of the one or two half-edges of every edge."""
        first, second = self.edges.halves.T
        return np.minimum(values[first], values[np.where(second < 0, first, second)])

    def turns_over(self, faces: Ints, places: Floats) -> Flags:
        """(N,) whether these faces flip or become slivers if their corners move to positions (N, 3, 3).

        A face flips if its normal rotates by more than about 70 degrees from its own old normal and from that
        of the surface around it. The latter is for slivers, whose own normal is inexact and which could not be
        improved otherwise.
        """
        corners = self.faces[faces]
        around = self.normals[corners[:, 0]] + self.normals[corners[:, 1]] + self.normals[corners[:, 2]]
        before, after = area_vectors(self.vertices[corners]), area_vectors(places)
        slim = slimness(places, after)
        worse = (slim < SLIM) & (slim < slimness(self.vertices[corners], before))
        worse &= self.kept[corners].any(axis=1)
        return (turned_over(before, after, TURN) & turned_over(around, after, TURN)) | worse | (slim == 0)

    def relative_length(self) -> Floats:
        """(E,) edge length over the smaller target length at its ends.

        The minimum follows Dunyach et al. 2013, "Adaptive remeshing for real-time mesh deformation", eq. 4.

        Source: Dunyach et al. 2013, equation 4.
        """
        a, b = self.edges.ends.T
        return lengths(self.vertices[a] - self.vertices[b]) / np.minimum(self.target[a], self.target[b])

    def compact(self) -> "WorkingMesh":
        """The surface without the vertices that no face uses."""
        used = np.zeros(len(self.vertices), bool)
        used[self.faces] = True
        index = np.cumsum(used) - 1
        lines = self.features
        features = Features(index[lines.ends], lines.at, lines.fixed[used])
        return WorkingMesh(self.vertices[used], index[self.faces], self.target[used], features)


@dataclass(frozen=True)
class Features:
    """Lines and points of a surface that remeshing keeps: creases, boundaries, corners.

    Attributes:
        ends: (C, 2) vertex indices of the edges on the lines.
        at: (C, 2) parameters of these ends on the original lines, see `Curves`.
        fixed: (V,) whether a vertex is fixed: a corner, or the end of a line.
    """

    ends: Ints
    at: Floats
    fixed: Flags


class Balls:
    """Balls of one radius, in which edges are left alone.

    Args:
        centers: (N, 3) middle points.
        radius: Radius of all of them.
    """

    def __init__(self, centers: Floats, radius: float) -> None:
        self._tree = KDTree(centers) if len(centers) else None
        self._radius = radius

    def contain(self, points: Floats) -> Flags:
        """(P,) whether points lie in one of the balls."""
        if self._tree is None:
            return np.zeros(len(points), bool)
        return np.isfinite(self._tree.query(points, distance_upper_bound=self._radius)[0])


NOWHERE = Balls(np.empty((0, 3)), 0.0)


@dataclass(frozen=True)
class Edges:
    """Undirected edges of a manifold mesh; half-edge 3 f + k runs from corner k to corner k + 1 of face f.

    Attributes:
        keys: (E,) sorted, smaller end * vertex count + larger end.
        ends: (E, 2) vertex indices, the smaller first.
        halves: (E, 2) half-edges, the second -1 at the boundary.
        of_half: (3 F,) the edge of every half-edge.
    """

    keys: Ints
    ends: Ints
    halves: Ints
    of_half: Ints

    @classmethod
    def of(cls, faces: Ints, vertex_count: int) -> "Edges":
        """Sort the half-edges so that those of one edge are adjacent."""
        start, end = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
        keys = np.minimum(start, end) * vertex_count + np.maximum(start, end)
        order = np.argsort(keys)  # several times faster than a stable sort
        ranked = keys[order]
        first = np.ones(len(ranked), bool)
        first[1:] = ranked[1:] != ranked[:-1]
        where = np.flatnonzero(first)
        twice = np.append(~first[1:], False)[where]
        one = order[where]
        two = np.where(twice, order[np.minimum(where + 1, len(order) - 1)], -1)
        # Equal keys come in no particular order; the same result on every processor needs one.
        halves = np.stack([np.where(twice, np.minimum(one, two), one), np.maximum(one, two)], axis=1)
        halves[~twice, 1] = -1
        of_half = np.empty(len(keys), np.int64)
        of_half[order] = np.cumsum(first) - 1
        keys = ranked[where]
        return cls(keys, np.stack(np.divmod(keys, vertex_count), axis=1), halves, of_half)

    @property
    def is_boundary(self) -> Flags:
        """(E,) whether an edge has one face."""
        return self.halves[:, 1] < 0

    def exist(self, a: Ints, b: Ints, vertex_count: int) -> Flags:
        """Whether vertices a and b are joined by an edge."""
        keys = np.minimum(a, b) * vertex_count + np.maximum(a, b)
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return self.keys[at] == keys


@dataclass(frozen=True)
class Stars:
    """The faces around every vertex, as corners 3 f + k; vertex v has corners[first[v]:first[v + 1]]."""

    first: Ints
    corners: Ints

    @classmethod
    def of(cls, faces: Ints, vertex_count: int) -> "Stars":
        """Sort the corners by vertex."""
        count = np.bincount(faces.ravel(), minlength=vertex_count)
        size = faces.size
        corners = np.sort(faces.ravel() * size + np.arange(size)) % size  # faster than a stable argsort
        return cls(np.concatenate([[0], np.cumsum(count)]), corners)

    def around(self, vertices: Ints) -> tuple[Ints, Ints]:
        """Position in `vertices` and corner, for every corner at each of these vertices."""
        count = self.first[vertices + 1] - self.first[vertices]
        owner = np.repeat(np.arange(len(vertices)), count)
        within = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
        return owner, self.corners[self.first[vertices][owner] + within]


def following(half: Ints) -> Ints:
    """The next half-edge of the same face."""
    return np.where(half % 3 == 2, half - 2, half + 1)


def preceding(half: Ints) -> Ints:
    """The previous half-edge of the same face; its start is the corner opposite to `half`."""
    return np.where(half % 3 == 0, half + 2, half - 1)


def area_vectors(corners: Floats) -> Floats:
    """(N, 3) normals of triangles given as (N, 3, 3), as long as twice their area."""
    x, y, z = (corners[:, 1] - corners[:, 0]).T
    u, v, w = (corners[:, 2] - corners[:, 0]).T
    return np.stack([y * w - z * v, z * u - x * w, x * v - y * u], axis=1)


def slimness(corners: Floats, vectors: Floats) -> Floats:
    """(N,) height over longest edge of triangles (N, 3, 3) with these area vectors; 0 without area."""
    longest = np.zeros(len(corners))
    for k in range(3):
        side = corners[:, k] - corners[:, k - 1]
        np.maximum(longest, dots(side, side), out=longest)
    return lengths(vectors) / np.maximum(longest, 1e-300)


def corner_angles(corners: Floats) -> Floats:
    """(N, 3) angles, in radians, at the corners of triangles given as (N, 3, 3)."""
    result = np.empty(corners.shape[:2])
    for k in range(3):
        u, v = corners[:, k - 2] - corners[:, k], corners[:, k - 1] - corners[:, k]
        cosine = dots(u, v) / np.maximum(lengths(u) * lengths(v), 1e-300)
        result[:, k] = np.arccos(np.clip(cosine, -1, 1))
    return result


def dots(a: Floats, b: Floats) -> Floats:
    """(N,) scalar products of rows."""
    return np.einsum("ij,ij->i", a, b)


def lengths(vectors: Floats) -> Floats:
    """(N,) lengths of rows."""
    return np.sqrt(dots(vectors, vectors))


def turned_over(old: Floats, new: Floats, cosine: float) -> Flags:
    """Whether normals rotated by more than an angle; False for triangles without area, before or after."""
    return dots(old, new) < cosine * np.sqrt(dots(old, old) * dots(new, new))


def onto_segment(points: Floats, start: Floats, end: Floats) -> Floats:
    """(N, 3) nearest points on segments."""
    along = end - start
    t = dots(points - start, along) / np.maximum(dots(along, along), 1e-300)
    return start + np.clip(t, 0, 1)[:, None] * along


def ranks(values: Floats) -> Ints:
    """(N,) rank of each value in ascending order: distinct integers."""
    rank = np.empty(len(values), np.int64)
    rank[np.argsort(values)] = np.arange(len(values))
    return rank


def lowest(size: int, index: Ints, value: Ints) -> Ints:
    """(size,) the smallest value for each index; a number larger than all values where there is none."""
    result = np.full(size, np.iinfo(np.int64).max)
    np.minimum.at(result, index, value)
    return result
