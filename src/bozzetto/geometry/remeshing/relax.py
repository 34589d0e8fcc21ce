"""Tangential relaxation and projection."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .surface import Floats, Surface, area_vectors, dots, lengths, turned

ROUNDS = 10  # of taking back moves that turn faces over
TURN = 0.3  # cosine: no move may turn a face by more than some 70 degrees

Project = Callable[[Surface, Floats, Floats], Floats]


def relax(surface: Surface, project: Project | None = None) -> Surface:
    """Move inner vertices within the surface towards even edge lengths, then onto the projected place.

    Every vertex goes to the mean of its neighbours, weighted by the area around them over the square of the
    length wanted there, without the part along its normal (Botsch & Kobbelt 2004, section 4; the wanted
    length makes it adaptive). Boundary vertices stay. Moves that would turn a face over are taken back.

    Args:
        surface: The surface.
        project: Maps the surface, positions for its vertices and unit normals to places on the original.
    """
    normals = vertex_normals(surface)
    moved = surface.vertices + _tangential(_centroids(surface) - surface.vertices, normals)
    moved[surface.boundary] = surface.vertices[surface.boundary]
    return _without_turns(surface, project(surface, moved, normals) if project else moved)


def vertex_normals(surface: Surface) -> Floats:
    """(V, 3) unit normals weighted by area; 0 where the faces cancel out."""
    normals = _scatter(surface, area_vectors(surface.vertices[surface.faces]))
    return normals / np.maximum(lengths(normals), 1e-300)[:, None]


def _tangential(offset: Floats, normals: Floats) -> Floats:
    return offset - dots(offset, normals)[:, None] * normals


def _scatter(surface: Surface, values: Floats) -> Floats:
    """(V, C) sums of face values (F, C) over the faces at each vertex."""
    count = len(surface.vertices)
    corners = surface.faces.ravel()
    sums = [np.bincount(corners, np.repeat(x, 3), count) for x in values.T]
    return np.stack(sums, axis=1).astype(np.float64)


def _centroids(surface: Surface) -> Floats:
    """(V, 3) weighted mean of the neighbours of every vertex; its own place where it has none."""
    area = lengths(area_vectors(surface.vertices[surface.faces]))
    weight = _scatter(surface, area[:, None])[:, 0] / surface.target**2
    a, b = surface.edges.ends.T
    count = len(surface.vertices)

    def sums(values: Floats) -> Floats:
        both = np.bincount(a, values[b], count) + np.bincount(b, values[a], count)
        return both.astype(np.float64)

    total = sums(weight)[:, None]
    mean = np.stack([sums(weight * x) for x in surface.vertices.T], axis=1) / np.maximum(total, 1e-300)
    return np.where(total > 0, mean, surface.vertices)


def _without_turns(surface: Surface, moved: Floats) -> Surface:
    """Move the vertices, except those whose faces would turn over; none if that does not end."""
    before = area_vectors(surface.vertices[surface.faces])
    for _ in range(ROUNDS):
        after = area_vectors(moved[surface.faces])
        bad = turned(before, after, TURN)
        if not bad.any():
            return replace(surface, vertices=moved)
        back = surface.faces[bad]
        moved = moved.copy()
        moved[back] = surface.vertices[back]
    return surface
