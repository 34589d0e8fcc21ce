"""Solids of planar polygons with exact area and volume, and clouds with exact normals."""

from dataclasses import dataclass, replace

import numpy as np

from .inputs import MeshTruth


@dataclass(frozen=True)
class Solid:
    """A polyhedron: vertices (V, 3) float64 and planar polygons, counter-clockwise seen from outside."""

    vertices: np.ndarray
    polygons: list[list[int]]
    closed: bool = True

    @property
    def area(self) -> float:
        """Sum over polygons of half the Newell vector's length; exact for concave polygons too."""
        return float(sum(np.linalg.norm(newell(self.vertices[p])) / 2 for p in self.polygons))

    @property
    def volume(self) -> float:
        """Divergence theorem: a planar polygon adds its Newell vector times any of its points, over six."""
        middle = self.vertices.mean(0)
        return float(
            sum(newell(self.vertices[p]) @ (self.vertices[p[0]] - middle) for p in self.polygons) / 6
        )

    @property
    def bounds(self) -> np.ndarray:
        """Of the vertices that polygons use."""
        used = self.vertices[sorted({i for p in self.polygons for i in p})]
        return np.stack([used.min(0), used.max(0)])

    def truth(self, **changes) -> MeshTruth:
        """What a reader must return."""
        truth = MeshTruth(
            self.area,
            self.volume if self.closed else None,
            self.bounds,
            self.vertices,
            sum(len(p) - 2 for p in self.polygons),
        )
        return replace(truth, **changes)

    def triangulated(self) -> "Solid":
        """With every polygon cut into triangles; only for convex polygons."""
        triangles = [[p[0], p[i], p[i + 1]] for p in self.polygons for i in range(1, len(p) - 1)]
        return replace(self, polygons=triangles)


def newell(corners: np.ndarray) -> np.ndarray:
    """Twice the vector area of a closed polygon."""
    about = corners - corners[0]
    return np.cross(about, np.roll(about, -1, axis=0)).sum(0)


def rotation(rng: np.random.Generator) -> np.ndarray:
    """A random rotation."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else -q


def placed(solid: Solid, rng: np.random.Generator) -> Solid:
    """Turned, scaled and moved at random."""
    scale = 10 ** rng.uniform(-1.5, 1.5)
    return replace(solid, vertices=solid.vertices @ rotation(rng).T * scale + rng.normal(size=3) * scale)


def any_solid(rng: np.random.Generator, triangles: bool = False) -> Solid:
    """A random solid with convex polygons, or with triangles only."""
    make = (box, pyramid, antiprism, ring, ball)[int(rng.integers(5))]
    solid = placed(make(rng), rng)
    return solid.triangulated() if triangles else solid


def box(rng: np.random.Generator | None = None) -> Solid:
    """A box with quads; of sides 2, 1, 3 without a generator."""
    sides = np.array([2.0, 1.0, 3.0]) if rng is None else rng.uniform(0.3, 3, 3)
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float) * sides
    quads = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    return Solid(corners, quads)


def prism(outline: np.ndarray, height: float, start: int = 0) -> Solid:
    """Over a simple, counter-clockwise outline (n, 2); caps are single polygons that begin at `start`."""
    n = len(outline)
    low = np.column_stack([outline, np.zeros(n)])
    vertices = np.vstack([low, low + [0, 0, height]])
    turn = [(start + i) % n for i in range(n)]
    caps = [[n + i for i in turn], [turn[0], *turn[:0:-1]]]
    sides = [[i, (i + 1) % n, n + (i + 1) % n, n + i] for i in range(n)]
    return Solid(vertices, [*caps, *sides])


def pyramid(rng: np.random.Generator) -> Solid:
    """Over a regular polygon."""
    n = int(rng.integers(3, 9))
    angles = 2 * np.pi * np.arange(n) / n
    base = np.column_stack([np.cos(angles), np.sin(angles), np.zeros(n)])
    vertices = np.vstack([base, [[0, 0, rng.uniform(0.5, 2)]]])
    return Solid(vertices, [list(range(n))[::-1], *[[i, (i + 1) % n, n] for i in range(n)]])


def antiprism(rng: np.random.Generator) -> Solid:
    """Two regular polygons and a band of triangles."""
    n = int(rng.integers(3, 8))
    angles = 2 * np.pi * np.arange(n) / n
    low = np.column_stack([np.cos(angles), np.sin(angles), np.zeros(n)])
    high = np.column_stack([np.cos(angles + np.pi / n), np.sin(angles + np.pi / n), np.full(n, 1.3)])
    band = [[i, (i + 1) % n, n + i] for i in range(n)]
    band += [[(i + 1) % n, n + (i + 1) % n, n + i] for i in range(n)]
    return Solid(np.vstack([low, high]), [list(range(n))[::-1], [n + i for i in range(n)], *band])


def ring(rng: np.random.Generator) -> Solid:
    """A torus of planar quads (trapezia)."""
    m, n, thin = int(rng.integers(5, 14)), int(rng.integers(4, 10)), rng.uniform(0.2, 0.6)
    u, v = np.meshgrid(2 * np.pi * np.arange(m) / m, 2 * np.pi * np.arange(n) / n, indexing="ij")
    far = 1 + thin * np.cos(v)
    vertices = np.stack([far * np.cos(u), far * np.sin(u), thin * np.sin(v)], -1).reshape(-1, 3)
    at = lambda i, j: (i % m) * n + j % n  # noqa: E731
    quads = [[at(i, j), at(i + 1, j), at(i + 1, j + 1), at(i, j + 1)] for i in range(m) for j in range(n)]
    return Solid(vertices, quads)


def ball(rng: np.random.Generator | None = None, level: int = 2) -> Solid:
    """Triangles on the unit sphere: an octahedron divided `level` times."""
    vertices = [tuple(s * e) for e in np.eye(3) for s in (1.0, -1.0)]
    triangles = []
    for sx in (0, 1):
        for sy in (2, 3):
            for sz in (4, 5):
                even = (sx + sy + sz) % 2 == 0
                triangles.append([sx, sy, sz] if even else [sy, sx, sz])
    known: dict[tuple[int, int], int] = {}

    def middle(a: int, b: int) -> int:
        key = (min(a, b), max(a, b))
        if key not in known:
            point = np.add(vertices[a], vertices[b])
            vertices.append(tuple(point / np.linalg.norm(point)))
            known[key] = len(vertices) - 1
        return known[key]

    for _ in range(level):
        triangles = [
            t
            for a, b, c in triangles
            for ab, bc, ca in [(middle(a, b), middle(b, c), middle(c, a))]
            for t in ([a, ab, ca], [ab, b, bc], [ca, bc, c], [ab, bc, ca])
        ]
    return Solid(np.array(vertices), triangles)


def outline(rng: np.random.Generator) -> np.ndarray:
    """A random simple polygon (n, 2), counter-clockwise, mostly concave: star, comb, spiral, letter."""
    which = int(rng.integers(5))
    if which == 0:
        n = int(rng.integers(5, 24))
        angles = np.sort(rng.uniform(0, 1, n) * 0.8 + np.arange(n)) * 2 * np.pi / n
        return np.column_stack([np.cos(angles), np.sin(angles)]) * rng.uniform(0.2, 1, (n, 1))
    if which == 1:  # a comb
        teeth = int(rng.integers(2, 7))
        tooth = [(0, 1.0), (-0.3, 1.0), (-0.3, 0.2), (-1.0, 0.2)]
        top = [(i + x, y) for i in range(teeth, 0, -1) for x, y in tooth][:-2]
        return np.array([(0.7, 0.0), (teeth, 0.0), *top])
    if which == 2:  # a spiral band
        n = int(rng.integers(8, 20))
        angles = np.linspace(0, 3.3 * np.pi, n)
        arm = np.column_stack([np.cos(angles), np.sin(angles)])
        return np.vstack([arm * (1 + angles / 4)[:, None], (arm * (0.6 + angles / 4)[:, None])[::-1]])
    if which == 3:  # the letter L, with corners in the middle of edges
        return np.array([(0, 0), (1.5, 0), (3, 0), (3, 1), (1, 1), (1, 2), (1, 4), (0, 4), (0, 2)], float)
    return np.array([(0, 0), (2, 1), (0, 2), (0.6, 1)], float)  # an arrow head


def concave(rng: np.random.Generator) -> Solid:
    """A prism over a random concave outline, caps begin at a random corner."""
    flat = outline(rng)
    if newell(np.column_stack([flat, np.zeros(len(flat))]))[2] < 0:
        flat = flat[::-1]
    return placed(prism(flat, rng.uniform(0.2, 2), int(rng.integers(len(flat)))), rng)


def sphere_cloud(rng: np.random.Generator, count: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points of a sphere somewhere, outward normals, and colours of 8 bits per channel."""
    normals = rng.normal(size=(count, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    points = normals * rng.uniform(0.5, 3) + rng.normal(size=3)
    return points, normals, rng.integers(0, 256, (count, 3))


def linear(srgb: np.ndarray) -> np.ndarray:
    """sRGB in [0, 1] to linear light (IEC 61966-2-1)."""
    srgb = np.asarray(srgb, float)
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def encoded(values: np.ndarray) -> np.ndarray:
    """Linear light in [0, 1] to sRGB."""
    values = np.clip(values, 0, 1)
    return np.where(values <= 0.0031308, 12.92 * values, 1.055 * values ** (1 / 2.4) - 0.055)
