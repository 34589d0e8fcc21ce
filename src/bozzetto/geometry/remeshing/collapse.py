"""Collapsing of short edges."""

from dataclasses import dataclass

import numpy as np

from .curves import Curves
from .surface import (
    Features,
    Flags,
    Floats,
    Ints,
    Stars,
    WorkingMesh,
    following,
    lengths,
    lowest,
    onto_segment,
    preceding,
    ranks,
)

ROUNDS = 60  # of collapses at the same time, an end in case that none of the following comes
FEW = 1e-3  # share of the vertices: a round that looks at fewer edges is the last one
STRAIGHT = 0.05  # over the wanted length: how far a collapse may move a kept line


@dataclass(frozen=True)
class _Collapses:
    """Edges whose end `gone` moves into `kept`, which moves to `place`."""

    edge: Ints
    kept: Ints
    gone: Ints
    place: Floats


def collapse_short_edges(
    surface: WorkingMesh, shortest: float, longest: float, curves: Curves, generator: np.random.Generator
) -> WorkingMesh:
    """Collapse edges shorter than `shortest` times the wanted length, as far as that is safe.

    A collapse needs the link condition (so that a manifold keeps its genus and boundaries), makes no edge
    longer than `longest`, turns no face over and leaves boundary, creases and corners where they are. In each
    round those edges go together which come first in all the faces around them, in an order that prefers
    short ones.
    """
    refused = np.empty(0, np.int64)
    for _ in range(ROUNDS):
        edges = surface.edges
        relative = surface.relative_length()
        candidate = relative < shortest
        candidate[candidate] = ~np.isin(edges.keys[candidate], refused)
        # An inner edge between two vertices on kept lines would pinch the surface, or join the lines.
        a, b = edges.ends.T
        candidate &= (surface.feature_of_edge >= 0) | ~(surface.kept[a] & surface.kept[b])
        candidate &= ~(surface.features.fixed[a] & surface.features.fixed[b])
        index = np.flatnonzero(candidate)
        if len(index) == 0:
            break
        order = ranks(relative[index] * generator.uniform(0.5, 1, len(index)))
        chosen = index[_independent(surface, edges.ends[index], order)]
        collapses = _place(surface, chosen, curves)
        safe = _safe(surface, collapses, longest, curves)
        refused = np.append(refused, edges.keys[chosen[~safe]])
        surface = _apply(surface, collapses, safe)
        if len(chosen) < FEW * len(surface.vertices):
            break
    return surface.compact()


def _independent(surface: WorkingMesh, ends: Ints, order: Ints) -> Flags:
    """Edges that come first among all those with an end in one of the faces around them.

    The faces around two such edges are disjoint, so neither changes what the other was checked against.
    """
    faces = surface.faces
    at_vertex = lowest(len(surface.vertices), ends.ravel(), np.repeat(order, 2))
    a, b, c = faces.T
    in_face = np.minimum(np.minimum(at_vertex[a], at_vertex[b]), at_vertex[c])
    busy = np.flatnonzero(in_face < np.iinfo(np.int64).max)
    around = lowest(len(surface.vertices), faces[busy].ravel(), np.repeat(in_face[busy], 3))
    return (around[ends[:, 0]] == order) & (around[ends[:, 1]] == order)


def _place(surface: WorkingMesh, chosen: Ints, curves: Curves) -> _Collapses:
    """The midpoint; the vertex on a kept line if there is one; of two, the one that matters more."""
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
    """How far kept lines lie from the straight edge that would replace a vertex on them; infinite if none can.

    Measured at the vertex and where the line has its middle between the neighbours of the vertex on it.
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
    """Whether the ends have no common neighbours but the corners opposite to the edge, which keep a fan.

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


def _apply(surface: WorkingMesh, collapses: _Collapses, safe: Flags) -> WorkingMesh:
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
