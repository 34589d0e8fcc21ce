"""Triangulation of polygons.

Every polygon of n corners becomes n - 2 triangles over the same corners, so meshes that were closed stay
closed. A convex polygon becomes the fan (a, b, c), (a, c, d) ... from its first corner. Other planar polygons
are triangulated inside their outline: by a fan from another corner if possible, and otherwise by cutting ears
(Meisters 1975).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import Unsupported

_CHUNK = 1 << 16  # polygons at a time; their corners then stay in the cache
_FAN_STARTS = 32  # corners from which fans are tried
_WORK = 10_000_000  # steps of cutting ears in one file, some five seconds
_MANY = 64  # corners that NumPy looks at as fast as Python at one
_STRAIGHT = 1e-13  # share of the squared size below which the area at a corner is rounding
FLAT = 1e-7  # share of a polygon's area by which a triangle may point the other way, by rounding


@dataclass
class Polygons:
    """Concatenated polygons.

    Attributes:
        corners: Vertex indices of all polygons.
        lengths: Number of corners of each.
    """

    corners: NDArray[Any]
    lengths: NDArray[Any]

    @staticmethod
    def of(polygons: Sequence[Sequence[int]] | NDArray[Any]) -> "Polygons":
        """Make polygons from a list of lists of vertex indices, or from an array with a row per polygon."""
        lengths = np.array([len(polygon) for polygon in polygons], np.int64)
        flat = [np.asarray(polygon, np.int64) for polygon in polygons]
        return Polygons(np.concatenate(flat) if flat else np.zeros(0, np.int64), lengths)


def triangulated(vertices: NDArray[Any], polygons: Polygons, notes: list[str]) -> NDArray[Any]:
    """Triangles (F, 3) of polygons, in their order.

    Args:
        vertices: Positions (V, 3).
        polygons: Faces of any number of corners. Those with fewer than three are left out, with a note.
        notes: Receives sentences about omitted faces and faces that cross themselves.

    Raises:
        Unsupported: A face has so many corners that its triangulation would take too long.
    """
    lengths = np.asarray(polygons.lengths, np.int64)
    corners = np.asarray(polygons.corners, np.int64)
    short = int((lengths < 3).sum())
    if short:
        notes.append(
            f"{_faces(short)} with fewer than three corners {'was' if short == 1 else 'were'} left out"
        )
    if len(lengths) == 0 or lengths.max() < 3:
        return np.zeros((0, 3), np.int64)
    if lengths.min() == lengths.max() == 3:
        return corners.reshape(-1, 3)
    starts = np.cumsum(lengths) - lengths
    counts = np.maximum(lengths - 2, 0)
    firsts = np.cumsum(counts) - counts
    faces = np.empty((int(counts.sum()), 3), np.int64)
    crossing, allowance = 0, _Budget(_WORK + 100 * len(corners))
    for length in np.unique(lengths[lengths >= 3]).tolist():
        chosen = np.flatnonzero(lengths == length)
        for rows in np.array_split(chosen, -(-len(chosen) // max(1, _CHUNK * 4 // length))):
            picked = corners[starts[rows, None] + np.arange(length)]
            triangles, crossed = _triangles(vertices, picked, allowance)
            faces[firsts[rows, None] + np.arange(length - 2)] = triangles
            crossing += crossed
    if crossing:
        notes.append(
            f"{_faces(crossing)} cross{'es itself' if crossing == 1 else ' themselves'}, triangles overlap"
        )
    return faces


@dataclass
class _Budget:
    """Number of steps left."""

    left: int

    def spend(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise Unsupported(
                "its faces are too involved to be cut into triangles; triangulate them where made"
            )


def _faces(count: int) -> str:
    return f"{count} face{'s' if count > 1 else ''}"


def _triangles(
    vertices: NDArray[Any], polygons: NDArray[Any], allowance: _Budget
) -> tuple[NDArray[Any], int]:
    """Triangles (P, n - 2, 3) of P polygons of n corners, and how many of them cross themselves."""
    length = polygons.shape[1]
    triangles = _fans(polygons, 0)
    if length == 3:
        return triangles, 0
    inside = ((polygons >= 0) & (polygons < len(vertices))).all(axis=1)
    rows = np.flatnonzero(inside)  # those with corners that do not exist are refused later
    corners = np.asarray(vertices, np.float64)[polygons[rows]]
    bad = ~_fan_tiles(corners, 0)
    rows, corners = rows[bad], corners[bad]
    for start in range(1, min(length, _FAN_STARTS)):
        if len(rows) == 0:
            return triangles, 0
        good = _fan_tiles(corners, start)
        triangles[rows[good]] = _fans(polygons[rows[good]], start)
        rows, corners = rows[~good], corners[~good]
    crossed = 0
    for row, outline in zip(rows.tolist(), corners, strict=True):
        cut, clean = _cut(_flat(outline), allowance)
        triangles[row] = polygons[row][cut]
        crossed += not clean
    return triangles, crossed


def _fans(polygons: NDArray[Any], start: int) -> NDArray[Any]:
    n = polygons.shape[1]
    order = (np.arange(n) + start) % n
    return polygons[:, np.stack([np.full(n - 2, start), order[1:-1], order[2:]], axis=1)]


def _fan_tiles(corners: NDArray[Any], start: int) -> NDArray[Any]:
    """Whether the fan from a corner tiles its polygon: no triangle has the opposite orientation."""
    arms = np.roll(corners, -start, axis=1)
    arms = arms[:, 1:] - arms[:, :1]
    with np.errstate(invalid="ignore", over="ignore"):
        areas = np.cross(arms[:, :-1], arms[:, 1:])
        whole = areas.sum(axis=1)
        along = np.einsum("pki,pi->pk", areas, whole)
        size = np.einsum("pi,pi->p", whole, whole)
        # A polygon that is a crossed eight has no area on the whole, but its triangles have.
        parts = np.einsum("pki,pki->p", areas, areas)
        tiled = (along >= -FLAT * size[:, None]).all(axis=1) & (size > FLAT**2 * parts)
        return tiled | ~(parts > 0)  # without area or not finite: any triangles are as good


def _flat(outline: NDArray[Any]) -> list[tuple[float, float]]:
    """The corners projected along the polygon's normal, so that the signed area is positive."""
    arms = outline - outline[0]
    normal = np.cross(arms[1:-1], arms[2:]).sum(axis=0)
    axis = int(np.abs(normal).argmax())
    first, second = (axis + 1) % 3, (axis + 2) % 3
    if normal[axis] < 0:
        first, second = second, first
    return list(zip(arms[:, first].tolist(), arms[:, second].tolist(), strict=True))


def _area(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


class _Ring:
    """A polygon from which ears are cut: its remaining corners, and those that may lie in an ear."""

    def __init__(self, points: list[tuple[float, float]], allowance: _Budget) -> None:
        n = len(points)
        self.points = points
        self.before = [(i - 1) % n for i in range(n)]
        self.after = [(i + 1) % n for i in range(n)]
        # Only corners that are not convex can lie in an ear, and cutting makes no new ones.
        self.straight = _STRAIGHT * max(abs(v) for point in points for v in point) ** 2
        hollow = [i for i in range(n) if self.turn(i) <= self.straight]
        self.hollow = sorted(hollow, key=lambda i: points[i][0])
        self.across = [points[i][0] for i in self.hollow]
        self.along = np.array([points[i][1] for i in self.hollow])
        self.gone = [False] * n
        self.allowance = allowance

    def turn(self, i: int) -> float:
        """Twice the signed area of the triangle at a corner."""
        return _area(self.points[self.before[i]], self.points[i], self.points[self.after[i]])

    def is_free(self, i: int, touching: bool) -> bool:
        """Whether no other corner lies in the triangle at this one; on its edge only if `touching`."""
        a, b, c = (self.points[k] for k in (self.before[i], i, self.after[i]))
        low = bisect_left(self.across, min(a[0], b[0], c[0]))
        high = bisect_right(self.across, max(a[0], b[0], c[0]))
        near = self.hollow[low:high]
        if len(near) > _MANY:
            heights = self.along[low:high]
            inside = (heights >= min(a[1], b[1], c[1])) & (heights <= max(a[1], b[1], c[1]))
            self.allowance.spend(len(near) // _MANY)
            near = [near[k] for k in np.flatnonzero(inside).tolist()]
        (ax, ay), (bx, by), (cx, cy) = a, b, c
        self.allowance.spend(len(near))
        for k in near:
            p = self.points[k]
            if self.gone[k] or p == a or p == b or p == c:
                continue
            x, y = p
            inmost = min(
                (bx - ax) * (y - ay) - (by - ay) * (x - ax),
                (cx - bx) * (y - by) - (cy - by) * (x - bx),
                (ax - cx) * (y - cy) - (ay - cy) * (x - cx),
            )
            if inmost > self.straight or (not touching and inmost >= -self.straight):
                return False
        return True

    def cut(self, i: int) -> tuple[int, int, int]:
        """Remove a corner from the ring and return its triangle."""
        a, c = self.before[i], self.after[i]
        self.after[a], self.before[c] = c, a
        self.gone[i] = True
        return a, i, c


def _cut(points: list[tuple[float, float]], allowance: _Budget) -> tuple[list[tuple[int, int, int]], bool]:
    """Triangles of a polygon by cutting ears, and whether all of them were ears."""
    ring, left, at = _Ring(points, allowance), len(points), 0
    whole = sum(_area(points[0], b, c) for b, c in zip(points[1:-1], points[2:], strict=True))
    triangles, clean, strictness, since = [], True, 0, 0
    while left > 3:
        allowance.spend(1)
        turn = ring.turn(at)
        if strictness == 1:
            ear = abs(turn) <= ring.straight  # takes nothing away
        elif strictness < 3:
            ear = turn > ring.straight and ring.is_free(at, touching=strictness == 2)
        else:
            ear = turn > 0 or strictness == 4
        if ear:
            clean = clean and strictness < 3
            triangles.append(ring.cut(at))
            left -= 1
            at, strictness, since = ring.after[at], 0, 0
            at = ring.after[at]  # the next but one: fewer slivers
            continue
        at, since = ring.after[at], since + 1
        if since > left:
            strictness, since = strictness + 1, 0
    triangles.append((ring.before[at], at, ring.after[at]))
    return triangles, clean and ring.turn(at) >= -FLAT * whole
