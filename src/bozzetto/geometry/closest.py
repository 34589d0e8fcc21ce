"""Nearest points on a triangle mesh, found with a bounding volume hierarchy."""

import math

import torch
import warp as wp
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from ..errors import InputError
from ..shapes import Mesh
from ..values import value_type
from .launch import in_parts, launch, stream
from .mesh_query_kernels import closest


@value_type
class ClosestPoints:
    """Where query points come closest to a mesh.

    Attributes:
        distance: Unsigned distance to the mesh, in its unit.
        face: Index of the nearest face.
        weights: Barycentric coordinates of the nearest point on that face, in the order of its corners.
        point: The nearest point, in the frame of the mesh.
    """

    distance: Float[Tensor, "P"]
    face: Int64[Tensor, "P"]
    weights: Float[Tensor, "P 3"]
    point: Float[Tensor, "P 3"]


class SurfaceIndex:
    """A mesh prepared for many closest-point queries (a bounding volume hierarchy over its faces).

    Coordinates are centred and scaled, by a power of two, before they reach the single-precision queries: a
    small mesh far from the origin loses nothing, and a tiny or huge one stays in their range. Nothing here is
    differentiable; use `face` and `weights` to build a gradient.
    """

    def __init__(self, mesh: Mesh) -> None:
        """Build the hierarchy.

        Raises:
            InputError: The mesh is empty, has coordinates that are not finite or faces out of range.
        """
        mesh.check()
        self.mesh = mesh
        self._centre, self._scale = unit_box(mesh)
        local = self._local(mesh.vertices.detach())
        self._index = warp_mesh(local, mesh.faces)

    def _local(self, points: Tensor) -> Tensor:
        return ((points.double() - self._centre) / self._scale).float().contiguous()

    def closest(self, points: Float[Tensor, "P 3"]) -> ClosestPoints:
        """The nearest point of the mesh for every query point.

        Raises:
            InputError: A query point is NaN or infinite.
        """
        if not torch.isfinite(points).all():
            raise InputError("query points must be finite, got NaN or infinite coordinates")
        local, device = self._local(points.detach()), self.mesh.vertices.device
        distance = torch.empty(len(local), device=device)
        face = torch.empty(len(local), dtype=torch.int64, device=device)
        weights = torch.empty(len(local), 3, device=device)

        def run(_: int, start: int, stop: int) -> None:
            out = [array[start:stop] for array in (distance, face, weights)]
            launch(closest, stop - start, [self._index.id, local[start:stop], *out], device)

        if len(local):
            in_parts(run, len(local), device)
        corners = self.mesh.vertices.detach()[self.mesh.faces[face]].double() - self._centre
        nearest = torch.einsum("pc,pcx->px", weights.double(), corners) + self._centre
        return ClosestPoints(distance * self._scale, face, weights, nearest.to(points.dtype))


def closest_points(
    mesh: Mesh, points: Float[Tensor, "P 3"]
) -> tuple[Float[Tensor, "P"], Int64[Tensor, "P"], Float[Tensor, "P 3"]]:
    """Nearest points of a mesh; `SurfaceIndex` is the same for repeated queries of one mesh.

    Args:
        mesh: The surface, any triangles.
        points: Query points in the frame of the mesh, on its device.

    Returns:
        Distance, face index and nearest point for every query point.

    Raises:
        InputError: The mesh is empty or broken, or a query point is not finite.
    """
    found = SurfaceIndex(mesh).closest(points)
    return found.distance, found.face, found.point


def unit_box(mesh: Mesh) -> tuple[Float64[Tensor, "3"], float]:
    """The middle of a mesh's box, and the power of two from which on it is about as large as 1."""
    low, high = mesh.bounds.detach().double()
    size = float((high - low).max())
    return (low + high) / 2, 2.0 ** math.floor(math.log2(size)) if size > 0 else 1.0


def warp_mesh(vertices: Float[Tensor, "V 3"], faces: Int64[Tensor, "F 3"]) -> wp.Mesh:
    """A Warp mesh with its hierarchy; keep it alive as long as its `id` is in use."""
    with stream(vertices.device):
        points = wp.from_torch(vertices.contiguous(), dtype=wp.vec3)
        return wp.Mesh(points, wp.from_torch(faces.to(torch.int32).flatten().contiguous()))
