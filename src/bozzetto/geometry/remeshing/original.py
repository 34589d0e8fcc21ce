"""The surface that is remeshed, for putting vertices back onto it."""

import numpy as np
import torch

from ...shapes import Mesh
from ..closest import SurfaceIndex
from .curves import Curves
from .surface import Floats, Ints, WorkingMesh, area_vectors, dots, lengths

GRADING = 0.4  # how fast the wanted length may grow over a distance
SWEEPS = 10  # of the grading over neighbours


class Original:
    """Nearest points on the input surface, the lines that are kept, and the wanted length everywhere."""

    def __init__(self, mesh: Mesh, target: Floats, curves: Curves, planned: Floats | None = None) -> None:
        """Prepare the queries.

        Args:
            mesh: The input.
            target: (V,) the length wanted at most, at its vertices.
            curves: The lines that are kept.
            planned: (F,) shorter lengths because of curvature.
        """
        self._index = SurfaceIndex(mesh)
        self._faces = mesh.faces.numpy()
        self._normals = area_vectors(mesh.vertices.detach().double().numpy()[self._faces])
        self._target = target
        self._planned = planned
        self.curves = curves

    @property
    def graded(self) -> bool:
        """Whether the wanted length depends on curvature."""
        return self._planned is not None

    def project(self, surface: WorkingMesh, places: Floats, normals: Floats) -> Floats:
        """(V, 3) nearest points of the original surface.

        A vertex stays where the surface has it if the nearest face looks the other way: the far side of a
        thin part.
        """
        found = self._index.closest(torch.from_numpy(places))
        behind = dots(self._normals[found.face.numpy()], normals) < 0
        return np.where(behind[:, None], surface.vertices, found.point.numpy())

    def target_at(self, surface: WorkingMesh) -> Floats:
        """(V,) the wanted length at the vertices: as at the nearest points of the original, and graded."""
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
        """(N,) the wanted length at places in the middle of edges with these ends (N, 2)."""
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
