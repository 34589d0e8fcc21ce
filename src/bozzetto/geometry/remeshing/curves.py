"""The lines that remeshing keeps, creases and boundaries, as curves with a parameter along them."""

from dataclasses import dataclass

import numpy as np

from .surface import Features, Flags, Floats, Ints, lengths

WINDOW = 1.5  # over the shorter segment at a node: how far to both sides its bend is measured


@dataclass(frozen=True)
class Curves:
    """Polygons in space, one after the other, each from one fixed point to the next.

    Attributes:
        points: (N, 3) their nodes.
        arc: (N,) ascending; within a curve the distance along it.
        length: (N,) edge length wanted between a node and the next.
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
        """(M,) the edge length wanted at these parameters; the shorter one at a node."""
        left = np.clip(np.searchsorted(self.arc, at, "left") - 1, 0, None)
        right = np.clip(np.searchsorted(self.arc, at, "right") - 1, 0, None)
        return np.minimum(self.length[left], self.length[right])


def trace(
    vertices: Floats, edges: Ints, length: Floats, fixed: Flags, bend: float
) -> tuple[Curves, Features]:
    """Follow edges from fixed point to fixed point.

    Fixed is a vertex where other than two of the edges meet or where the line bends sharply, so that edges of
    the wanted length cannot follow it; and one vertex of a loop that has none.

    Args:
        vertices: (V, 3) positions.
        edges: (C, 2) the edges of the lines.
        length: (C,) edge length wanted at each of them.
        fixed: (V,) vertices that are fixed in any case.
        bend: Radians from which on a bend is sharp.

    Returns:
        The curves, and where the edges lie on them; with the fixed vertices.
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
    """Vertices and edges of every line from fixed vertex to fixed vertex; loops begin and end in one place."""
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
    """(N - 2,) radians by which a polygon (N, 3) bends at its inner nodes, over a little way to both sides."""
    steps = lengths(np.diff(path, axis=0))
    arc = np.concatenate([[0.0], np.cumsum(steps)])
    reach = WINDOW * np.minimum(steps[:-1], steps[1:])
    nodes = arc[1:-1]
    before, after = (
        np.stack([np.interp(nodes + sign * reach, arc, x) for x in path.T], axis=1) for sign in (-1, 1)
    )
    u, v = path[1:-1] - before, after - path[1:-1]
    return np.arctan2(lengths(np.cross(u, v)), np.einsum("ij,ij->i", u, v))
