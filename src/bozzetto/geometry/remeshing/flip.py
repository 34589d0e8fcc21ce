"""Flipping of edges towards even valence."""

from dataclasses import replace

import numpy as np

from .surface import (
    SLIM,
    Flags,
    Floats,
    Ints,
    Surface,
    area_vectors,
    corner_angles,
    dots,
    lowest,
    preceding,
    ranks,
    slimness,
    turned,
)

ROUNDS = 40  # of flips at the same time; every flip lowers the valence error, so it ends anyway
FEW = 1e-3  # share of the vertices: a round with fewer flips is the last one
CREASE = 0.5  # cosine: other edges between faces that meet at a sharper angle than 60 degrees stay, too
TURN = 0.5  # cosine: a flip may not turn the surface by more than this


def flip_edges(surface: Surface, generator: np.random.Generator) -> Surface:
    """Flip edges while that brings valences closer to 6, or 4 on the boundary.

    A flip lowers the sum of absolute deviations over its four vertices, joins two vertices that no edge joins
    yet, leaves kept lines alone and does not fold the surface. In each round those edges go together which
    share no vertex with a better one, so the valences that decided are still true.
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
        index = np.flatnonzero(gain > 0)
        quad, halves, gain = quad[index], halves[index], gain[index]
        allowed = ((excess + ideal)[quad[:, :2]] > smallest[quad[:, :2]]).all(axis=1)
        allowed &= ~edges.exist(quad[:, 2], quad[:, 3], count)
        allowed &= _keeps_shape(surface.vertices[quad], surface.kept[quad].any(axis=1))
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


def _ideal(surface: Surface) -> Ints:
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
    """Whether flipping the edge of quads (N, 4, 3) leaves creases and orientation as they are, and makes no sliver."""
    before = [corners[:, part] for part in ([0, 1, 2], [1, 0, 3])]
    after = [corners[:, part] for part in ([3, 1, 2], [2, 0, 3])]
    old, new = ([area_vectors(face) for face in pair] for pair in (before, after))
    both = old[0] + old[1]
    slimmest = np.where(kept, np.minimum(SLIM, np.minimum(*map(slimness, before, old))), 0)
    fine = ~turned(old[0], old[1], CREASE)
    for face, normal in zip(after, new, strict=True):
        fine &= ~turned(both, normal, TURN) & (dots(both, normal) > 0) & (slimness(face, normal) >= slimmest)
    return fine


def _apply(surface: Surface, quad: Ints, halves: Ints) -> Surface:
    a, b, c, d = quad.T
    faces = surface.faces.copy()
    faces[halves[:, 0] // 3] = np.stack([d, b, c], axis=1)
    faces[halves[:, 1] // 3] = np.stack([c, a, d], axis=1)
    return replace(surface, faces=faces)
