"""Tangential relaxation and projection."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .surface import Floats, Surface, area_vectors, dots, lengths

ROUNDS = 10  # of taking back moves that turn faces over

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
    return surface.normals / np.maximum(lengths(surface.normals), 1e-300)[:, None]


def _tangential(offset: Floats, normals: Floats) -> Floats:
    return offset - dots(offset, normals)[:, None] * normals


def _centroids(surface: Surface) -> Floats:
    """(V, 3) weighted mean of the neighbours of every vertex; its own place where it has none."""
    area = lengths(area_vectors(surface.vertices[surface.faces]))
    weight = surface.sums(area[:, None])[:, 0] / surface.target**2
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
    every = np.arange(len(surface.faces))
    for _ in range(ROUNDS):
        touched = (moved != surface.vertices).any(axis=1)[surface.faces].any(axis=1)
        bad = touched & surface.turns_over(every, moved[surface.faces])
        if not bad.any():
            return replace(surface, vertices=moved)
        back = surface.faces[bad]
        moved = moved.copy()
        moved[back] = surface.vertices[back]
    return surface
