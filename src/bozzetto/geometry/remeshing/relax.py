"""Tangential relaxation, and projection of the vertices onto the original surface."""

from dataclasses import replace
from functools import cached_property

import numpy as np
import torch

from ...shapes import Mesh
from ..mesh_queries import SurfaceIndex
from .creases import Curves
from .surface import Floats, Ints, WorkingMesh, area_vectors, dots, lengths

GRADING = 0.4  # how fast the wanted length may grow over a distance
SWEEPS = 10  # of the grading over neighbours


class Original:
    """The original surface: nearest points, kept lines and target lengths."""

    def __init__(self, mesh: Mesh, target: Floats, curves: Curves, planned: Floats | None = None) -> None:
        """Prepare the queries.

        Args:
            mesh: The input.
            target: (V,) the largest target length at its vertices.
            curves: The lines that are kept.
            planned: (F,) shorter lengths because of curvature.
        """
        self._mesh = mesh
        self._faces = mesh.faces.numpy()
        self._normals = area_vectors(mesh.vertices.detach().double().numpy()[self._faces])
        self._target = target
        self._planned = planned
        self.curves = curves

    @cached_property
    def _index(self) -> SurfaceIndex:
        return SurfaceIndex(self._mesh)

    @property
    def graded(self) -> bool:
        """Whether the target length depends on curvature."""
        return self._planned is not None

    def project(self, surface: WorkingMesh, places: Floats, normals: Floats) -> Floats:
        """(V, 3) nearest points of the original surface.

        A vertex stays if the nearest face is oriented the other way: then it is on the far side of a thin part.
        """
        found = self._index.closest(torch.from_numpy(places))
        behind = dots(self._normals[found.face.numpy()], normals) < 0
        return np.where(behind[:, None], surface.vertices, found.point.numpy())

    def target_at(self, surface: WorkingMesh) -> Floats:
        """(V,) the target length at the vertices: that at the nearest points of the original, graded."""
        target = self._length_at(surface.vertices)
        if self._planned is None:
            return target
        lines = surface.features
        np.minimum.at(target, lines.ends.ravel(), self.curves.length_at(lines.at.ravel()))
        a, b = surface.edges.ends.T
        growth = GRADING * lengths(surface.vertices[a] - surface.vertices[b])
        for _ in range(SWEEPS):
            before = target.copy()
            np.minimum.at(target, a, before[b] + growth)
            np.minimum.at(target, b, before[a] + growth)
            if (target == before).all():
                break
        return target

    def between(self, surface: WorkingMesh, ends: Ints, places: Floats) -> Floats:
        """(N,) the target length at positions in the middle of edges with these ends (N, 2)."""
        target = surface.target[ends]
        if self._planned is None:
            return target.mean(axis=1)
        a, b = surface.vertices[ends].transpose(1, 0, 2)
        return np.minimum(self._length_at(places), target.min(axis=1) + GRADING * lengths(a - b) / 2)

    def _length_at(self, places: Floats) -> Floats:
        if np.ptp(self._target) == 0 and self._planned is None:
            return np.full(len(places), self._target[0])
        found = self._index.closest(torch.from_numpy(places))
        face = found.face.numpy()
        target = dots(found.weights.double().numpy(), self._target[self._faces[face]])
        return target if self._planned is None else np.minimum(target, self._planned[face])


ROUNDS = 10  # of taking back moves that turn faces over
SLIDE = 2 / 3  # of the way to the middle between neighbours; all the way, vertices on a line would swap gaps


def relax(surface: WorkingMesh, original: Original, project: bool = True) -> WorkingMesh:
    """Move vertices within the surface towards even edge lengths, then onto the original.

    Every vertex moves to the mean of its neighbours, weighted by the area around them over the squared target
    length there, without the component along its normal (Botsch & Kobbelt 2004, section 4; the target length
    makes it adaptive). Vertices on kept lines slide along them in the same way, as in Vorsatz et al. 2001,
    "Feature sensitive remeshing"; corners are fixed. Moves that would flip a face are undone.

    Source: Botsch and Kobbelt 2004, section 4. Differs: wanted lengths make it adaptive, and vertices on kept
    lines slide along them.
    """
    normals = working_vertex_normals(surface)
    moved = surface.vertices + _tangential(_centroids(surface) - surface.vertices, normals)
    if project:
        moved = original.project(surface, moved, normals)
    lines = surface.features
    at = _slid(surface)
    sliding = ~np.isnan(at)
    moved[lines.fixed] = surface.vertices[lines.fixed]
    moved[sliding] = original.curves(at[sliding])
    relaxed = _without_turns(surface, moved)
    went = sliding & (relaxed.vertices == moved).all(axis=1)
    slid = np.where(went[lines.ends], at[lines.ends], lines.at)
    return replace(relaxed, features=replace(lines, at=slid))


def _slid(surface: WorkingMesh) -> Floats:
    """(V,) new parameters, on the lines, of vertices that may slide; NaN elsewhere."""
    lines, count = surface.features, len(surface.vertices)
    weight = 1 / surface.target[lines.ends].mean(axis=1) ** 2
    ends, weights = lines.ends.T.ravel(), np.tile(weight, 2)
    other = lines.at[:, ::-1].T.ravel()
    own = np.full(count, np.nan)
    own[ends] = lines.at.T.ravel()
    own[lines.fixed] = np.nan
    total = np.maximum(np.bincount(ends, weights, count), 1e-300)
    return own + SLIDE * (np.bincount(ends, weights * other, count) / total - own)


def working_vertex_normals(surface: WorkingMesh) -> Floats:
    """(V, 3) unit normals weighted by area; 0 where the faces cancel out."""
    return surface.normals / np.maximum(lengths(surface.normals), 1e-300)[:, None]


def _tangential(offset: Floats, normals: Floats) -> Floats:
    return offset - dots(offset, normals)[:, None] * normals


def _centroids(surface: WorkingMesh) -> Floats:
    """(V, 3) weighted mean of the neighbours of every vertex; its own position where it has none."""
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


def _without_turns(surface: WorkingMesh, moved: Floats) -> WorkingMesh:
    """Move the vertices, except those whose faces would flip; if that does not terminate, move none."""
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
