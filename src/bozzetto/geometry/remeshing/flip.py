"""Flipping of edges towards even valence."""

from dataclasses import replace

import numpy as np

from .surface import (
    DEGENERATE,
    SLIM,
    Flags,
    Floats,
    Ints,
    WorkingMesh,
    area_vectors,
    corner_angles,
    dots,
    lowest,
    preceding,
    ranks,
    slimness,
    turned_over,
)

ROUNDS = 40  # of flips at the same time; every flip lowers the valence error, so it ends anyway
FEW = 1e-3  # share of the vertices: a round with fewer flips is the last one
CREASE = 0.5  # cosine: other edges between faces that meet at a sharper angle than 60 degrees stay, too
TURN = 0.5  # cosine: a flip may not turn the surface by more than this
MENDING = 8  # gain, more than any of valence, of mending a sliver at a kept line
BEFORE, AFTER = [[0, 1, 2], [1, 0, 3]], [[3, 1, 2], [2, 0, 3]]  # the two faces of a quad


def flip_edges(surface: WorkingMesh, generator: np.random.Generator) -> WorkingMesh:
    """Flip edges while that brings valences closer to 6, or 4 on the boundary.

    A flip lowers the sum of absolute deviations over its four vertices, joins two vertices that no edge joins
    yet, leaves kept lines alone and does not fold the surface; or it mends a sliver at a kept line. In each
    round those edges go together which share no vertex with a better one, so the valences that decided are
    still true.
    """
    ideal = _ideal(surface)
    smallest = np.where(surface.boundary, 2, 3)
    for _ in range(ROUNDS):
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
        index = np.flatnonzero(gain > 0)
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
        surface = _apply(surface, quad[chosen], halves[chosen])
        if chosen.sum() < FEW * count:
            break
    return surface


def _ideal(surface: WorkingMesh) -> Ints:
    """(V,) valence for angles of 60 degrees: 6 within the surface, 4 on the boundary, others at corners."""
    fixed = surface.features.fixed
    angles = surface.sums_of_corners(corner_angles(surface.vertices[surface.faces]))
    wedges = np.maximum(np.rint(angles / (np.pi / 3)), 1).astype(np.int64)
    return np.where(fixed, wedges, np.where(surface.boundary, 3, 6)) + surface.boundary


def _gain(excess: Ints) -> Ints:
    """How much flipping lowers the valence error; columns a, b lose an edge, c, d win one."""
    a, b, c, d = excess.T
    lost = np.abs(a) - np.abs(a - 1) + np.abs(b) - np.abs(b - 1)
    return lost + np.abs(c) - np.abs(c + 1) + np.abs(d) - np.abs(d + 1)


def _keeps_shape(corners: Floats, kept: Flags) -> Flags:
    """Whether flipping the edge of quads (N, 4, 3) leaves creases and orientation as they are.

    Nor may it make a sliver, for quads at kept lines: three vertices on one line have no area.
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
    """Whether flipping the edge of quads (N, 4, 3) makes a sliver less slim, by half at least."""
    before = _slimmest(corners, BEFORE)
    return (before < SLIM) & (_slimmest(corners, AFTER) > 1.5 * before)


def _normals(corners: Floats, faces: list[list[int]]) -> list[Floats]:
    return [area_vectors(corners[:, face]) for face in faces]


def _slimmest(corners: Floats, faces: list[list[int]]) -> Floats:
    """(N,) the lower slimness of the two faces of quads."""
    one, two = (slimness(corners[:, face], area_vectors(corners[:, face])) for face in faces)
    return np.minimum(one, two)


def _apply(surface: WorkingMesh, quad: Ints, halves: Ints) -> WorkingMesh:
    a, b, c, d = quad.T
    faces = surface.faces.copy()
    faces[halves[:, 0] // 3] = np.stack([d, b, c], axis=1)
    faces[halves[:, 1] // 3] = np.stack([c, a, d], axis=1)
    return replace(surface, faces=faces)
