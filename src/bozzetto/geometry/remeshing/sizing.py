"""Edge lengths that keep volume and area within a tolerance, and detection of surfaces too rough for that.

A surface is rough, as scans are, if noise and small bumps bend it more than the tolerance allows.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .surface import Flags, Floats, WorkingMesh, area_vectors, dots, lengths

SHARE = 0.6  # of the tolerance that is planned with
SMOOTHING = 3  # steps of averaging curvature over neighbouring faces: bumps and dents of noise cancel
LOSS = 0.05  # of the tolerance that may be lost at edges between facets
SCATTER = 0.05  # of the volume between surface and triangles that is not relied on to cancel
LARGE, SMALL = 3.0, 1 / 1.5  # over the wanted length: height of faces that are kept as they are
STOUT = 0.3  # height over longest edge: slimmer faces are facets, not samples of a smooth surface
SLIMMEST = 0.6, 2.0  # longest edge wanted in narrow facets, over the height of the facet, or of one face
SMALLEST = 0.5  # shortest edge wanted because of curvature, over the height of the face there
FLAT = np.radians(0.1)  # faces that meet at less are one facet
DETAIL = np.radians(1)  # edges that bend less are no details


@dataclass(frozen=True)
class Facets:
    """The flat parts of a surface, as values per face.

    Attributes:
        area: (F,) area of the face.
        longest: (F,) longest edge of the face.
        height: (F,) height of the equilateral triangle with the same ratio of area to perimeter as the flat
            part.
        single: (F,) whether the face is a flat part by itself.
    """

    area: Floats
    longest: Floats
    height: Floats
    single: Flags

    @property
    def stout(self) -> Flags:
        """(F,) whether the face is nearly equilateral; if it is also single, it samples a smooth surface."""
        return self.height > STOUT * self.longest

    @classmethod
    def of(cls, surface: WorkingMesh, bend: Floats, lines: Flags) -> "Facets":
        """Join faces across edges with a small bend."""
        corners = surface.vertices[surface.faces]
        area = lengths(area_vectors(corners)) / 2
        sides = np.linalg.norm(np.roll(corners, -1, axis=1) - corners, axis=2)
        flat = ~lines & ~surface.edges.is_boundary & (np.abs(bend) <= FLAT)
        left, right = surface.edges.halves[flat].T // 3
        count = len(area)
        graph = coo_array((np.ones(len(left)), (left, right)), shape=(count, count))
        number, part = connected_components(graph, directed=False)
        around = np.where(flat[surface.edges.of_half].reshape(-1, 3), 0, sides).sum(axis=1)
        outline = np.maximum(np.bincount(part, around, number), 1e-300)
        height = 6 * np.bincount(part, area, number) / outline
        return cls(area, sides.max(axis=1), height[part], np.bincount(part)[part] == 1)


def curvature_lengths(surface: WorkingMesh, bend: Floats, lines: Flags, tolerance: float) -> Floats:
    """(F,) the longest edges, up to the wanted length, that keep volume and area within a tolerance.

    For triangles with edges of length L whose corners lie on a surface of mean curvature H, the mean distance
    to the surface is H L^2 / 8 (an equilateral triangle under the osculating paraboloid), and the relative
    difference of areas is up to H^2 L^2 / 5 (5/24 on a sphere, 1/6 on a cylinder). Of all lengths for which
    both are within their bounds, those with the fewest triangles, that is, with the least integral of 1 / L^2,
    are inversely proportional to the fourth root of the cost per L^2 (by a Lagrange multiplier). Dunyach et al.
    2013,
    equation 1, bound the gap everywhere alike instead, which wastes triangles on small parts.

    Source: Dunyach et al. 2013, equation 1. Differs: lengths spread a given cost over the surface instead of
    bounding the gap everywhere alike.

    Args:
        surface: The input, with the longest edges allowed as target.
        bend: (E,) from `bends`.
        lines: (E,) edges that are kept, whose bends do not count.
        tolerance: Largest relative change of volume and area.
    """
    facets = Facets.of(surface, bend, lines)
    area = facets.area
    longest = surface.target[surface.faces].min(axis=1)
    mean = _mean_curvature(surface, np.where(lines, 0, bend), lines, area)
    volume = _volume(surface, area.sum())
    cost = np.abs(mean) / (8 * volume) + mean**2 / (5 * area.sum())
    with np.errstate(divide="ignore"):
        proportion = np.sqrt(np.sqrt(1 / cost))
    least = SMALLEST * 2 * area / facets.longest

    def planned(scale: float) -> Floats:
        return np.minimum(longest, np.maximum(least, scale * proportion))

    def fits(scale: float) -> bool:
        gap = area * mean * planned(scale) ** 2 / 8
        shrunk = (area * mean**2 * planned(scale) ** 2).sum() / 5
        changed = abs(gap.sum()) + SCATTER * np.abs(gap).sum()
        return bool(changed <= SHARE * tolerance * volume and shrunk <= SHARE * tolerance * area.sum())

    low, high = -20.0, 10.0  # binary logarithms
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(2.0**middle) else (low, middle)
    return planned(2.0**low)


def find_details(
    surface: WorkingMesh, bend: Floats, lines: Flags, planned: Floats, tolerance: float
) -> Flags:
    """(E,) edges to keep besides creases, so that cutting across the others loses no more area than allowed.

    Where facets meet at an angle t, edges of length L that cut across lose t^2 L / 12 of area per unit length.
    The sharpest edges are kept, as many as necessary for the bound, without triangles finer than the input's.
    Between facets, almost all are kept, since triangles that approximate many facets as a curved surface would
    be tiny. Faces about as large as the target triangles are left out, so that evenly sampled meshes get even
    triangles again.
    """
    edges = surface.edges
    facets = Facets.of(surface, bend, lines)
    height = surface.smaller_of_halves(np.repeat(facets.height, 3))
    longest = surface.target[edges.ends].min(axis=1)
    size = np.abs(bend)
    open_to = ~lines & ~edges.is_boundary & (size > DETAIL)
    wanted = surface.target[surface.faces].min(axis=1)
    even = facets.single & (facets.height < LARGE * wanted) & (facets.height > SMALL * wanted)
    even &= (facets.longest < LARGE * wanted) & facets.stout
    open_to[open_to] &= ~even[edges.halves[open_to] // 3].all(axis=1)
    index = np.flatnonzero(open_to)
    index = index[np.argsort(size[index], kind="stable")]
    a, b = surface.vertices[edges.ends[index]].transpose(1, 0, 2)
    height, longest = height[index], longest[index]
    cut = surface.smaller_of_halves(np.repeat(planned, 3))[index]
    cut = np.minimum(np.where(cut < height, longest, cut), height)
    loss = np.cumsum(size[index] ** 2 * lengths(a - b) * cut / 12)
    sampled = (facets.single & facets.stout)[edges.halves[index] // 3].all(axis=1)
    allowed = np.where(sampled, SHARE, LOSS) * tolerance * facets.area.sum()
    result = np.zeros(len(bend), bool)
    result[index[loss > allowed]] = True
    return result


def within_narrow_facets(
    surface: WorkingMesh, bend: Floats, lines: Flags, details: Flags, planned: Floats
) -> Floats:
    """(F,) planned lengths, shortened in narrow facets between kept lines, for well-shaped triangles.

    Args:
        surface: The input, with the longest edges allowed as target.
        bend: (E,) from `bends`.
        lines: (E,) edges that are kept.
        details: (E,) the kept edges from `find_details`; facets of one face matter next to these only.
        planned: (F,) lengths.
    """
    facets = Facets.of(surface, bend, lines)
    beside, fine = (chosen[surface.edges.of_half].reshape(-1, 3).any(axis=1) for chosen in (lines, details))
    most = np.where(facets.single, SLIMMEST[1], SLIMMEST[0]) * facets.height
    return np.where(np.where(facets.single, fine, beside), np.minimum(planned, most), planned)


def _mean_curvature(surface: WorkingMesh, bend: Floats, lines: Flags, area: Floats) -> Floats:
    """(F,) mean curvature, positive where convex, averaged over neighbouring faces up to the kept lines.

    Its integral over a neighbourhood of an edge is half the bend times the length (Steiner's formula).
    """
    a, b = surface.vertices[surface.edges.ends].transpose(1, 0, 2)
    integral = (bend * lengths(a - b) / 4)[surface.edges.of_half].reshape(-1, 3).sum(axis=1)
    inner = ~lines & ~surface.edges.is_boundary
    left, right = surface.edges.halves[inner].T // 3
    count = len(area)

    def spread(values: Floats) -> Floats:
        received = np.bincount(left, values[right], count) + np.bincount(right, values[left], count)
        return values + received.astype(np.float64)

    total = area
    for _ in range(SMOOTHING):
        integral, total = spread(integral), spread(total)
    return integral / np.maximum(total, 1e-300)


def keeps_size(before: WorkingMesh, after: WorkingMesh, tolerance: float) -> bool:
    """Whether area, and volume where the surfaces are closed, differ by no more than a tolerance."""
    one, two = (lengths(area_vectors(x.vertices[x.faces])).sum() / 2 for x in (before, after))
    change = abs(two - one) / max(one, 1e-300)
    if not before.boundary.any():
        inside = _volume(before, one)
        change = max(change, abs(_volume(after, two) - inside) / max(inside, 1e-300))
    return bool(change <= tolerance)


def _volume(surface: WorkingMesh, area: float) -> float:
    """The volume inside a closed surface; for an open one, that of the ball with the same area."""
    ball = float(area * np.sqrt(area / np.pi) / 6)
    if surface.boundary.any():
        return ball
    a, b, c = surface.vertices[surface.faces].transpose(1, 0, 2) - surface.vertices.mean(axis=0)
    return max(abs(float(dots(a, np.cross(b, c)).sum())) / 6, 1e-6 * ball)


ROUGH = 0.2  # fraction of squared bends against their surroundings: to 0.07 if smooth, from 0.23 on scans
EXCESS = (
    3 / 8
)  # area that noise adds, over the mean square of its bends (equilateral triangles, heights at random)
ROWS, COLUMNS = [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]  # of the different entries of a symmetric matrix
TIMES = np.array([1, 2, 2, 1, 2, 1])  # how often each of them is in the matrix


def is_rough(surface: WorkingMesh, bend: Floats, lines: Flags, tolerance: float) -> bool:
    """Whether noise rather than shape bends the edges, and adds more area than a tolerance allows.

    Shape bends an edge in the same direction as the surface around it is curved, whether smooth or faceted.
    Noise bends at least as many edges against their surroundings as with them. The area that noise adds is
    estimated as twice that of the edges against. If too few edges are against, shape dominates and noise is
    ignored.

    Args:
        surface: The input.
        bend: (E,) from `bends`.
        lines: (E,) creases and boundaries, left out.
        tolerance: Largest relative change of area.
    """
    against = bends_against(surface, np.where(lines, 0, bend))
    square = np.where(lines, 0, bend**2)
    corners = surface.vertices[surface.faces]
    area = lengths(area_vectors(corners)) / 2
    around = np.bincount(surface.edges.of_half, np.repeat(area / 3, 3))
    excess = 2 * EXCESS * (around * square)[against].sum() / max(area.sum(), 1e-300)
    return bool(square[against].sum() > ROUGH * square.sum() and excess > tolerance)


def bends_against(surface: WorkingMesh, bend: Floats) -> Flags:
    """(E,) whether an edge bends in the opposite direction to its surroundings: two rings of other edges.

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
    """(V, C) sums over the edges at each vertex, of values (E, C) for their first and their second ends."""
    a, b = surface.edges.ends.T
    count = len(surface.vertices)
    pairs = zip(at_first.T, at_second.T, strict=True)
    sums = [np.bincount(a, x, count) + np.bincount(b, y, count) for x, y in pairs]
    return np.stack(sums, axis=1).astype(np.float64)
