"""The surface that is remeshed, for putting vertices back onto it."""

import numpy as np
import torch

from ...shapes import Mesh
from ..closest import SurfaceIndex
from ..topology import boundary_edges
from .surface import Floats, Surface, area_vectors, dots, onto_segment


class Original:
    """Nearest points on the input surface and on its boundary, and the wanted length there."""

    def __init__(self, mesh: Mesh, target: Floats) -> None:
        """Prepare the queries; `target` (V,) is the length wanted at the vertices of the mesh."""
        self._index = SurfaceIndex(mesh)
        self._faces = mesh.faces.numpy()
        self._normals = area_vectors(mesh.vertices.detach().double().numpy()[self._faces])
        self._target = target
        self._curve = mesh.vertices.detach().double()[boundary_edges(mesh.faces)].numpy()
        self._boundary = SurfaceIndex(_slivers(self._curve)) if len(self._curve) else None

    def project(self, surface: Surface, places: Floats, normals: Floats) -> Floats:
        """(V, 3) nearest points of the original surface, for boundary vertices of its boundary.

        A vertex stays where the surface has it if the nearest face looks the other way: the far side of a
        thin part.
        """
        found = self._index.closest(torch.from_numpy(places))
        face = found.face.numpy()
        behind = dots(self._normals[face], normals) < 0
        result = np.where(behind[:, None], surface.vertices, found.point.numpy())
        if self._boundary is not None:
            points = places[surface.boundary]
            edge = self._boundary.closest(torch.from_numpy(points)).face.numpy()
            result[surface.boundary] = onto_segment(points, *self._curve[edge].transpose(1, 0, 2))
        return result

    def target_at(self, places: Floats) -> Floats:
        """(V,) the wanted length at the nearest points of the original surface."""
        if np.ptp(self._target) == 0:
            return np.full(len(places), self._target[0])
        found = self._index.closest(torch.from_numpy(places))
        return dots(found.weights.double().numpy(), self._target[self._faces[found.face.numpy()]])


def _slivers(segments: Floats) -> Mesh:
    """Segments (N, 2, 3) as thin triangles: queries fail on triangles without area."""
    start, end = segments.transpose(1, 0, 2)
    along = end - start
    sideways = np.cross(along, np.eye(3)[np.abs(along).argmin(axis=1)])  # about as long as the segment
    corners = np.stack([start, end, (start + end) / 2 + 0.05 * sideways], axis=1)
    faces = torch.arange(3 * len(segments)).reshape(-1, 3)
    return Mesh(torch.from_numpy(corners.reshape(-1, 3)).float(), faces)
