"""Creases, corners and boundaries of a mesh, and the curves along them that remeshing keeps."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .surface import (
    DEGENERATE,
    Features,
    Flags,
    Floats,
    Ints,
    Stars,
    WorkingMesh,
    area_vectors,
    dots,
    lengths,
    slimness,
)

WINDOW = 1.5  # over the shorter segment at a node: how far to both sides its bend is measured


@dataclass(frozen=True)
class Curves:
    """Polygonal curves in space, concatenated, each from one fixed point to the next.

    Attributes:
        points: (N, 3) the nodes.
        arc: (N,) parameters of the nodes, ascending; within a curve, differences are distances along it.
        length: (N,) target edge length between a node and the next.
    """

    points: Floats
    arc: Floats
    length: Floats

    def __call__(self, at: Floats) -> Floats:
        """(M, 3) the points with these parameters."""
        if len(self.arc) == 0:
            return np.empty((0, 3))
        return np.stack([np.interp(at, self.arc, x) for x in self.points.T], axis=1)

    def length_at(self, at: Floats) -> Floats:
        """(M,) the target edge length at these parameters; at a node, the shorter one."""
        left = np.clip(np.searchsorted(self.arc, at, "left") - 1, 0, None)
        right = np.clip(np.searchsorted(self.arc, at, "right") - 1, 0, None)
        return np.minimum(self.length[left], self.length[right])


def trace(
    vertices: Floats, edges: Ints, length: Floats, fixed: Flags, bend: float
) -> tuple[Curves, Features]:
    """Follow edges from fixed point to fixed point.

    A vertex is fixed where the number of edges is not two, or where the line bends so sharply that edges of the
    target length cannot follow it. A loop without such a vertex gets one.

    Args:
        vertices: (V, 3) positions.
        edges: (C, 2) the edges of the lines.
        length: (C,) target edge length at each of them.
        fixed: (V,) vertices that are fixed in any case.
        bend: Smallest angle of sharp bends, in radians.

    Returns:
        The curves; the parameters of the edges' ends on them; and the fixed vertices.
    """
    degree = np.bincount(edges.ravel(), minlength=len(vertices))
    fixed = fixed | ((degree != 2) & (degree > 0))
    for path, _ in paths(edges, fixed):
        fixed[path[1:-1][_bends(vertices[path]) > bend]] = True
        fixed[path[[0, -1]]] = True
    points, arcs, along, end = [np.empty((0, 3))], [np.empty(0)], [np.empty(0)], 0.0
    at = np.empty((len(edges), 2))
    ends = np.empty((len(edges), 2), np.int64)
    for path, used in paths(edges, fixed):
        place = vertices[path]
        arc = end + np.concatenate([[0.0], np.cumsum(lengths(np.diff(place, axis=0)))])
        points.append(place)
        arcs.append(arc)
        along.append(np.append(length[used], np.inf))
        ends[used] = np.stack([path[:-1], path[1:]], axis=1)
        at[used] = np.stack([arc[:-1], arc[1:]], axis=1)
        end = 2 * arc[-1] - arc[-2] if len(arc) > 1 else arc[-1]  # a gap, so that no two nodes share a number
    curves = Curves(np.concatenate(points), np.concatenate(arcs), np.concatenate(along))
    return curves, Features(ends, at, fixed)


def paths(edges: Ints, fixed: Flags) -> list[tuple[Ints, Ints]]:
    """Vertices and edges of every line from fixed vertex to fixed vertex; loops begin and end at one vertex."""
    at_vertex: dict[int, list[int]] = {}
    for number, (a, b) in enumerate(edges.tolist()):
        at_vertex.setdefault(a, []).append(number)
        at_vertex.setdefault(b, []).append(number)
    free = [True] * len(edges)
    pairs = edges.tolist()

    def follow(start: int, first: int) -> tuple[Ints, Ints]:
        path, used, edge = [start], [], first
        while True:
            free[edge] = False
            used.append(edge)
            a, b = pairs[edge]
            path.append(b if path[-1] == a else a)
            if path[-1] == start or fixed[path[-1]]:
                return np.array(path), np.array(used)
            edge = next(e for e in at_vertex[path[-1]] if e != edge)

    starts = [v for v in at_vertex if fixed[v]] + [v for v in at_vertex if not fixed[v]]
    return [follow(v, edge) for v in starts for edge in at_vertex[v] if free[edge]]


def _bends(path: Floats) -> Floats:
    """(N - 2,) bend angles, in radians, of a polygon (N, 3) at its inner nodes, over a short distance to both
    sides."""
    steps = lengths(np.diff(path, axis=0))
    arc = np.concatenate([[0.0], np.cumsum(steps)])
    reach = WINDOW * np.minimum(steps[:-1], steps[1:])
    nodes = arc[1:-1]
    before, after = (
        np.stack([np.interp(nodes + sign * reach, arc, x) for x in path.T], axis=1) for sign in (-1, 1)
    )
    u, v = path[1:-1] - before, after - path[1:-1]
    return np.arctan2(lengths(np.cross(u, v)), np.einsum("ij,ij->i", u, v))


FRAGMENT = 3  # edges: lines that end within the surface and have fewer, and are short, are no creases
LONG = 10.0  # over the wanted length: shorter lines of a rough surface are no creases
NOISE = 0.7  # of the angle of a crease: how far the surface on both sides has to bend at least
LAYERS = 5  # of slivers beside slivers that get a normal
WEIGHT = 2.0  # times the area of the smaller face at an edge: how much a face around it counts at most


def dihedral_angles(surface: WorkingMesh) -> Floats:
    """(E,) radians between the normals of the two faces at each edge, negative in valleys; 0 at boundaries."""
    edges = surface.edges
    inner = ~edges.is_boundary
    normals = triangle_normals(surface)
    first, second = edges.halves[inner].T
    left, right = normals[first // 3], normals[second // 3]
    corners = surface.faces.ravel()
    along = surface.vertices[corners[second]] - surface.vertices[corners[first]]
    cross = np.cross(left, right)
    angle = np.arctan2(lengths(cross), dots(left, right))
    result = np.zeros(len(edges.keys))
    result[inner] = np.where(dots(cross, along) < 0, -angle, angle)
    return result


def triangle_normals(surface: WorkingMesh) -> Floats:
    """(F, 3) unit normals; for slivers, whose own is inexact, that of the neighbour at the longest edge."""
    corners = surface.vertices[surface.faces]
    vectors = area_vectors(corners)
    normals = vectors / np.maximum(lengths(vectors), 1e-300)[:, None]
    sliver = slimness(corners, vectors) < DEGENERATE
    sides = np.stack([lengths(corners[:, k] - corners[:, k - 2]) for k in range(3)], axis=1)
    longest = np.arange(len(corners)) * 3 + sides.argmax(axis=1)
    pair = surface.edges.halves[surface.edges.of_half[longest]] // 3
    beyond = np.where(pair[:, 0] == np.arange(len(corners)), pair[:, 1], pair[:, 0])
    for _ in range(LAYERS):
        waiting = np.flatnonzero(sliver & (beyond >= 0))
        waiting = waiting[~sliver[beyond[waiting]]]
        normals[waiting] = normals[beyond[waiting]]
        sliver[waiting] = False
    return normals


def find_creases(surface: WorkingMesh, bend: Floats, angle: float) -> Flags:
    """(E,) whether the surface bends at an edge by at least an angle, as part of a line.

    Noise can bend single edges as sharply. So at a crease, the mean normals on both sides, around either end of
    the edge, must differ by most of the angle, and the line must have more than two edges.
    """
    crease = _sharp(surface, np.abs(bend) >= angle, NOISE * angle)
    return _pruned(surface, crease, lambda count, length, ends: count < FRAGMENT and length < 1 and ends)


def rough_creases(surface: WorkingMesh, crease: Flags, angle: float) -> Flags:
    """(E,) the creases that exceed the noise of a rough surface, whose bumps give many short lines.

    The mean normals on both sides differ by the full angle, and the lines are much longer than the target
    edges.
    """
    return _pruned(surface, _sharp(surface, crease, angle), lambda count, length, ends: length < LONG)


def find_tips(surface: WorkingMesh, lines: Flags, angle: float) -> Flags:
    """(V,) whether a vertex that is not on a line is a tip, for instance of a cone.

    All faces around it are inclined to its normal by at least half the angle.
    """
    normals = triangle_normals(surface)
    middle = surface.normals / np.maximum(lengths(surface.normals), 1e-300)[:, None]
    inclined = np.stack([dots(normals, middle[corner]) for corner in surface.faces.T], axis=1)
    flattest = np.full(len(surface.vertices), -1.0)
    np.maximum.at(flattest, surface.faces.ravel(), inclined.ravel())
    tips = flattest < np.cos(angle / 2)
    tips[surface.edges.ends[lines | surface.edges.is_boundary]] = False
    return tips


def _sharp(surface: WorkingMesh, chosen: Flags, angle: float) -> Flags:
    """(E,) the chosen edges where the mean normals on both sides differ by at least an angle."""
    index = np.flatnonzero(chosen)
    result = np.zeros(len(chosen), bool)
    result[index] = _bends_around(surface, index) >= angle
    return result


def _bends_around(surface: WorkingMesh, chosen: npt.NDArray[Any]) -> Floats:
    """(N,) radians between the mean normals of the faces left and right of each chosen edge.

    The mean is over the faces around both ends. The weight of each is its area, up to twice the smaller area of
    the two faces at the edge, so that large faces do not hide small steps.
    """
    vectors = area_vectors(surface.vertices[surface.faces])
    double = np.maximum(lengths(vectors), 1e-300)
    ends, pair = surface.edges.ends[chosen], surface.edges.halves[chosen] // 3
    a, b = surface.vertices[ends].transpose(1, 0, 2)
    unit = triangle_normals(surface)
    sideways = np.cross(b - a, unit[pair[:, 0]] + unit[pair[:, 1]])
    owner, corner = Stars.of(surface.faces, len(surface.vertices)).around(ends.T.ravel())
    owner, face = owner % max(len(chosen), 1), corner // 3
    centre = surface.vertices[surface.faces[face]].mean(axis=1)
    most = WEIGHT * double[pair].min(axis=1)
    normal = unit[face] * np.minimum(double[face], most[owner])[:, None]
    on_left = dots(centre - a[owner], sideways[owner]) > 0
    left, right = np.zeros((2, len(chosen), 3))
    np.add.at(left, owner[on_left], normal[on_left])
    np.add.at(right, owner[~on_left], normal[~on_left])
    return np.arctan2(lengths(np.cross(left, right)), dots(left, right))


def _pruned(surface: WorkingMesh, crease: Flags, falls: Callable[[int, float, bool], bool]) -> Flags:
    """The creases without rejected lines. Lines are removed one by one, since neighbours join after a removal.

    A line runs between vertices where the number of creases is not two. `falls` decides whether to remove it,
    by the number of its edges, its length relative to the target edge length, and whether it has a free end.
    """
    crease, edges = crease.copy(), surface.edges
    while crease.any():
        index = np.flatnonzero(crease)
        degree = np.bincount(edges.ends[crease | edges.is_boundary].ravel(), minlength=len(surface.vertices))
        ends = edges.ends[index]
        length = lengths(surface.vertices[ends[:, 0]] - surface.vertices[ends[:, 1]])
        removed = [
            used
            for path, used in paths(ends, degree != 2)
            if falls(
                len(used),
                float(length[used].sum() / surface.target[path].min()),
                bool((degree[path[[0, -1]]] == 1).any()),
            )
        ]
        if not removed:
            break
        crease[index[np.concatenate(removed)]] = False
    return crease
