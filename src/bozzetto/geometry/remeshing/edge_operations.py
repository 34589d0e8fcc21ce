"""The edge operations of remeshing: splits of long edges, collapses of short ones, flips for regular
valence."""

from dataclasses import dataclass, replace

import numpy as np

from .creases import Curves
from .relax import Original
from .surface import (
    DEGENERATE,
    NOWHERE,
    SLIM,
    Balls,
    Features,
    Flags,
    Floats,
    Ints,
    Stars,
    WorkingMesh,
    area_vectors,
    corner_angles,
    dots,
    following,
    lengths,
    lowest,
    onto_segment,
    preceding,
    ranks,
    slimness,
    turned_over,
)

SPLIT_ROUNDS = 40  # each halves the longest edge, so this is never reached


def split_long_edges(surface: WorkingMesh, longest: float, original: Original) -> WorkingMesh:
    """Halve edges longer than `longest` times the target length until there are none.

    All long edges are split at the same time: a face with one, two or three of them becomes two, three or
    four faces. Botsch & Kobbelt split one edge after the other; the result differs only in diagonals. An edge
    on a kept line is split at the middle of the line between its ends.
    """
    for _ in range(SPLIT_ROUNDS):
        long = surface.relative_length() > longest
        if not long.any():
            break
        if original.graded:
            long = _longest_sides(surface, long)
        surface = _split(surface, np.flatnonzero(long), original)
    return surface


def _longest_sides(surface: WorkingMesh, long: Flags) -> Flags:
    """(E,) the longest edges of faces with a long edge, so that halving makes no slivers.

    Rivara 1984, "Algorithms for refining triangular grids suitable for adaptive and multigrid techniques".
    With one target length everywhere, all long edges have similar lengths and need no such rule.

    Source: Rivara 1984, longest-edge refinement.
    """
    edges = surface.edges
    a, b = surface.vertices[edges.ends].transpose(1, 0, 2)
    sides = edges.of_half.reshape(-1, 3)
    longest = sides[np.arange(len(sides)), lengths(a - b)[sides].argmax(axis=1)]
    result = np.zeros(len(edges.keys), bool)
    result[longest[long[sides].any(axis=1)]] = True
    return result


def _split(surface: WorkingMesh, chosen: Ints, original: Original) -> WorkingMesh:
    ends = surface.edges.ends[chosen]
    middles = surface.vertices[ends].mean(axis=1)
    rows, at = surface.feature_of_edge[chosen], surface.features.at
    on_line = rows >= 0
    middles[on_line] = original.curves(at[rows[on_line]].mean(axis=1))
    vertices = np.concatenate([surface.vertices, middles])
    target = np.concatenate([surface.target, original.between(surface, ends, middles)])
    features = _halved(surface, rows[on_line], len(surface.vertices) + np.flatnonzero(on_line), len(vertices))
    middle_of_edge = np.full(len(surface.edges.keys), -1)
    middle_of_edge[chosen] = len(surface.vertices) + np.arange(len(chosen))
    middle = middle_of_edge[surface.edges.of_half].reshape(-1, 3)
    return WorkingMesh(vertices, _subdivide(vertices, surface.faces, middle), target, features)


def _halved(surface: WorkingMesh, rows: Ints, middle: Ints, count: int) -> Features:
    """The kept lines after splitting some of their edges at new vertices."""
    lines = surface.features
    stays = np.ones(len(lines.ends), bool)
    stays[rows] = False
    (a, b), (start, end) = lines.ends[rows].T, lines.at[rows].T
    half = (start + end) / 2
    first, second = np.stack([a, middle], axis=1), np.stack([middle, b], axis=1)
    ends = np.concatenate([lines.ends[stays], first, second])
    at = [lines.at[stays], np.stack([start, half], axis=1), np.stack([half, end], axis=1)]
    fixed = np.append(lines.fixed, np.zeros(count - len(lines.fixed), bool))
    return Features(ends, np.concatenate(at), fixed)


def _subdivide(vertices: Floats, faces: Ints, middle: Ints) -> Ints:
    """Replace faces by parts; middle (F, 3) is the vertex on the edge from corner k to k + 1, or -1."""
    marked = (middle >= 0).sum(axis=1)
    # Turn each face so that a single marked edge is the first, a single unmarked one the last.
    single = np.where(marked == 1, np.argmax(middle >= 0, axis=1), 0)
    turn = np.where(marked == 2, np.argmax(middle < 0, axis=1) + 1, single)
    order = (turn[:, None] + np.arange(3)) % 3
    faces, middle = np.take_along_axis(faces, order, 1), np.take_along_axis(middle, order, 1)

    a, b, c, p, _, _ = _columns(faces, middle, marked == 1)
    halves = [(a, p, c), (p, b, c)]
    a, b, c, p, q, r = _columns(faces, middle, marked == 3)
    quarters = [(a, p, r), (b, q, p), (c, r, q), (p, q, r)]
    a, b, c, p, q, _ = _columns(faces, middle, marked == 2)
    tip = [(p, b, q)]
    # The quad a, p, q, c is cut along its shorter diagonal.
    short = np.linalg.norm(vertices[a] - vertices[q], axis=1) < np.linalg.norm(
        vertices[p] - vertices[c], axis=1
    )
    quad = [(a, p, np.where(short, q, c)), (np.where(short, a, p), q, c)]
    parts = [np.stack(part, axis=1) for part in halves + quarters + tip + quad]
    return np.concatenate([faces[marked == 0], *parts])


def _columns(faces: Ints, middle: Ints, rows: Flags) -> tuple[Ints, ...]:
    return (*faces[rows].T, *middle[rows].T)


COLLAPSE_ROUNDS = 60  # of collapses at the same time, an end in case that none of the following comes
FEW_COLLAPSES = 1e-3  # fraction of the vertices: a round with fewer candidate edges is the last
STRAIGHT = 0.05  # over the wanted length: how far a collapse may move a kept line


@dataclass(frozen=True)
class _Collapses:
    """Edges whose end `gone` moves into `kept`, which moves to `place`."""

    edge: Ints
    kept: Ints
    gone: Ints
    place: Floats


def collapse_short_edges(
    surface: WorkingMesh,
    shortest: float,
    longest: float,
    curves: Curves,
    generator: np.random.Generator,
    except_in: Balls = NOWHERE,
) -> WorkingMesh:
    """Collapse edges shorter than `shortest` times the target length where that is safe.

    A collapse needs the link condition (so that a manifold keeps its genus and boundaries), makes no edge
    longer than `longest`, flips no face and keeps boundary, creases and corners. Edges with an end in one of
    the balls `except_in` stay. In each round, those edges are collapsed that come first among the edges of all
    faces around them, in an order that prefers short ones.
    """
    refused = np.empty(0, np.int64)
    for _ in range(COLLAPSE_ROUNDS):
        edges = surface.edges
        relative = surface.relative_length()
        candidate = relative < shortest
        candidate[candidate] = ~np.isin(edges.keys[candidate], refused)
        # An inner edge between two vertices on kept lines would pinch the surface, or join the lines.
        a, b = edges.ends.T
        candidate &= (surface.feature_of_edge >= 0) | ~(surface.kept[a] & surface.kept[b])
        candidate &= ~(surface.features.fixed[a] & surface.features.fixed[b])
        still = except_in.contain(surface.vertices)
        candidate &= ~(still[a] | still[b])
        index = np.flatnonzero(candidate)
        if len(index) == 0:
            break
        order = ranks(relative[index] * generator.uniform(0.5, 1, len(index)))
        chosen = index[_independent(surface, edges.ends[index], order)]
        collapses = _place(surface, chosen, curves)
        safe = _safe(surface, collapses, longest, curves)
        refused = np.append(refused, edges.keys[chosen[~safe]])
        surface = _apply_collapses(surface, collapses, safe)
        if len(chosen) < FEW_COLLAPSES * len(surface.vertices):
            break
    return surface.compact()


def _independent(surface: WorkingMesh, ends: Ints, order: Ints) -> Flags:
    """Edges that come first among all those with an end in one of the faces around them.

    The faces around two such edges are disjoint, so that their checks are independent.
    """
    faces = surface.faces
    at_vertex = lowest(len(surface.vertices), ends.ravel(), np.repeat(order, 2))
    a, b, c = faces.T
    in_face = np.minimum(np.minimum(at_vertex[a], at_vertex[b]), at_vertex[c])
    busy = np.flatnonzero(in_face < np.iinfo(np.int64).max)
    around = lowest(len(surface.vertices), faces[busy].ravel(), np.repeat(in_face[busy], 3))
    return (around[ends[:, 0]] == order) & (around[ends[:, 1]] == order)


def _place(surface: WorkingMesh, chosen: Ints, curves: Curves) -> _Collapses:
    """Position after the collapse: the midpoint; or the end on a kept line; of two such ends, the more
    important."""
    kept, gone = surface.edges.ends[chosen].T
    on_kept, on_gone = surface.kept[kept], surface.kept[gone]
    both = on_kept & on_gone
    swap = on_gone & ~on_kept
    swap[both] = _bend(surface, gone[both], curves) > _bend(surface, kept[both], curves)
    kept, gone = np.where(swap, gone, kept), np.where(swap, kept, gone)
    middle = (surface.vertices[kept] + surface.vertices[gone]) / 2
    place = np.where((on_kept | on_gone)[:, None], surface.vertices[kept], middle)
    return _Collapses(chosen, kept, gone, place)


def _bend(surface: WorkingMesh, vertices: Ints, curves: Curves) -> Floats:
    """Distance of kept lines from the edge that would replace a vertex on them; infinite if impossible.

    Measured at the vertex and at the middle of the line between its two neighbours.
    """
    lines = surface.features
    order = np.argsort(lines.ends.ravel(), kind="stable")  # all but fixed vertices appear twice
    owner, other = lines.ends.ravel()[order], lines.ends[:, ::-1].ravel()[order]
    far = lines.at[:, ::-1].ravel()[order]
    fixed = lines.fixed[vertices]
    first = np.where(fixed, 0, np.searchsorted(owner, vertices))
    second = np.where(fixed, 0, first + 1)
    before, after = surface.vertices[other[first]], surface.vertices[other[second]]
    points, middle = surface.vertices[vertices], curves((far[first] + far[second]) / 2)
    away = np.maximum(
        lengths(points - onto_segment(points, before, after)),
        lengths(middle - onto_segment(middle, before, after)),
    )
    # A loop of three edges would become one of two.
    keys = np.sort(lines.ends, axis=1) @ [len(surface.vertices), 1]
    joined = np.sort(np.stack([other[first], other[second]], axis=1), axis=1) @ [len(surface.vertices), 1]
    return np.where(fixed | np.isin(joined, keys), np.inf, away)


def _safe(surface: WorkingMesh, collapses: _Collapses, longest: float, curves: Curves) -> Flags:
    """Whether each collapse may happen."""
    stars = Stars.of(surface.faces, len(surface.vertices))
    safe = _link_condition(surface, stars, collapses)
    line = surface.feature_of_edge[collapses.edge] >= 0
    gone = collapses.gone[line]
    safe[line] &= _bend(surface, gone, curves) <= STRAIGHT * surface.target[gone]
    # The faces that stay: those around either end without the other.
    ends = np.concatenate([collapses.kept, collapses.gone])
    owner, corner = stars.around(ends)
    face = corner // 3
    number = owner % len(collapses.edge)
    other = np.concatenate([collapses.gone, collapses.kept])[owner]
    stays = (surface.faces[face] != other[:, None]).all(axis=1)
    face, corner, number = face[stays], corner[stays], number[stays]
    after = surface.vertices[surface.faces[face]]
    after[np.arange(len(face)), corner % 3] = collapses.place[number]
    bad = surface.turns_over(face, after)
    reach = np.linalg.norm(after - collapses.place[number][:, None], axis=2) > longest * np.minimum(
        surface.target[surface.faces[face]], surface.target[collapses.kept[number]][:, None]
    )
    safe[number[bad | reach.any(axis=1)]] = False
    return safe


def _link_condition(surface: WorkingMesh, stars: Stars, collapses: _Collapses) -> Flags:
    """Whether the only common neighbours of the ends are the corners opposite to the edge, which keep a fan.

    Dey, Edelsbrunner, Guha & Nekhayev 1999, "Topology preserving edge contraction".

    Source: Dey et al. 1999, the link condition.
    """
    edges, faces, count = surface.edges, surface.faces, len(surface.vertices)
    halves = edges.halves[collapses.edge]
    opposite = faces.ravel()[preceding(halves)]
    exists = halves >= 0
    valence = np.bincount(edges.ends.ravel(), minlength=count)
    smallest = np.where(surface.boundary[opposite], 2, 3)
    fan = ((valence[opposite] > smallest) | ~exists).all(axis=1)
    owner, corner = stars.around(collapses.kept)
    near = np.concatenate([faces.ravel()[following(corner)], faces.ravel()[preceding(corner)]])
    owner, near = np.divmod(np.unique(np.tile(owner, 2) * count + near), count)
    common = edges.exist(near, collapses.gone[owner], count)
    shared = np.bincount(owner[common], minlength=len(halves))
    return fan & (shared == exists.sum(axis=1))


def _apply_collapses(surface: WorkingMesh, collapses: _Collapses, safe: Flags) -> WorkingMesh:
    kept, gone = collapses.kept[safe], collapses.gone[safe]
    vertices, target = surface.vertices.copy(), surface.target.copy()
    vertices[kept] = collapses.place[safe]
    target[kept] = (target[kept] + target[gone]) / 2
    index = np.arange(len(vertices))
    index[gone] = kept
    faces = index[surface.faces]
    a, b, c = faces.T
    alive = (a != b) & (b != c) & (c != a)
    return WorkingMesh(
        vertices, faces[alive], target, _joined(surface, collapses.edge[safe], kept, gone, index)
    )


def _joined(surface: WorkingMesh, edge: Ints, kept: Ints, gone: Ints, index: Ints) -> Features:
    """The kept lines after collapses; `index` maps vertices to those that replace them."""
    lines = surface.features
    row = surface.feature_of_edge[edge]
    on_line = row >= 0
    row, kept, gone = row[on_line], kept[on_line], gone[on_line]
    place = np.full(len(surface.vertices), np.nan)
    place[gone] = np.where(lines.ends[row, 0] == kept, lines.at[row, 0], lines.at[row, 1])
    moved = place[lines.ends]
    at = np.where(np.isnan(moved), lines.at, moved)
    stays = np.ones(len(lines.ends), bool)
    stays[row] = False
    return Features(index[lines.ends[stays]], at[stays], lines.fixed)


FLIP_ROUNDS = 40  # of flips at the same time; every flip lowers the valence error, so it ends anyway
FEW_FLIPS = 1e-3  # fraction of the vertices: a round with fewer flips is the last
CREASE = 0.5  # cosine: other edges between faces that meet at a sharper angle than 60 degrees stay, too
TURN = 0.5  # cosine: a flip may not turn the surface by more than this
MENDING = 8  # gain, more than any of valence, of mending a sliver at a kept line
BEFORE, AFTER = [[0, 1, 2], [1, 0, 3]], [[3, 1, 2], [2, 0, 3]]  # the two faces of a quad


def flip_edges(
    surface: WorkingMesh, generator: np.random.Generator, except_in: Balls = NOWHERE
) -> WorkingMesh:
    """Flip edges while that brings valences closer to 6, or 4 on the boundary.

    A flip lowers the sum of absolute deviations over its four vertices, joins two vertices without a common
    edge, changes no kept line and does not fold the surface; or it improves a sliver at a kept line. Edges of
    quads with a vertex in one of the balls `except_in` stay. In each round, those edges are flipped that share
    no vertex with a better one, so that valences change at most once.
    """
    ideal, still = _ideal(surface), except_in.contain(surface.vertices)
    smallest = np.where(surface.boundary, 2, 3)
    for _ in range(FLIP_ROUNDS):
        edges, count = surface.edges, len(surface.vertices)
        halves = edges.halves[surface.feature_of_edge < 0]
        corner = surface.faces.ravel()
        # The edge runs from a to b; c is opposite on its left, d on its right.
        quad = np.stack(
            [*corner[np.stack([halves[:, 0], halves[:, 1]])], *corner[preceding(halves)].T], axis=1
        )
        excess = np.bincount(edges.ends.ravel(), minlength=count) - ideal
        gain = _gain(excess[quad])
        near = surface.kept[quad[:, 0]] | surface.kept[quad[:, 1]]
        near |= surface.kept[quad[:, 2]] | surface.kept[quad[:, 3]]
        gain[near] += MENDING * _mends(surface.vertices[quad[near]])
        index = np.flatnonzero((gain > 0) & ~still[quad].any(axis=1))
        quad, halves, gain, near = quad[index], halves[index], gain[index], near[index]
        allowed = ((excess + ideal)[quad[:, :2]] > smallest[quad[:, :2]]).all(axis=1)
        allowed &= ~edges.exist(quad[:, 2], quad[:, 3], count)
        allowed &= _keeps_shape(surface.vertices[quad], near)
        quad, halves, gain = quad[allowed], halves[allowed], gain[allowed]
        if len(quad) == 0:
            break
        order = ranks(generator.uniform(0, 1, len(quad)) - gain)
        best = lowest(count, quad.ravel(), np.repeat(order, 4))
        chosen = (best[quad] == order[:, None]).all(axis=1)
        surface = _apply_flips(surface, quad[chosen], halves[chosen])
        if chosen.sum() < FEW_FLIPS * count:
            break
    return surface


def _ideal(surface: WorkingMesh) -> Ints:
    """(V,) ideal valence, for angles of 60 degrees: 6 inside the surface, 4 on the boundary, others at
    corners."""
    fixed = surface.features.fixed
    angles = surface.sums_of_corners(corner_angles(surface.vertices[surface.faces]))
    wedges = np.maximum(np.rint(angles / (np.pi / 3)), 1).astype(np.int64)
    return np.where(fixed, wedges, np.where(surface.boundary, 3, 6)) + surface.boundary


def _gain(excess: Ints) -> Ints:
    """Decrease of the valence error by flips; the vertices of columns a, b lose an edge, those of c, d gain
    one."""
    a, b, c, d = excess.T
    lost = np.abs(a) - np.abs(a - 1) + np.abs(b) - np.abs(b - 1)
    return lost + np.abs(c) - np.abs(c + 1) + np.abs(d) - np.abs(d + 1)


def _keeps_shape(corners: Floats, kept: Flags) -> Flags:
    """Whether flipping the edge of quads (N, 4, 3) keeps creases and orientation.

    For quads at kept lines, it also must not make a sliver: three vertices on one line have no area.
    """
    old, new = _normals(corners, BEFORE), _normals(corners, AFTER)
    both = old[0] + old[1]
    before, after = _slimmest(corners, BEFORE), _slimmest(corners, AFTER)
    fine = ~turned_over(old[0], old[1], CREASE) | (before < DEGENERATE)
    fine &= ~kept | (after >= np.minimum(SLIM, before))
    for normal in new:
        fine &= ~turned_over(both, normal, TURN) & (dots(both, normal) > 0)
    return fine


def _mends(corners: Floats) -> Flags:
    """Whether flipping the edge of quads (N, 4, 3) improves the slimness of a sliver by at least half."""
    before = _slimmest(corners, BEFORE)
    return (before < SLIM) & (_slimmest(corners, AFTER) > 1.5 * before)


def _normals(corners: Floats, faces: list[list[int]]) -> list[Floats]:
    return [area_vectors(corners[:, face]) for face in faces]


def _slimmest(corners: Floats, faces: list[list[int]]) -> Floats:
    """(N,) the lower slimness of the two faces of quads."""
    one, two = (slimness(corners[:, face], area_vectors(corners[:, face])) for face in faces)
    return np.minimum(one, two)


def _apply_flips(surface: WorkingMesh, quad: Ints, halves: Ints) -> WorkingMesh:
    a, b, c, d = quad.T
    faces = surface.faces.copy()
    faces[halves[:, 0] // 3] = np.stack([d, b, c], axis=1)
    faces[halves[:, 1] // 3] = np.stack([c, a, d], axis=1)
    return replace(surface, faces=faces)
